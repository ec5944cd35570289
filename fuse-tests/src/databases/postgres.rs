//! PostgreSQL 15 as Debian packages it, on a Unix socket of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::fixture::text;
use crate::run::{self, Ran, eventually, run_for};
use crate::server::Server;

/// Another Postgres may come first in PATH.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The server refuses to run as root.
pub const USER: &str = "postgres";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server. Dropped, it is killed; its data folder stays.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    /// Folder of the socket and the log, not on the volume.
    place: PathBuf,
}

/// Makes `data` a new cluster that belongs to [`USER`].
#[track_caller]
pub fn initdb(data: &Path) {
    let owner = format!("{USER}:{USER}");
    run::run(Command::new("chown").arg(owner).arg(data)).ok();
    let arguments = [
        "--auth=trust",
        "--no-instructions",
        "--data-checksums",
        "-D",
        text(data),
    ];
    run::run(as_user("initdb").args(arguments)).ok();
}

impl Postgres {
    /// Starts the server on `data` and waits until it answers. `name` tells servers of one
    /// fixture apart; socket and log go to a folder of that name in `folder`.
    #[track_caller]
    pub fn start(data: &Path, folder: &Path, name: &str) -> Postgres {
        let place = folder.join(name);
        if !place.exists() {
            fs::create_dir(&place).expect("the folder above exists");
            run::run(Command::new("chown").arg(USER).arg(&place)).ok();
        }
        let arguments = [
            "-D",
            text(data),
            "-k",
            text(&place),
            // Only the socket, so that servers never compete for a port.
            "-c",
            "listen_addresses=",
            "-c",
            "shared_buffers=32MB",
            "-c",
            "max_wal_size=128MB",
            "-c",
            "checkpoint_timeout=30s",
        ];
        let program = Path::new(PROGRAMS).join("postgres");
        let server = Server::start(Some(USER), &program, &arguments, place.join("log"));
        let mut postgres = Postgres { server, place };
        let socket = text(&postgres.place).to_owned();
        eventually("Postgres answers", START_LIMIT, || {
            assert!(
                postgres.server.is_running(),
                "Postgres ended:\n{}",
                postgres.server.log()
            );
            run::run(as_user("pg_isready").args(["-q", "-h", &socket])).code == 0
        });
        postgres
    }

    /// Starts a second server on a copy that was made while the first was running.
    #[track_caller]
    pub fn start_copy(data: &Path, folder: &Path, name: &str) -> Postgres {
        // It names the process of the first server, which is alive, so that the copy would
        // refuse to start.
        fs::remove_file(data.join("postmaster.pid")).expect("it was copied from a running server");
        Postgres::start(data, folder, name)
    }

