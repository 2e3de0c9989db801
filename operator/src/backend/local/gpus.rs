//! Which GPUs there are, and who has which: each run gets its own set through `CUDA_VISIBLE_DEVICES`.

use std::process::{Command, Stdio};

/// How CUDA is told what it may see.
pub const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// The devices of this machine as [`VISIBLE`] names them: those that it names already, else what the driver lists.
pub fn devices() -> Vec<String> {
    let visible = std::env::var(VISIBLE).ok();
    named(visible.as_deref()).unwrap_or_else(|| numbered(listed().or_else(in_proc).unwrap_or(0)))
}

/// Devices that the variable names; none where it is not set.
fn named(visible: Option<&str>) -> Option<Vec<String>> {
    // As CUDA reads it: the first name that is no device ends the list.
    let names = visible?.split(',').map(str::trim);
    Some(names.take_while(|n| !n.is_empty() && *n != "-1").map(str::to_owned).collect())
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

fn listed() -> Option<usize> {
    let output = Command::new("nvidia-smi").arg("-L").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| count(&String::from_utf8_lossy(&output.stdout)))
}

fn count(list: &str) -> usize {
    list.lines().filter(|l| l.starts_with("GPU ")).count()
}

fn in_proc() -> Option<usize> {
    Some(std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.count())
}

/// The devices that are free.
#[derive(Debug, Default)]
pub struct Pool(Vec<String>);

impl Pool {
    /// All of them are free.
    pub const fn new(devices: Vec<String>) -> Self {
        Self(devices)
    }

    /// Takes `count` of them; none where fewer are free.
    pub fn take(&mut self, count: usize) -> Option<Vec<String>> {
        (count <= self.0.len()).then(|| self.0.drain(..count).collect())
    }

    /// Takes these, as far as they are free: a process that was there before us has them.
    pub fn reserve(&mut self, devices: &[String]) -> Vec<String> {
        let (taken, free) = self.0.drain(..).partition(|d| devices.contains(d));
        self.0 = free;
        taken
    }

    /// Gives some back.
    pub fn give_back(&mut self, devices: Vec<String>) {
        self.0.extend(devices);
        self.0.sort_by_key(|d| (d.parse::<u64>().unwrap_or(u64::MAX), d.clone()));
    }
}

/// The devices that a live process was told to use; none where that cannot be told.
pub fn of_process(pid: u32) -> Vec<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let value = environment
        .split(|b| *b == 0)
        .find_map(|v| String::from_utf8_lossy(v).strip_prefix(VISIBLE)?.strip_prefix('=').map(str::to_owned));
    named(value.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_as_cuda_reads_it() {
        assert_eq!(named(None), None);
        assert_eq!(named(Some("")), Some(vec![]));
        assert_eq!(named(Some("2, GPU-ab,-1,3")), Some(vec!["2".into(), "GPU-ab".into()]));
    }

    #[test]
    fn each_run_has_its_own_devices() {
        let mut pool = Pool::new(numbered(3));
        let first = pool.take(2).expect("two are free");
        assert_eq!(first, ["0", "1"]);
        assert_eq!(pool.take(2), None);
        pool.give_back(first);
        assert_eq!(pool.reserve(&["1".into(), "7".into()]), ["1"]);
        assert_eq!(pool.take(2).expect("two are free"), ["0", "2"]);
    }

    #[test]
    fn the_drivers_list_is_counted() {
        assert_eq!(
            count("GPU 0: NVIDIA H100 (UUID: GPU-1)\n  MIG 1g (UUID: MIG-2)\nGPU 1: NVIDIA H100 (UUID: GPU-3)\n"),
            2
        );
    }
}
