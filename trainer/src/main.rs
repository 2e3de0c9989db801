//! mixbench-trainer: `launch`, `worker` and the tools around them.

fn main() -> std::process::ExitCode {
    mixbench_trainer::cli::main()
}