    /// The result of one statement, a row a line, columns separated by `|`.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.client(
            "psql",
            &["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql],
        )
        .ok()
    }

    /// Fills the pgbench tables, `scale` x 100 000 accounts.
    #[track_caller]
    pub fn fill(&self, scale: u32) {
        self.client("pgbench", &["-i", "-q", "-s", &scale.to_string()])
            .expect_code(0);
    }

    /// Runs TPC-B-like transactions of four clients.
    #[track_caller]
    pub fn work(&self, seconds: u32) {
        let seconds = seconds.to_string();
        self.client("pgbench", &["-n", "-c", "4", "-T", &seconds])
            .expect_code(0);
    }

    /// The same in the background, until it ends or the server goes.
    pub fn load(&self, seconds: u32) -> Load {
        let seconds = seconds.to_string();
        let arguments = [
            "-n",
            "-c",
            "4",
            "-T",
            &seconds,
            "-h",
            text(&self.place),
            "postgres",
        ];
        let program = Path::new(PROGRAMS).join("pgbench");
        let log = self.place.join("pgbench.log");
        let _ = fs::remove_file(&log);
        Load {
            before: self.transactions(),
            pgbench: Server::start(Some(USER), &program, &arguments, log),
        }
    }

    /// Transactions that pgbench has committed since [`Postgres::fill`].
    #[track_caller]
    pub fn transactions(&self) -> u64 {
        let count = self.query("select count(*) from pgbench_history");
        count.parse().expect("count(*) is a number")
    }

    /// Fails the test unless every index and heap is sound and all pgbench sums agree.
    #[track_caller]
    pub fn check(&self) {
        let arguments = [
            "--install-missing",
            "--heapallindexed",
            "--parent-check",
            "-d",
            "postgres",
        ];
        self.client_only("pg_amcheck", &arguments).ok();
        self.check_sums();
    }

    /// Fails the test unless all pgbench sums agree.
    #[track_caller]
    pub fn check_sums(&self) {
        let sums = self.query(
            "select (select sum(abalance) from pgbench_accounts), \
             (select sum(tbalance) from pgbench_tellers), \
             (select sum(bbalance) from pgbench_branches), \
             (select coalesce(sum(delta), 0) from pgbench_history)",
        );
        let sums: Vec<&str> = sums.split('|').collect();
        assert!(
            sums.iter().all(|sum| *sum == sums[0]),
            "the pgbench sums differ: {sums:?}"
        );
    }

    /// Stops as `pg_ctl stop` does, and waits.
    #[track_caller]
    pub fn stop(self) {
        assert_eq!(
            self.server.stop(Signal::INT),
            Some(0),
            "Postgres stops cleanly"
        );
    }

    /// Stops without a checkpoint, and waits: the next start has to recover.
    #[track_caller]
    pub fn crash(self) {
        self.server.stop(Signal::QUIT);
    }

    #[track_caller]
    fn client(&self, program: &str, arguments: &[&str]) -> Ran {
        self.client_only(program, &[arguments, &["postgres"]].concat())
    }

    /// The same without a database as last argument.
    #[track_caller]
    fn client_only(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = as_user(program);
        command.args(["-h", text(&self.place)]).args(arguments);
        run_for(&mut command, Duration::from_secs(180))
    }
}

/// A pgbench in the background.
#[derive(Debug)]
pub struct Load {
    pgbench: Server,
    before: u64,
}

impl Load {
    /// Waits for the end and returns how many transactions were committed and acknowledged since
    /// [`Postgres::fill`], those of this load included.
    #[track_caller]
    pub fn finish(self, limit: Duration) -> u64 {
        let log = self.pgbench.log_path();
        self.pgbench.wait(limit);
        let log = fs::read_to_string(log).expect("pgbench has a log");
        let count = log.lines().find_map(|line| {
            line.strip_prefix("number of transactions actually processed: ")?
                .parse::<u64>()
                .ok()
        });
        self.before + count.unwrap_or_else(|| panic!("pgbench does not say how many:\n{log}"))
    }
}

fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]);
    command
        .arg(Path::new(PROGRAMS).join(program))
        .current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the host's filesystem a cluster fills, works, recovers from a crash and passes the
    /// check, and the check notices a damaged index.
    #[test]
    fn check_passes_and_fails_when_it_should() {
        let fixture = crate::Fixture::new();
        let data = fixture.folder().join("data");
        fs::create_dir(&data).unwrap();
        initdb(&data);
        let postgres = Postgres::start(&data, fixture.folder(), "pg");
        postgres.fill(1);
        let load = postgres.load(60);
        eventually("transactions are committed", START_LIMIT, || {
            postgres.transactions() > 100
        });
        postgres.crash();
        let acknowledged = load.finish(START_LIMIT);

        let postgres = Postgres::start(&data, fixture.folder(), "pg");
        postgres.check();
        let found = postgres.transactions();
        assert!(
            (acknowledged..=acknowledged + 4).contains(&found),
            "{acknowledged}: {found}"
        );

        let index = postgres.query("select pg_relation_filepath('pgbench_accounts_pkey')");
        postgres.stop();
        let path = data.join(index);
        let mut bytes = fs::read(&path).unwrap();
        bytes[8192 * 5 + 100] ^= 0xff;
        fs::write(&path, bytes).unwrap();
        let postgres = Postgres::start(&data, fixture.folder(), "pg");
        let check = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| postgres.check()));
        assert!(check.is_err(), "a flipped byte in an index was not noticed");
    }
}
