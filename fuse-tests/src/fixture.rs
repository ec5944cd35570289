//! A pool of its own for each test, and the `volfs` program bound to it.

use std::env;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::host_disk::{HostDisk, HostFs};
use crate::mounts;
use crate::namespace::with_own_mounts;
use crate::run::{self, Ran, exits_within, run, try_run};
use crate::watchdog::Watchdog;

/// How long a test may take unless it says otherwise.
const LIMIT: Duration = Duration::from_secs(120);
/// How much of the daemon's log a failing test shows, in bytes.
const LOG_TAIL: usize = 6000;
/// Exit code of a command that needs a daemon where none runs.
const NO_DAEMON: i32 = 7;
/// Exit code of a command that would take a mount away from who uses it.
const IN_USE: i32 = 4;

/// A pool in a temporary folder. Dropped, it leaves no mount, process or file.
#[derive(Debug)]
pub struct Fixture {
    folder: TempDir,
    pool: PathBuf,
    disk: Option<HostDisk>,
    _watchdog: Watchdog,
}

impl Fixture {
    /// A new pool folder for a test of at most two minutes. The pool itself does not exist yet.
    pub fn new() -> Fixture {
        Fixture::with_limit(LIMIT)
    }

    /// The same for a test of at most `limit`.
    pub fn with_limit(limit: Duration) -> Fixture {
        let folder = tempfile::Builder::new()
            .prefix("volfs-")
            .tempdir()
            .expect("temporary folder");
        // Database servers run as users of their own and must reach what lies in it.
        let public = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), public).expect("the folder is ours");
        fs::create_dir(folder.path().join("mnt")).expect("the folder is new");
        let watchdog = Watchdog::start(folder.path().to_owned(), limit);
        Fixture {
            pool: folder.path().join("pool"),
            disk: None,
            folder,
            _watchdog: watchdog,
        }
    }

    /// The same with the pool on a disk of its own, whose power can fail.
    pub fn on_disk(fs: HostFs, limit: Duration) -> Fixture {
        let mut fixture = Fixture::with_limit(limit);
        let disk = HostDisk::new(fixture.folder(), fs);
        fixture.pool = disk.path().join("pool");
        fixture.disk = Some(disk);
        fixture
    }

    /// A fixture with one mounted volume `data`, and the mount point.
    pub fn mounted() -> (Fixture, PathBuf) {
        let fixture = Fixture::new();
        fixture.ok(&["volume", "create", "data"]);
        let path = fixture.mount("data");
        (fixture, path)
    }

    /// A folder on the host's filesystem, for whatever the test needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The pool's folder.
    pub fn pool(&self) -> &Path {
        &self.pool
    }

    /// The disk of [`Fixture::on_disk`].
    #[track_caller]
    pub fn disk(&self) -> &HostDisk {
        self.disk.as_ref().expect("the pool has a disk of its own")
    }

    /// Adds a setting to the pool's `pool.toml`; the next owner of the pool heeds it.
    #[track_caller]
    pub fn set(&self, key: &str, value: impl Display) {
        let path = self.pool.join("pool.toml");
        let mut content = fs::read_to_string(&path).expect("the pool exists");
        assert!(content.contains("[settings]"), "{content}");
        content.push_str(&format!("{key} = {value}\n"));
        fs::write(&path, content).expect("the file is ours");
    }

    /// `volfs` with this pool, to be given arguments.
    pub fn command(&self) -> Command {
        self.with_pool(Command::new(binary()))
    }

    /// As [`Fixture::command`], but Ctrl-C ends it, as it ends what a shell has started in the
    /// foreground. A script's job in the background ignores SIGINT, and so does all that it starts:
    /// the tests may be one.
    pub fn foreground_command(&self) -> Command {
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(binary());
        self.with_pool(command)
    }

    fn with_pool(&self, mut command: Command) -> Command {
        command.env("VOLFS_POOL", &self.pool).current_dir("/");
        command
    }

    /// Runs `volfs` to its end.
    #[track_caller]
    pub fn volfs(&self, arguments: &[&str]) -> Ran {
        run(self.command().args(arguments))
    }

    /// Runs `volfs`, which must succeed, and returns its stdout without the last newline.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.once_unused(arguments);
        ran.unwrap_or_else(|problem| panic!("{problem}")).ok()
    }

    /// Runs `volfs`. A mount namespace that another test has made beside this one holds a copy of
    /// its mounts as long as it lives: a refusal for that reason is waited out.
    fn once_unused(&self, arguments: &[&str]) -> Result<Ran, String> {
        let start = Instant::now();
        loop {
            let ran = try_run(self.command().args(arguments), run::LIMIT)?;
            let copied = ran.code == IN_USE && ran.stderr.contains("a mount namespace of its own");
            if !copied || start.elapsed() > run::LIMIT {
                return Ok(ran);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `volfs`, which must fail with `code` and print nothing on stdout; returns its stderr.
    #[track_caller]
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.volfs(arguments).expect_code(code);
        assert_eq!(ran.stdout, "", "a failing command has no result: {ran:#?}");
        assert!(
            !ran.stderr.trim().is_empty(),
            "a failing command says why: {ran:#?}"
        );
        ran.stderr
    }

    /// Runs `volfs` with `--format json` and parses what it prints.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The one object that `inspect` prints of a volume or snapshot.
    #[track_caller]
    pub fn inspect(&self, arguments: &[&str]) -> Value {
        let text = self.ok(arguments);
        let list: Vec<Value> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("not a JSON array: {error} in {text}"));
        assert_eq!(list.len(), 1, "{text}");
        list.into_iter().next().expect("one element")
    }

    /// The folder where [`Fixture::mount`] mounts a volume or snapshot; made if missing.
    pub fn mount_point(&self, source: &str) -> PathBuf {
        let path = self.folder().join("mnt").join(source.replace('@', "-at-"));
        if fs::symlink_metadata(&path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            fs::create_dir(&path).expect("the folder above exists");
        }
        path
    }

    /// Mounts a volume or snapshot and returns where.
    #[track_caller]
    pub fn mount(&self, source: &str) -> PathBuf {
        let path = self.mount_point(source);
        let ran = self.volfs(&["mount", source, text(&path)]).expect_code(0);
        assert_eq!(ran.stdout, "", "mount prints nothing");
        path
    }

    /// Unmounts a volume or snapshot; all of it is durable then.
    #[track_caller]
    pub fn umount(&self, source: &str) {
        assert_eq!(self.ok(&["umount", source]), "");
    }

    /// The process id of the daemon that owns the pool, if one answers.
    pub fn daemon_pid(&self) -> Option<Pid> {
        let ran = self.volfs(&["daemon", "status", "--format", "json"]);
        let status: Value = serde_json::from_str(&ran.stdout).ok()?;
        Pid::from_raw(status["pid"].as_i64()? as i32)
    }

    /// SIGKILL for the daemon; returns when the process is gone and its mounts are dead.
    #[track_caller]
    pub fn kill_daemon(&self) {
        kill(self.daemon_pid().expect("a daemon runs"));
    }

    /// Last lines of the logs in the pool.
    pub fn log_tail(&self) -> String {
        let Ok(entries) = fs::read_dir(&self.pool) else {
            return String::new();
        };
        let logs = entries.flatten().map(|entry| entry.path());
        logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .map(|path| {
                let bytes = fs::read(&path).unwrap_or_default();
                let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL)..];
                format!(
                    "--- {}\n{}\n",
                    path.display(),
                    String::from_utf8_lossy(tail)
                )
            })
            .collect()
    }

    /// Stops the daemon as a user does; every mount goes with it.
    fn stop_politely(&mut self) -> Result<(), String> {
        if self.pool.join("pool.toml").exists() {
            let ran = self.once_unused(&["daemon", "stop"])?;
            if ran.code != 0 && ran.code != NO_DAEMON {
                return Err(format!("at the end of the test: {ran:#?}"));
            }
        }
        self.disk = None;
        let left = mounts::mounts_below(self.folder());
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("left after `daemon stop`: {left:#?}"))
        }
    }

    /// Takes away whatever is still there, without waiting for an answer from anything.
    fn tear_down(&self) {
        eprint!("{}", self.log_tail());
        if let Some(pid) = socket_owner(&self.pool.join("control.sock")) {
            let _ = kill_process(pid, Signal::KILL);
            exits_within(pid, Duration::from_secs(10));
        }
        mounts::abort_below(self.folder());
        mounts::detach_below(self.folder());
    }
}

