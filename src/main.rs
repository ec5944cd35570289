//! The `volfs` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    volfs::cli::main()
}
