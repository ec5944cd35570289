//! The `volfs` program.

use std::process::ExitCode;

/// Gives memory back that other threads can use: with glibc's the daemon took half as much again
/// beside streams (docs/decisions/0002).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    volfs::cli::main()
}