impl Default for Fixture {
    fn default() -> Fixture {
        Fixture::new()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let failed = thread::panicking();
        let stopped = if failed { Ok(()) } else { self.stop_politely() };
        if failed || stopped.is_err() {
            self.tear_down();
        }
        mounts::make_removable(&self.folder().join("mnt"));
        mounts::make_removable(&self.pool.join("mnt"));
        if let Err(problem) = stopped {
            panic!("{problem}");
        }
    }
}

/// SIGKILL for a process; returns when it is gone.
#[track_caller]
pub fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).expect("the process is ours to kill");
    assert!(
        exits_within(pid, Duration::from_secs(30)),
        "process {pid:?} survived SIGKILL"
    );
}

/// The process that listens on a socket: found without asking it anything.
fn socket_owner(socket: &Path) -> Option<Pid> {
    let stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    rustix::net::sockopt::socket_peercred(&stream)
        .ok()
        .map(|owner| owner.pid)
}

/// A path as text, for command lines.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// The program under test: `VOLFS_BIN`, or what cargo built beside this test.
pub fn binary() -> PathBuf {
    env::var_os("VOLFS_BIN").map_or_else(|| built("volfs"), PathBuf::from)
}

/// The start of a command line that runs what is appended to it where mount(8) finds the program
/// under test: in a mount namespace of its own, with the program in /usr/local/bin.
#[track_caller]
pub fn with_mount_helper(scratch: &Path) -> Command {
    let folder = scratch.join("bin");
    if !folder.exists() {
        fs::create_dir(&folder).expect("the folder above exists");
        symlink(binary(), folder.join("volfs")).expect("the folder is new");
    }
    let script = "mount --bind \"$0\" /usr/local/bin; exec \"$@\"";
    let mut command = with_own_mounts(scratch);
    command.args(["sh", "-ec", script]).arg(folder);
    command
}

/// A program of this workspace that cargo built with the same profile as this test.
pub fn built(program: &str) -> PathBuf {
    let test = env::current_exe().expect("a process knows its program");
    // target/PROFILE/deps/TEST
    let folder = test
        .ancestors()
        .nth(2)
        .expect("cargo puts tests two folders deep");
    let path = folder.join(program);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace`",
        path.display()
    );
    path
}
