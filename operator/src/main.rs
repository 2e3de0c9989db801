//! mixbench.
fn main() {}
