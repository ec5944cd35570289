//! Programs that `scripts/setup.sh` builds or installs beside the build.

use std::env;
use std::path::PathBuf;

/// A file below `target/tools`.
///
/// # Panics
/// When it is missing.
#[track_caller]
pub fn tool(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a process knows its program");
    // target/PROFILE/deps/TEST
    let target = test.ancestors().nth(3);
    let target = target.expect("cargo puts tests three folders deep");
    let path = target.join("tools").join(name);
    assert!(
        path.exists(),
        "{} is missing: run scripts/setup.sh",
        path.display()
    );
    path
}
