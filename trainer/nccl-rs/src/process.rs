//! The end of a process that has libtorch's threads in it.

unsafe extern "C" {
    fn _exit(code: i32) -> !;
}

/// Ends the process at once. Neither destructors of statics nor `atexit` functions run: libtorch's own threads (NCCL's watchdog, the
/// store's server, autograd's workers) may still use what those would tear down.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: `_exit` takes any integer, touches no memory of this program and does not return.
    unsafe { _exit(i32::from(code)) }
}
