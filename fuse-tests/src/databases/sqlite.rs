//! SQLite through its command line program.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::client::{Client, script};
use super::engine::version_of;
use crate::run::{exits_within, pid_of, run};

/// Wait for other users of the file instead of failing.
const WAIT: &str = ".timeout 20000";

/// FULL, the default, does not sync the folder after it has removed a rollback journal, which is
/// the commit: after power loss the last acknowledged transaction may be undone, on any filesystem.
const SYNC: &str = "pragma synchronous=extra";

/// How SQLite keeps a transaction atomic.
#[derive(Debug, Clone, Copy)]
pub enum Journal {
    /// A write-ahead log with a shared-memory index.
    Wal,
    /// A rollback journal, deleted at each commit.
    Delete,
}

impl Journal {
    /// The name that `PRAGMA journal_mode` knows.
    pub fn name(self) -> &'static str {
        match self {
            Journal::Wal => "wal",
            Journal::Delete => "delete",
        }
    }
}

/// Several processes on one file. The mode is a journal mode, with `-mmap` behind it for reads
/// through a mapping. SQLite's own checks are part of the client's.
pub fn client(mode: &'static str) -> Client {
    let program = vec!["/usr/bin/python3".to_owned(), script("sqlite_client.py")];
    let version = || version_of("sqlite3", &["--version"]);
    Client::new("sqlite", version, program, mode, |_, _, _| ()).with_processes(3)
}

/// The result of some statements on a database file.
#[track_caller]
pub fn query(database: &Path, sql: &str) -> String {
    run(Command::new("sqlite3")
        .args(["-bail", "-cmd", WAIT])
        .arg(database)
        .arg(sql))
    .ok()
}

/// Rows of `total`; row n of `t` counts in row n % this.
const TOTALS: u64 = 7;

/// Makes a database with an empty, indexed table and a second table of sums over it, which each
/// transaction keeps in step.
#[track_caller]
pub fn create(database: &Path, journal: Journal) {
    let mode = journal.name();
    let sql = format!(
        "pragma journal_mode={mode}; create table t(n integer primary key, text text, size int); \
         create index t_text on t(text); \
         create table total(part integer primary key, rows int, bytes int); \
         with recursive part(n) as \
         (select 0 union all select n + 1 from part where n < {TOTALS} - 1) \
         insert into total select n, 0, 0 from part;"
    );
    assert_eq!(query(database, &sql), mode);
}

/// Fails the test unless the file is sound, holds the rows 1 to n for some n, and both tables
/// agree; returns n.
#[track_caller]
pub fn check(database: &Path) -> u64 {
    assert_eq!(query(database, "pragma integrity_check"), "ok");
    let rows = query(
        database,
        "select count(*), coalesce(max(n), 0), total(size = length(text)) from t",
    );
    let rows: Vec<f64> = rows
        .split('|')
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert!(
        rows.iter().all(|number| *number == rows[0]),
        "rows are missing or damaged: {rows:?}"
    );
    let differing = query(
        database,
        &format!(
            "select part from total where (rows, bytes) is not \
             (select count(*), coalesce(sum(size), 0) from t where n % {TOTALS} = part)"
        ),
    );
    assert_eq!(differing, "", "parts whose total is not that of their rows");
    rows[0] as u64
}

/// A program that inserts one row a transaction. Dropped, it is killed.
#[derive(Debug)]
pub struct Inserts {
    child: Child,
    output: Option<thread::JoinHandle<String>>,
}

impl Inserts {
    /// Inserts rows from `first` on, each durable before the next.
    pub fn start(database: &Path, first: u64) -> Inserts {
        // By the line, so that what was acknowledged is told even when a page fault on a dead mount
        // kills it.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "sqlite3", "-bail"])
            .args(["-cmd", WAIT, "-cmd", SYNC])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sqlite3 is installed");
        let mut input = child.stdin.take().expect("stdin is a pipe");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        thread::spawn(move || {
            // Ends when the program does: the pipe breaks.
            (first..).try_for_each(|n| {
                let text = "x".repeat(n as usize % 3000);
                let part = n % TOTALS;
                writeln!(
                    input,
                    "begin immediate; insert into t values({n},'{n}{text}',length('{n}{text}')); \
                     update total set rows = rows + 1, bytes = bytes + length('{n}{text}') \
                     where part = {part}; commit;"
                )
                .and_then(|()| writeln!(input, "select {n};"))
            })
        });
        let output = thread::spawn(move || std::io::read_to_string(stdout).unwrap_or_default());
        Inserts {
            child,
            output: Some(output),
        }
    }

    /// Waits for the program to fail and returns the last row whose commit was acknowledged.
    #[track_caller]
    pub fn finish(mut self) -> u64 {
        let ended = exits_within(pid_of(&self.child), Duration::from_secs(30));
        assert!(ended, "sqlite3 hangs");
        let _ = self.child.wait();
        let output = self.output.take().expect("finished only once");
        let output = output.join().expect("the reader does not panic");
        output
            .lines()
            .last()
            .and_then(|line| line.parse().ok())
            .unwrap_or(0)
    }

    /// Kills the program and returns what [`Inserts::finish`] does.
    #[track_caller]
    pub fn kill(mut self) -> u64 {
        let _ = self.child.kill();
        self.finish()
    }
}

impl Drop for Inserts {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::eventually;

    /// On the host's filesystem rows arrive in both modes and the check counts them, and it
    /// notices a row that is missing.
    #[test]
    fn check_counts_rows_and_notices_a_gap() {
        for journal in [Journal::Wal, Journal::Delete] {
            let folder = tempfile::tempdir_in("/var/tmp").unwrap();
            let database = folder.path().join("db");
            create(&database, journal);
            let inserts = Inserts::start(&database, 1);
            let rows = || query(&database, "select count(*) from t");
            eventually("rows arrive", Duration::from_secs(20), || {
                rows().parse::<u64>().unwrap() > 20
            });
            let acknowledged = inserts.kill();
            assert!(check(&database) >= acknowledged);

            let fails = || std::panic::catch_unwind(|| check(&database)).is_err();
            query(
                &database,
                "update total set bytes = bytes + 1 where part = 3",
            );
            assert!(fails(), "half a transaction was not noticed");
            query(
                &database,
                "update total set bytes = bytes - 1 where part = 3",
            );
            assert!(!fails());
            query(&database, "delete from t where n = 7");
            assert!(fails(), "a missing row was not noticed");
        }
    }
}
