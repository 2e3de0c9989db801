//! How long a cluster keeps what a benchmark made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds that Jobs are kept where a manifest gives none.
pub const DEFAULT_RUN_JOBS_TTL_SECONDS: u32 = 3600;

/// How long a cluster keeps what a benchmark made. May be changed at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionSpec {
    /// Seconds from the end of the benchmark until it is deleted with everything but its storage, 0 to 31536000; kept where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<u32>,
    /// Seconds from the end of a run until its Job and pods are deleted, 0 to 31536000. Its result then stands in the status.
    #[serde(default = "default_ttl")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub run_jobs_ttl_seconds: u32,
}

impl Default for RetentionSpec {
    fn default() -> Self {
        Self { ttl_seconds_after_finished: None, run_jobs_ttl_seconds: DEFAULT_RUN_JOBS_TTL_SECONDS }
    }
}

const fn default_ttl() -> u32 {
    DEFAULT_RUN_JOBS_TTL_SECONDS
}
