//! Start-up: CUDA by `dlopen`, versions, and settings of the whole process.

use crate::error::Error;
use crate::ffi::sys;
use std::sync::Mutex;

/// The part that needs CUDA's headers; bound to the libtorch_cuda in the process when it is loaded.
static PLUGIN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nccl_plugin.so"));

/// Whether libtorch's CUDA library is in the process. It can be without any GPU being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cuda {
    /// No libtorch_cuda.so beside libtorch_cpu.so: this process computes on CPUs.
    Absent,
    /// Loaded, together with NCCL.
    Loaded,
}

/// Loads CUDA where libtorch_cuda.so lies beside the libtorch_cpu.so in use. Call it first in `main`: libtorch looks for CUDA
/// once, and what is loaded after that look is never seen. Further calls return the first one's answer.
///
/// # Errors
/// [`Error::Cuda`] if the library is there and does not load, does not fit, or came too late.
pub fn init() -> Result<Cuda, Error> {
    static DONE: Mutex<Option<Cuda>> = Mutex::new(None);
    let mut done = DONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(cuda) = *done {
        return Ok(cuda);
    }
    let cuda_error = |e: cxx::Exception| Error::Cuda(e.what().to_owned());
    let cuda = if sys::load_cuda().map_err(cuda_error)? {
        sys::load_plugin(PLUGIN).map_err(cuda_error)?;
        Cuda::Loaded
    } else {
        Cuda::Absent
    };
    *done = Some(cuda);
    Ok(cuda)
}

/// Versions of the libraries in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// libtorch, as "2.11.0".
    pub libtorch: String,
    /// cuDNN as its own number (91900 is 9.19.0); none without CUDA.
    pub cudnn: Option<i64>,
    /// NCCL, as "2.28.9"; none without CUDA.
    pub nccl: Option<String>,
}

/// The versions in use. Call [`init`] before it.
///
/// # Errors
/// [`Error::Torch`] if a loaded library does not answer.
pub fn versions() -> Result<Versions, Error> {
    let (cudnn, nccl) = (sys::cudnn_version()?, sys::nccl_version()?);
    Ok(Versions {
        libtorch: sys::torch_version(),
        cudnn: (cudnn > 0).then_some(cudnn),
        nccl: (!nccl.is_empty()).then_some(nccl),
    })
}

/// Has glibc keep freed memory instead of giving it back to the system after each layer. For training on CPUs, where page faults
/// are otherwise about a tenth of a step. Returns whether glibc took the settings.
pub fn tune_malloc() -> bool {
    sys::tune_malloc()
}

/// Lets cuDNN time its algorithms per shape and keep the fastest; another run may choose differently.
///
/// # Errors
/// [`Error::Torch`] if libtorch refuses.
pub fn set_cudnn_benchmark(on: bool) -> Result<(), Error> {
    Ok(sys::set_cudnn_benchmark(on)?)
}

/// Keeps cuDNN to algorithms that give the same bits each time.
///
/// # Errors
/// [`Error::Torch`] if libtorch refuses.
pub fn set_cudnn_deterministic(on: bool) -> Result<(), Error> {
    Ok(sys::set_cudnn_deterministic(on)?)
}

/// Allows or forbids TF32 in f32 convolutions and matrix products on GPUs.
///
/// # Errors
/// [`Error::Torch`] if libtorch refuses.
pub fn set_tf32(on: bool) -> Result<(), Error> {
    Ok(sys::set_tf32(on)?)
}

/// Makes operations without a deterministic implementation fail, as `torch.use_deterministic_algorithms`.
/// On GPUs cuBLAS also needs `CUBLAS_WORKSPACE_CONFIG=:4096:8` in the environment.
///
/// # Errors
/// [`Error::Torch`] if libtorch refuses.
pub fn set_deterministic_algorithms(on: bool) -> Result<(), Error> {
    Ok(sys::set_deterministic_algorithms(on)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn init_says_the_same_twice_and_versions_agree_with_it() {
        let cuda = init().unwrap();
        assert_eq!(init().unwrap(), cuda);
        let versions = versions().unwrap();
        assert_eq!(versions.libtorch, "2.11.0");
        assert_eq!(versions.nccl.is_some(), cuda == Cuda::Loaded);
        assert_eq!(versions.cudnn.is_some(), cuda == Cuda::Loaded);
    }

    #[test]
    fn glibc_takes_the_malloc_settings() {
        assert!(tune_malloc());
    }
}
