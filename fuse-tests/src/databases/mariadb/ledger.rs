//! Two tables that each transaction keeps in step, and a client that knows what was acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::MariaDb;
use crate::run::{exits_within, pid_of};

/// Row n of `entry` counts in row n % this of `total`.
const TOTALS: u64 = 7;

/// Makes the tables, empty. Entries are page-compressed if asked for.
#[track_caller]
pub fn create(server: &MariaDb, compressed: bool) {
    let option = if compressed { "page_compressed=1" } else { "" };
    server.query(&format!(
        "create database ledger; use ledger; \
         create table entry(n bigint primary key, text text, size int, key(size)) \
         engine=innodb {option}; \
         create table total(part int primary key, entries int, bytes int) engine=innodb; \
         insert into total select seq, 0, 0 from seq_0_to_{}",
        TOTALS - 1
    ));
}

/// Fails the test unless the entries 1 to n are there for some n, whole, and both tables agree;
/// returns n.
#[track_caller]
pub fn check(server: &MariaDb) -> u64 {
    let rows = server.query(
        "select count(*), coalesce(max(n), 0), coalesce(sum(size = length(text)), 0) \
         from ledger.entry",
    );
    let rows: Vec<u64> = rows
        .split('\t')
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert!(
        rows.iter().all(|number| *number == rows[0]),
        "entries are missing or damaged: {rows:?}"
    );
    let differing = server.query(&format!(
        "select part from ledger.total where (entries, bytes) <> (select count(*), \
         coalesce(sum(size), 0) from ledger.entry where n % {TOTALS} = part)"
    ));
    assert_eq!(differing, "", "parts whose total is not that of their rows");
    rows[0]
}

/// A client that adds one entry a transaction. Dropped, it is killed.
#[derive(Debug)]
pub struct Entries {
    child: Child,
    acknowledged: Arc<AtomicU64>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Entries {
    /// Adds entries from `first` on.
    pub fn start(server: &MariaDb, first: u64) -> Entries {
        let mut client = server.client("mariadb");
        client.args(["--batch", "--skip-column-names", "--unbuffered", "ledger"]);
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the client is installed");
        let mut input = child.stdin.take().expect("stdin is a pipe");
        let output = child.stdout.take().expect("stdout is a pipe");
        // Ends when the client does: the pipe breaks.
        thread::spawn(move || (first..).try_for_each(|n| writeln!(input, "{}", statements(n))));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&acknowledged);
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let number = line.parse().expect("only numbers are selected");
                seen.store(number, Ordering::SeqCst);
            }
        });
        Entries {
            child,
            acknowledged,
            reader: Some(reader),
        }
    }

    /// The last entry whose commit was acknowledged until now; 0 if none was.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits for the client to fail, and returns the last entry whose commit was acknowledged.
    #[track_caller]
    pub fn finish(mut self) -> u64 {
        let ended = exits_within(pid_of(&self.child), Duration::from_secs(60));
        assert!(ended, "the client hangs");
        let reader = self.reader.take().expect("finished only once");
        reader.join().expect("the client prints numbers only");
        self.acknowledged()
    }

    /// Kills the client, and returns what [`Entries::finish`] does.
    #[track_caller]
    pub fn kill(mut self) -> u64 {
        let _ = self.child.kill();
        self.finish()
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One transaction, and a result that says that it was committed.
fn statements(n: u64) -> String {
    let part = n % TOTALS;
    let length = n % 3000;
    format!(
        "begin; insert into entry values({n}, concat('{n}', repeat('x', {length})), \
         length('{n}') + {length}); \
         update total set entries = entries + 1, bytes = bytes + length('{n}') + {length} \
         where part = {part}; commit; select {n};"
    )
}
