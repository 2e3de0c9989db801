//! Where a process computes, and how libtorch is set up for it.

use std::sync::Once;

use mixbench_crds::run::World;
use tch::Device;

/// Why a device cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// GPUs were asked for and there are too few.
    #[error(
        "the run asks for gpusPerNode: {wanted}, but this machine has {found} usable GPU(s){reason}; \
         set gpusPerNode: 0 (or `--gpus 0`) to train on CPUs"
    )]
    Gpus {
        /// GPUs asked for.
        wanted: u32,
        /// GPUs that libtorch can use.
        found: u32,
        /// Why there are none, where that is known.
        reason: &'static str,
    },
}

/// The device of a process: GPU `local_rank` where the world has GPUs, else the CPU.
///
/// # Errors
/// [`DeviceError::Gpus`]: a run never falls back to another kind of device.
pub fn of(world: &World, local_rank: u32) -> Result<Device, DeviceError> {
    if world.gpus_per_node == 0 {
        return Ok(Device::Cpu);
    }
    let found = u32::try_from(tch::Cuda::device_count()).unwrap_or(0);
    if found < world.gpus_per_node {
        let loaded = matches!(nccl_rs::init(), Ok(nccl_rs::Cuda::Loaded));
        let reason = if loaded { "" } else { ": libtorch's CUDA library does not lie beside libtorch_cpu.so" };
        return Err(DeviceError::Gpus { wanted: world.gpus_per_node, found, reason });
    }
    Ok(Device::Cuda(local_rank as usize))
}

/// Sets the arithmetic threads of this process and what makes repeated runs equal to the bit.
///
/// # Errors
/// libtorch refuses a setting of a GPU.
pub fn prepare(device: Device, threads: u32) -> Result<(), nccl_rs::Error> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        nccl_rs::tune_malloc();
        tch::set_num_interop_threads(1); // libtorch takes it once a process
    });
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
    if let Device::Cuda(index) = device {
        nccl_rs::set_device(index)?;
        nccl_rs::set_cudnn_benchmark(false)?;
        nccl_rs::set_cudnn_deterministic(true)?;
    }
    Ok(())
}

/// A device in words, such as `NVIDIA A100-SXM4-80GB` or `Intel(R) Xeon(R) Platinum 8481C`.
pub fn describe(device: Device) -> String {
    match device {
        Device::Cuda(index) => gpu_name(index).unwrap_or_else(|| format!("CUDA device {index}")),
        _ => cpu_name().unwrap_or_else(|| format!("{} CPU", std::env::consts::ARCH)),
    }
}

/// The driver's word; machines with GPUs of several kinds name the first.
fn gpu_name(index: usize) -> Option<String> {
    let mut folders: Vec<_> =
        std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    folders.sort();
    let text = std::fs::read_to_string(folders.get(index).or(folders.first())?.join("information")).ok()?;
    field(&text, "Model")
}

fn cpu_name() -> Option<String> {
    field(&std::fs::read_to_string("/proc/cpuinfo").ok()?, "model name")
}

/// The value of the first `key : value` line.
fn field(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == key && !value.trim().is_empty()).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_that_are_not_there_are_an_error_that_names_the_remedy() {
        let mut world = World { nodes: 1, gpus_per_node: 0, processes_per_node: 2, threads_per_process: 1 };
        assert_eq!(of(&world, 1), Ok(Device::Cpu));
        world.gpus_per_node = 99;
        let message = of(&world, 0).map(|_| ()).expect_err("no machine has 99 GPUs").to_string();
        assert!(message.contains("gpusPerNode: 99") && message.contains("gpusPerNode: 0"), "{message}");
    }

    #[test]
    fn a_cpu_has_a_name() {
        assert!(!describe(Device::Cpu).is_empty());
        assert_eq!(field("processor\t: 0\nmodel name\t: A : B\n", "model name").as_deref(), Some("A : B"));
        assert_eq!(field("model name\t: \n", "model name"), None);
    }
}
