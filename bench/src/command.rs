//! Programs that the benchmarks run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Who runs the servers: they refuse to be run by root, or check less of what they do then.
const DATABASE_USER: &str = "postgres";
const POLL: Duration = Duration::from_millis(100);

/// A program with arguments.
pub fn command<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The same, run by the user of the databases in the same process. It ends with the benchmark.
pub fn as_database_user(program: &Path) -> Command {
    let mut command = command(
        "setpriv",
        ["--reuid", DATABASE_USER, "--regid", DATABASE_USER],
    );
    command.args(["--init-groups", "--pdeathsig", "KILL", "--"]);
    command.arg(program);
    command.current_dir("/");
    command
}

/// Makes a folder that only the user of the databases, and root, may look into.
///
/// # Errors
/// It cannot be made, or there is no such user.
pub fn give_to_database_user(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let owner = format!("{DATABASE_USER}:{DATABASE_USER}");
    run(&mut command("chown", [owner.as_str(), text(folder)?]))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    Ok(())
}

/// Runs it; what it prints.
///
/// # Errors
/// It cannot be run, or fails: with what it says.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}: {said}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits until it is so.
///
/// # Errors
/// It is not within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        sleep(POLL);
    }
    Ok(())
}

/// A path as text.
///
/// # Errors
/// It is none.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}
