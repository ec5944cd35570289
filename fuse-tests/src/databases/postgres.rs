//! PostgreSQL 15 as Debian packages it, on a Unix socket of its own.

pub mod copies;
pub mod suite;
pub mod wal;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::text;
use crate::run::{self, Ran, eventually, exits_within, run_for};
use crate::server::{Server, to_become};

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

/// Gives a folder to [`USER`], and nobody else may look into it, as the server demands.
#[track_caller]
pub fn give(folder: &Path) {
    let owner = format!("{USER}:{USER}");
    run::run(Command::new("chown").arg(owner).arg(folder)).ok();
    fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("we are root");
}

/// Makes `data` a new cluster that belongs to [`USER`].
#[track_caller]
pub fn initdb(data: &Path) {
    initdb_below(&[], data);
}

/// The same below another program such as strace.
#[track_caller]
pub fn initdb_below(wrapper: &[&str], data: &Path) {
    give(data);
    let arguments = [
        "--auth=trust",
        "--no-instructions",
        "--data-checksums",
        "-D",
        text(data),
    ];
    let program = Path::new(PROGRAMS).join("initdb");
    let mut command = Command::new("setpriv");
    command.args(to_become(USER)).arg("--");
    let command = command.args(wrapper).arg(program).current_dir("/");
    run::run(command.args(arguments)).ok();
}

/// Fails the test unless every page of a stopped cluster has the checksum that it bears.
#[track_caller]
pub fn check_pages(data: &Path) {
    let mut command = as_user("pg_checksums");
    let report = run::run(command.args(["--check", "-D", text(data)])).ok();
    assert!(report.contains("Bad checksums:  0"), "{report}");
}

impl Postgres {
    /// Starts the server on `data` and waits until it answers. `name` tells servers of one
    /// fixture apart; socket and log go to a folder of that name in `folder`.
    #[track_caller]
    pub fn start(data: &Path, folder: &Path, name: &str) -> Postgres {
        Postgres::start_with(data, folder, name, &[])
    }

    /// The same with settings such as `wal_sync_method=fsync`.
    #[track_caller]
    pub fn start_with(data: &Path, folder: &Path, name: &str, settings: &[&str]) -> Postgres {
        Postgres::start_below(&[], data, folder, name, settings)
    }

    /// The same below another program such as strace; [`Postgres::shut_down`] ends it then.
    #[track_caller]
    pub fn start_below(
        wrapper: &[&str],
        data: &Path,
        folder: &Path,
        name: &str,
        settings: &[&str],
    ) -> Postgres {
        let place = folder.join(name);
        if !place.exists() {
            fs::create_dir(&place).expect("the folder above exists");
            give(&place);
        }
        let mut arguments = vec![
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
        // Of a setting that is given twice the last one counts.
        arguments.extend(settings.iter().flat_map(|setting| ["-c", setting]));
        let program = Path::new(PROGRAMS).join("postgres");
        let line = [wrapper, &[text(&program)], &arguments].concat();
        let server = Server::start(
            Some(USER),
            Path::new(line[0]),
            &line[1..],
            place.join("log"),
        );
        let mut postgres = Postgres { server, place };
        let host = postgres.host().to_owned();
        eventually("Postgres answers", START_LIMIT, || {
            assert!(
                postgres.server.is_running(),
                "Postgres ended:\n{}",
                postgres.server.log()
            );
            run::run(as_user("pg_isready").args(["-q", "-h", &host])).code == 0
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

    /// The folder of its socket: what clients take for its host.
    pub fn host(&self) -> &str {
        text(&self.place)
    }

    /// The result of one statement, a row a line, columns separated by `|`.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.query_in("postgres", sql)
    }

    /// The same of a statement that may fail.
    pub fn try_query(&self, sql: &str) -> Ran {
        self.client_only("psql", &["-X", "-q", "-A", "-t", "-c", sql, "postgres"])
    }

    /// As [`Postgres::query`] in another database.
    #[track_caller]
    pub fn query_in(&self, database: &str, sql: &str) -> String {
        let plain = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
        self.client_only("psql", &[&plain[..], &["-c", sql, database]].concat())
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
        self.check_structure(&["-d", "postgres"]);
        self.check_sums();
    }

    /// Fails the test unless every index and heap is sound in the databases that the arguments
    /// of pg_amcheck name.
    #[track_caller]
    pub fn check_structure(&self, which: &[&str]) {
        let arguments = ["--install-missing", "--heapallindexed", "--parent-check"];
        self.client_only("pg_amcheck", &[&arguments, which].concat())
            .ok();
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

    /// Lets pg_ctl stop it, and waits: whom it finds is the server, also below another program.
    #[track_caller]
    pub fn shut_down(self, data: &Path) {
        let mut stop = as_user("pg_ctl");
        run::run(stop.args(["-D", text(data), "-m", "fast", "-w", "stop"])).ok();
        assert_eq!(self.server.wait(START_LIMIT), Some(0));
    }

    /// Stops without a checkpoint, and waits: the next start has to recover.
    #[track_caller]
    pub fn crash(self) {
        self.server.stop(Signal::QUIT);
    }

    /// SIGKILL for the server and each of its processes, and waits until they are gone.
    #[track_caller]
    pub fn kill(self) {
        // Stopped, it starts no more of them.
        kill_process(self.server.pid(), Signal::STOP).expect("the server runs");
        let children = self.processes();
        self.server.stop(Signal::KILL);
        for child in children {
            // It may have noticed that the server is gone.
            let _ = kill_process(child, Signal::KILL);
            assert!(exits_within(child, START_LIMIT), "{child:?} is still there");
        }
    }

    /// The processes that it has started and that run now.
    fn processes(&self) -> Vec<Pid> {
        let pid = self.server.pid().as_raw_nonzero();
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let list = list.expect("the server runs");
        let pids = list.split_whitespace().map(|pid| pid.parse());
        pids.map(|pid| Pid::from_raw(pid.expect("a number")).expect("not 0"))
            .collect()
    }

    #[track_caller]
    fn client(&self, program: &str, arguments: &[&str]) -> Ran {
        self.client_only(program, &[arguments, &["postgres"]].concat())
    }

    /// The same without a database as last argument.
    #[track_caller]
    fn client_only(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = as_user(program);
        command.args(["-h", self.host()]).args(arguments);
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

/// One of Postgres' programs, run by [`USER`].
fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(to_become(USER)).arg("--");
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
