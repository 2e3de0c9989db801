//! The operator's log, on standard error: lines for people on a terminal, JSON for machines elsewhere. Everything about a run is said inside
//! its span, so that each line of it carries the run's id.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing::{Span, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Names what is logged: levels for all or by module, such as `debug` or `info,mixbench::kube=debug`.
pub const VARIABLE: &str = "RUST_LOG";

/// What is logged unless [`VARIABLE`] says otherwise.
const USUAL: &str = "info";

/// Is added unless [`VARIABLE`] speaks of kube's client, which logs each request that fails as an error, repeated ones and watches that end
/// included; ours are counted, and who made the call says what it means.
const QUIET: &str = "kube_client::client::builder=off";

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    #[default]
    Auto,
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The variable cannot be read as levels.
    #[error(
        "{VARIABLE}={value}: {reason}; write a level (error, warn, info, debug, trace), or info,mixbench::kube=debug"
    )]
    Filter {
        /// What the variable says.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another log is set up in this process.
    #[error("the log is set up twice: {0}")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sets the log of this process up.
///
/// # Errors
/// [`LogError`].
pub fn init(format: LogFormat) -> Result<(), LogError> {
    let filter = filter(std::env::var(VARIABLE).ok().as_deref())?;
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    tracing::subscriber::set_global_default(subscriber(json, terminal, filter, io::stderr))?;
    Ok(())
}

fn filter(said: Option<&str>) -> Result<EnvFilter, LogError> {
    let said = said.filter(|s| !s.trim().is_empty()).unwrap_or(USUAL);
    let levels = if said.contains("kube_client") { said.to_owned() } else { format!("{said},{QUIET}") };
    EnvFilter::try_new(levels).map_err(|error| LogError::Filter { value: said.to_owned(), reason: error.to_string() })
}

fn subscriber<W>(json: bool, colour: bool, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let common = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if json {
        Box::new(common.json().flatten_event(true).with_current_span(true).with_span_list(false).finish())
    } else {
        Box::new(common.compact().with_ansi(colour).with_target(false).finish())
    }
}

/// The span of a turn over a benchmark. Its level is error, so that no choice of levels takes the names off a line.
pub fn benchmark(namespace: &str, benchmark: &str) -> Span {
    tracing::error_span!("benchmark", namespace, benchmark)
}

/// The span of what is done about an attempt of a run; it stands by itself, since only the innermost span is in a line of JSON.
pub fn run(namespace: &str, benchmark: &str, run: &str, attempt: u32) -> Span {
    tracing::error_span!("run", namespace, benchmark, run, attempt)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written when `say` logs.
    fn logged(json: bool, levels: Option<&str>, say: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(json, false, filter(levels).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, say);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn every_line_of_a_run_carries_its_id() {
        let say = || {
            let _turn = benchmark("team-a", "quickstart").entered();
            let _run = run("team-a", "quickstart", "resnet18-mixup-s0-ab", 2).entered();
            tracing::warn!(job = "j", "the Job is gone\nand \x1b[31mred");
        };
        for levels in [None, Some("warn")] {
            let text = logged(true, levels, say);
            let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
            assert_eq!(text.lines().count(), 1);
            assert_eq!((&line["level"], &line["job"]), (&"WARN".into(), &"j".into()));
            assert_eq!(line["message"], "the Job is gone\nand \x1b[31mred");
            let span = &line["span"];
            assert_eq!((&span["run"], &span["attempt"]), (&"resnet18-mixup-s0-ab".into(), &2.into()));
            assert_eq!((&span["namespace"], &span["benchmark"]), (&"team-a".into(), &"quickstart".into()));
            let text = logged(false, levels, say);
            assert!(text.contains("resnet18-mixup-s0-ab") && text.contains("quickstart"), "{text}");
            assert!(!text.contains('\x1b'), "nothing that colours the terminal of a reader: {text:?}");
        }
    }

    #[test]
    fn the_usual_log_is_quiet_about_what_is_repeated() {
        let say = || {
            tracing::error!(target: "kube_client::client::builder", "failed with status 503");
            tracing::debug!("a detail");
            tracing::info!("news");
        };
        assert_eq!(logged(false, None, say).lines().count(), 1);
        assert_eq!(logged(false, Some(""), say).lines().count(), 1, "an empty variable says nothing");
        assert_eq!(logged(false, Some("debug"), say).lines().count(), 2);
        assert_eq!(logged(false, Some("debug,kube_client=error"), say).lines().count(), 3, "who asks for it gets it");
    }

    #[test]
    fn levels_that_are_none_are_refused_with_their_value() {
        let error = filter(Some("mixbench=loud")).unwrap_err().to_string();
        assert!(error.contains("RUST_LOG=mixbench=loud") && error.contains("error, warn, info"), "{error}");
    }
}
