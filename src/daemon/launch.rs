//! Starting a daemon in the background.
//!
//! The child gets a pipe as its standard output and reports over it, in one line of JSON, that it
//! serves or why it does not. So the starter's user sees the child's real error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::service::Life;
use super::{Kind, ServiceError, ServiceResult};

const LOG: &str = "daemon.log";
const OLD_LOG: &str = "daemon.log.1";

/// A log above this size is put aside when a daemon starts, in bytes.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    /// A daemon serves the pool.
    Serving,
    /// It cannot.
    Failed(ServiceError),
}

/// Starts a daemon and returns when it serves the pool, or when another one does. It outlives
/// this process, its terminal and its process group.
pub(crate) fn launch(pool: &Path, life: Life) -> ServiceResult<()> {
    let program = std::env::current_exe()
        .map_err(|error| ServiceError::environment("find", Path::new("/proc/self/exe"), &error))?;
    let mut command = Command::new(&program);
    command
        .arg("--pool")
        .arg(pool)
        .args(["daemon", "run", "--detached"]);
    if life == Life::EndsWithLastMount {
        command.arg("--until-unmounted");
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(open_log(pool)?);
    // SAFETY: the closure runs between fork and exec and makes system calls only.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            // A script's descriptors, a lock's for instance, must not live as long as the daemon.
            // Fails on a kernel before 5.11 only, which leaves them open.
            libc::close_range(
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
            );
            Ok(())
        });
    }
    let mut child = command
        .spawn()
        .map_err(|error| ServiceError::environment("start a daemon with", &program, &error))?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(|error| ServiceError::environment("hear from the daemon of", pool, &error))?;
    }
    match serde_json::from_str(&line) {
        Ok(Report::Serving) => Ok(()),
        Ok(Report::Failed(error)) => {
            // It ends now; its exit says nothing more.
            let _ = child.wait();
            Err(error)
        }
        Err(_) => {
            let how = match child.wait() {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            let message = format!("the daemon has ended at its start ({how})");
            let log = pool.join(LOG);
            Err(ServiceError::new(Kind::Failed, message)
                .hint(format!("its log says more: {}", log.display())))
        }
    }
}

/// In the child: tells the starter, once, and lets go of the pipe.
pub(crate) fn report(outcome: Result<(), &ServiceError>) -> io::Result<()> {
    let report = match outcome {
        Ok(()) => Report::Serving,
        Err(error) => Report::Failed(error.clone()),
    };
    let mut line = serde_json::to_vec(&report)?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    let told = output.write_all(&line).and_then(|()| output.flush());
    // The starter may have been killed meanwhile; the daemon serves all the same.
    if let Err(error) = told {
        log::warn!("cannot report to who started the daemon: {error}");
    }
    Ok(rustix::stdio::dup2_stdout(File::open("/dev/null")?)?)
}

fn open_log(pool: &Path) -> ServiceResult<File> {
    let path = pool.join(LOG);
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        fs::rename(&path, pool.join(OLD_LOG))
            .map_err(|error| ServiceError::environment("put aside", &path, &error))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(|error| ServiceError::environment("open the log", &path, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A report survives the pipe.
    #[test]
    fn reports_round_trip() {
        let error = ServiceError::new(Kind::Corrupt, "both slots are damaged");
        let line = serde_json::to_string(&Report::Failed(error.clone())).unwrap();
        assert!(
            matches!(serde_json::from_str(&line).unwrap(), Report::Failed(told) if told == error)
        );
        assert_eq!(
            serde_json::to_string(&Report::Serving).unwrap(),
            "\"serving\""
        );
    }

    /// The log is for the owner only, and a long one is put aside.
    #[test]
    fn the_log_is_private_and_bounded() {
        let pool = tempfile::tempdir().unwrap();
        let log = open_log(pool.path()).unwrap();
        assert_eq!(log.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        log.set_len(LOG_BYTES_MAX + 1).unwrap();
        let log = open_log(pool.path()).unwrap();
        assert_eq!(log.metadata().unwrap().len(), 0);
        let old = fs::metadata(pool.path().join(OLD_LOG)).unwrap();
        assert_eq!(old.len(), LOG_BYTES_MAX + 1);
    }
}
