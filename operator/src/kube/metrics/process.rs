//! What Prometheus' own libraries say of every process, under the same names.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

/// This process.
#[derive(Debug)]
pub(super) struct Process {
    started: f64,
}

impl Process {
    /// It starts about now.
    pub(super) fn new() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { started }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Seconds from 1970-01-01 to the start of the process";
        encoder
            .encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?
            .encode_gauge(&self.started)?;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(bytes) = resident(&status) {
            let help = "Memory of the process that is in RAM, in bytes";
            encoder
                .encode_descriptor("process_resident_memory_bytes", help, None, MetricType::Gauge)?
                .encode_gauge(&bytes)?;
        }
        Ok(())
    }
}

/// `VmRSS` of `/proc/PID/status` in bytes.
fn resident(status: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    kib.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_off_the_kernels_text() {
        assert_eq!(resident("Name:\tmixbench\nVmHWM:\t   9000 kB\nVmRSS:\t   8192 kB\n"), Some(8 << 20));
        assert_eq!(resident("Name:\tkthreadd\n"), None);
        let own = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        assert!(resident(&own).is_some_and(|bytes| bytes > 1 << 20), "{own}");
    }
}
