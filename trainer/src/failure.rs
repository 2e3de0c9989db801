//! From the texts that C++ and panics leave behind to an exit: libtorch has no error types that reach Rust, only messages.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

use mixbench_crds::event::Body;
use mixbench_crds::exit::Exit;

use crate::report::Reporter;

/// Texts of an allocator that got no memory: CUDA's, libtorch's on CPUs, C++'s and Rust's.
const OUT_OF_MEMORY: [&str; 6] = [
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "std::bad_alloc",
    "memory allocation of",
    "cublas_status_alloc_failed",
];

/// Texts of a process group that lost a peer.
const COLLECTIVE: [&str; 11] = [
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "timed out waiting",
    "application timeout",
    "gloo",
    "nccl error",
    "processgroupnccl",
    "watchdog",
    "tcpstore",
];

/// The exit that a message of libtorch or a panic stands for; [`Exit::Internal`] where it is nothing known.
pub fn classify(message: &str) -> Exit {
    let text = message.to_lowercase();
    let has = |known: &[&str]| known.iter().any(|k| text.contains(k));
    if has(&OUT_OF_MEMORY) {
        Exit::OutOfMemory
    } else if has(&COLLECTIVE) {
        Exit::Collective
    } else {
        Exit::Internal
    }
}

/// From now on a panic on any thread is told to `launch` in one line and ends the process with the exit that its message stands for: the
/// peers must not wait for a process that has lost a thread.
pub fn report_panics(rank: u32, reporter: Reporter) {
    panic::set_hook(Box::new(move |panic| {
        let (exit, message) = of_panic(panic);
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            eprintln!("{backtrace}");
        }
        reporter.send(Body::Failed { exit, message, rank: Some(rank) });
        nccl_rs::exit_now(exit.code())
    }));
}

fn of_panic(panic: &PanicHookInfo<'_>) -> (Exit, String) {
    let said = plain(panic.payload_as_str().unwrap_or("a panic without a message"));
    let exit = classify(&said);
    let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
    (exit, format!("{said}{place}{}", remedy(exit)))
}

/// The message without the C++ stack that libtorch appends to it.
pub fn plain(message: &str) -> String {
    let end = ["\nException raised from", "\nC++ CapturedTraceback", "\nframe #0"]
        .iter()
        .filter_map(|marker| message.find(marker))
        .min()
        .unwrap_or(message.len());
    message[..end].trim_end().to_owned()
}

/// What a person can do about it.
const fn remedy(exit: Exit) -> &'static str {
    match exit {
        Exit::OutOfMemory => "; take a smaller microBatch or evalBatch, or fewer processes",
        Exit::Collective => "; a peer died or hung: its own message says why",
        Exit::Internal => "; this is a defect of mixbench: please report it with the run's log.txt",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_peers_are_told_from_defects() {
        for (text, exit) in [
            ("CUDA out of memory. Tried to allocate 2.00 GiB", Exit::OutOfMemory),
            (
                "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried…",
                Exit::OutOfMemory,
            ),
            ("[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:4711", Exit::Collective),
            ("index out of bounds: the len is 3 but the index is 3", Exit::Internal),
        ] {
            assert_eq!(classify(text), exit, "{text}");
        }
    }

    #[test]
    fn the_stack_of_cpp_is_left_out() {
        let text =
            "Expected 4 dimensions\nException raised from check at a.cpp:1 (most recent call first):\nframe #0: c10";
        assert_eq!(plain(text), "Expected 4 dimensions");
        assert_eq!(plain("one line"), "one line");
    }
}
