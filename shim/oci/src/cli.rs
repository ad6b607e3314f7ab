//! The runtime from the command line.

/// Runs `args` (without the program's name); the result is the exit code.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    let _ = args;
    125
}
