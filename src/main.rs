//! The `volfs` program.

use std::ffi::c_char;
use std::process::ExitCode;

/// Gives memory back that other threads can use: with glibc's the daemon took half as much again
/// beside streams (docs/decisions/0002).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's options, which the environment's `_RJEM_MALLOC_CONF` may override: what is free goes
/// back to the system within a second, not ten.
// SAFETY: the one symbol that jemalloc reads its options from, of the type that it declares.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static MALLOC_CONF: Option<&'static c_char> =
    // SAFETY: the pointer is that of a literal.
    Some(unsafe { &*c"dirty_decay_ms:1000".as_ptr() });

fn main() -> ExitCode {
    volfs::cli::main()
}
