//! MariaDB 10.11 as Debian packages it, on a Unix socket of its own.

pub mod copies;
pub mod ledger;
pub mod pages;
pub mod sysbench;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::fixture::text;
use crate::run::{Ran, eventually, run, run_for};
use crate::server::{Server, to_become};

/// Group and user of the official image; has a name on few hosts.
pub const USER: &str = "999";
const PROGRAM: &str = "/usr/sbin/mariadbd";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Everything durable at each commit, and pages past the host's cache.
const SETTINGS: [&str; 12] = [
    "--skip-networking",
    "--innodb-flush-method=O_DIRECT",
    "--innodb-doublewrite=ON",
    "--innodb-flush-log-at-trx-commit=1",
    "--log-bin=binlog",
    "--sync-binlog=1",
    "--innodb-buffer-pool-size=32M",
    // Small, so that checkpoints and their page writes go on all the time.
    "--innodb-log-file-size=8M",
    // Temporary tables and files beyond this go to the volume.
    "--tmp-memory-table-size=64K",
    "--sort-buffer-size=64K",
    "--innodb-purge-threads=1",
    "--performance-schema=OFF",
];

/// A running server. Dropped, it is killed; its data stays.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    socket: PathBuf,
}

/// The folder of the databases on a volume.
pub fn data_folder(volume: &Path) -> PathBuf {
    volume.join("data")
}

/// The folders of databases and of temporary files on an empty volume.
#[track_caller]
fn make_folders(volume: &Path) {
    for folder in [&data_folder(volume), &volume.join("tmp")] {
        fs::create_dir(folder).expect("the volume is empty");
        let owner = format!("{USER}:{USER}");
        run(Command::new("chown").arg(owner).arg(folder)).ok();
    }
}

/// Makes an empty volume's root a home for [`MariaDb::start`]: databases, and temporary files.
#[track_caller]
pub fn install(volume: &Path) {
    make_folders(volume);
    let data = data_folder(volume);
    let mut install = as_user("/usr/bin/mariadb-install-db");
    // A server that starts removes temporary tables from this folder, also those of others.
    install.env("TMPDIR", volume.join("tmp"));
    install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
    install
        .arg("--skip-test-db")
        .arg(format!("--datadir={}", text(&data)));
    run_for(&mut install, START_LIMIT).ok();
}

impl MariaDb {
    /// Starts the server on a volume and waits until it answers. `name` tells servers of one
    /// fixture apart; socket and log go to a folder of that name in `folder`.
    #[track_caller]
    pub fn start(volume: &Path, folder: &Path, name: &str) -> MariaDb {
        MariaDb::start_with(volume, folder, name, &[])
    }

    /// The same with further options.
    #[track_caller]
    pub fn start_with(volume: &Path, folder: &Path, name: &str, options: &[&str]) -> MariaDb {
        let place = folder.join(name);
        if !place.exists() {
            fs::create_dir(&place).expect("the folder above exists");
            run(Command::new("chown").arg(USER).arg(&place)).ok();
        }
        let socket = place.join("socket");
        let option = |name: &str, path: &Path| format!("--{name}={}", text(path));
        let places = [
            "--no-defaults".to_owned(),
            option("datadir", &data_folder(volume)),
            option("tmpdir", &volume.join("tmp")),
            option("socket", &socket),
            option("pid-file", &place.join("pid")),
        ];
        let places = places.iter().map(String::as_str);
        let arguments: Vec<&str> = places
            .chain(SETTINGS)
            .chain(options.iter().copied())
            .collect();
        let log = place.join("log");
        let server = Server::start(Some(USER), Path::new(PROGRAM), &arguments, log);
        let mut database = MariaDb { server, socket };
        eventually("MariaDB answers", START_LIMIT, || {
            assert!(
                database.server.is_running(),
                "MariaDB ended:\n{}",
                database.server.log()
            );
            database.try_query("select 1").code == 0
        });
        database
    }

    /// The result of some statements, a row a line, columns separated by tabs.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).ok()
    }

    /// As [`MariaDb::query`], of statements that may fail.
    #[track_caller]
    pub fn try_query(&self, sql: &str) -> Ran {
        let mut command = self.client("mariadb");
        command.args(["--batch", "--skip-column-names", "-e", sql]);
        run_for(&mut command, Duration::from_secs(180))
    }

    /// One number.
    #[track_caller]
    pub fn number(&self, sql: &str) -> u64 {
        let result = self.query(sql);
        let number = result.split('\t').next_back().and_then(|n| n.parse().ok());
        number.unwrap_or_else(|| panic!("'{sql}' is no number: {result}"))
    }

    /// A variable of `show global status`.
    #[track_caller]
    pub fn status(&self, variable: &str) -> u64 {
        self.number(&format!("show global status like '{variable}'"))
    }

    /// Fails the test unless `check table ... extended` finds every table of every database
    /// sound.
    #[track_caller]
    pub fn check_tables(&self) {
        let mut command = self.client("mariadb-check");
        command.args(["--all-databases", "--check", "--extended"]);
        let report = run_for(&mut command, Duration::from_secs(300)).ok();
        assert!(tables_are_sound(&report), "{report}");
    }

    /// One of the client programs, to be given arguments.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["--no-defaults", "--user=root", "--socket"]);
        command.arg(&self.socket);
        command
    }

    /// The socket that clients find it at.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// What it has printed until now.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Stops as `mariadb-admin shutdown` does, and waits; every changed page is in its place then.
    #[track_caller]
    pub fn stop(self) {
        let code = self.server.stop(Signal::TERM);
        assert_eq!(code, Some(0), "MariaDB stops cleanly");
    }

    /// SIGKILL, and waits: the next start has to recover.
    #[track_caller]
    pub fn kill(self) {
        self.server.stop(Signal::KILL);
    }
}

/// A program run by [`USER`].
fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(to_become(USER)).arg("--").arg(program);
    command.current_dir("/");
    command
}

/// Whether a report of mariadb-check is about many tables, and says nothing against any of them.
///
/// A table is one line, ` OK` at its end; or its name alone, then lines of what was found, and
/// `status : OK` if it is sound all the same. That is so where purge and rollback have met and left
/// an entry of an index behind that is marked as deleted (info_bits 32) and leads nowhere: no query
/// sees it, and MariaDB warns of it and no more (MDEV-24402). All else that is found is a fault.
fn tables_are_sound(report: &str) -> bool {
    let is_leftover = |line: &str| {
        line.starts_with("Warning ")
            && line.contains(": InnoDB: Clustered index record not found for index ")
            && line.contains(": COMPACT RECORD(info_bits=32, ")
    };
    let (mut tables, mut named) = (0, None);
    for line in report.lines() {
        match (named, line.strip_suffix(" OK")) {
            (None, Some(_)) => tables += 1,
            (None, None) => named = Some(line),
            (Some(_), Some(status)) if status.trim_end() == "status   :" => {
                (tables, named) = (tables + 1, None);
            }
            (Some(_), _) if is_leftover(line) => {}
            (Some(_), _) => return false,
        }
    }
    tables > 30 && named.is_none()
}
