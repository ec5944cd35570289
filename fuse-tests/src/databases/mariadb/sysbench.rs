//! sysbench's `oltp_read_write`, whose transactions leave the number of rows as it is.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::MariaDb;
use crate::fixture::text;
use crate::run::run_for;
use crate::server::Server;

const TABLES: u32 = 2;
const ROWS: u64 = 10_000;
const DATABASE: &str = "sbtest";

/// sysbench on one server.
#[derive(Debug)]
pub struct Sysbench {
    socket: PathBuf,
}

impl Sysbench {
    /// Makes and fills its tables.
    #[track_caller]
    pub fn prepare(server: &MariaDb) -> Sysbench {
        server.query(&format!("create database {DATABASE}"));
        let sysbench = Sysbench::on(server);
        sysbench.run(&["oltp_read_write", "prepare"]);
        sysbench
    }

    /// For a server that has the tables.
    pub fn on(server: &MariaDb) -> Sysbench {
        Sysbench {
            socket: server.socket.clone(),
        }
    }

    /// Four clients for so long.
    #[track_caller]
    pub fn work(&self, seconds: u32) {
        self.run(&["oltp_read_write", &format!("--time={seconds}"), "run"]);
    }

    /// The same in the background, until it is dropped or the server goes.
    pub fn load(&self) -> Load {
        let log = self.socket.with_file_name("sysbench.log");
        let mut arguments = self.arguments();
        arguments.extend(["oltp_read_write", "--time=600", "run"].map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let program = std::path::Path::new("/usr/bin/sysbench");
        Load(Server::start(None, program, &arguments, log))
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new("sysbench");
        command.args(self.arguments()).args(arguments);
        run_for(&mut command, Duration::from_secs(120)).expect_code(0);
    }

    fn arguments(&self) -> Vec<String> {
        vec![
            "--db-driver=mysql".to_owned(),
            format!("--mysql-socket={}", text(&self.socket)),
            "--mysql-user=root".to_owned(),
            format!("--mysql-db={DATABASE}"),
            format!("--tables={TABLES}"),
            format!("--table-size={ROWS}"),
            "--threads=4".to_owned(),
            "--events=0".to_owned(),
        ]
    }
}

/// A sysbench in the background. Dropped, it is killed.
#[derive(Debug)]
pub struct Load(Server);

impl Load {
    /// Ends it.
    #[track_caller]
    pub fn stop(mut self) {
        // It may have ended with its server.
        if self.0.is_running() {
            self.0.stop(Signal::KILL);
        }
    }
}

/// Statements that were committed since the server has started.
#[track_caller]
pub fn commits(server: &MariaDb) -> u64 {
    server.status("Com_commit")
}

/// Fails the test unless each of its tables has all its rows, and the primary key and the second
/// index hold the same.
#[track_caller]
pub fn check(server: &MariaDb) {
    for table in 1..=TABLES {
        let [by_key, by_index] = ["primary", &format!("k_{table}")].map(|index| {
            server.query(&format!(
                "select count(*), sum(id), sum(k), sum(id * k) \
                 from {DATABASE}.sbtest{table} force index ({index}) where k >= 0"
            ))
        });
        assert_eq!(by_key, by_index, "the indexes of sbtest{table} differ");
        let all = format!("{ROWS}\t{}\t", ROWS * (ROWS + 1) / 2);
        assert!(by_key.starts_with(&all), "rows of sbtest{table}: {by_key}");
    }
}
