//! Log lines: standard error, for people. Standard output belongs to the protocol.

use tracing_subscriber::EnvFilter;

/// Environment variable with the filter, such as `debug` or `mixbench_trainer::data=trace`.
pub const LOG: &str = "MIXBENCH_LOG";
/// Environment variable: `json` writes a JSON object a line.
pub const LOG_FORMAT: &str = "MIXBENCH_LOG_FORMAT";

/// Sends log lines to standard error, from `info` on unless [`LOG`] says otherwise. A second call does nothing.
pub fn init() {
    let filter = EnvFilter::try_from_env(LOG).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Whoever set a subscriber before wants that one.
    let _ = if std::env::var(LOG_FORMAT).is_ok_and(|format| format == "json") {
        lines.json().try_init()
    } else {
        lines.with_ansi(false).try_init()
    };
}
