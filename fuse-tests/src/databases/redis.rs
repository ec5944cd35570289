//! Redis with an append-only file.

mod engine;

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::fixture::text;
use crate::run::eventually;
use crate::server::Server;

pub use engine::{Sync, Workload};

/// A log that is synced before every answer, and nothing else.
const ALWAYS: [&str; 6] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
];

/// Commands sent before their answers are read.
const PIPELINE: usize = 500;

/// A running server. Dropped, it is killed; its data folder stays.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    socket: PathBuf,
}

impl Redis {
    /// Starts the server on `data` and waits until it answers; socket and log go to `folder`. Its
    /// log is synced before every answer.
    #[track_caller]
    pub fn start(data: &Path, folder: &Path) -> Redis {
        Redis::start_with(data, folder, &ALWAYS)
    }

    /// The same with other settings.
    #[track_caller]
    pub fn start_with(data: &Path, folder: &Path, settings: &[&str]) -> Redis {
        Redis::start_below(&[], data, folder, settings)
    }

    /// The same below another program such as strace.
    #[track_caller]
    pub fn start_below(wrapper: &[&str], data: &Path, folder: &Path, settings: &[&str]) -> Redis {
        let socket = folder.join("redis.sock");
        let program = ["/usr/bin/redis-server"];
        let place = ["--port", "0", "--unixsocket", text(&socket), "--dir"];
        let line = [wrapper, &program, &place, &[text(data)], settings].concat();
        let log = folder.join("redis.log");
        let server = Server::start(None, Path::new(line[0]), &line[1..], log);
        let mut redis = Redis { server, socket };
        eventually("Redis answers", Duration::from_secs(30), || {
            assert!(
                redis.server.is_running(),
                "Redis ended:\n{}",
                redis.server.log()
            );
            redis
                .connect()
                .and_then(|mut client| client.ask("PING"))
                .is_ok_and(|a| a == "+PONG")
        });
        redis
    }

    /// A connection of its own.
    pub fn connect(&self) -> io::Result<Client> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    /// Lets the server end by itself, and waits.
    #[track_caller]
    pub fn shut_down(self) {
        let mut client = self.connect().expect("the server listens");
        // The answer is the end of the connection.
        let _ = client.ask("SHUTDOWN NOSAVE");
        assert_eq!(self.server.wait(Duration::from_secs(30)), Some(0));
    }

    /// Stops the server without ceremony, and waits.
    #[track_caller]
    pub fn kill(self) {
        self.server.stop(Signal::KILL);
    }
}

/// A connection that speaks the inline form of Redis' protocol.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Sends one command and returns the answer: of a bulk string the string, else the line.
    pub fn ask(&mut self, command: &str) -> io::Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<String> {
        let line = self.line()?;
        if line.starts_with('$') && line != "$-1" {
            self.line()
        } else {
            Ok(line)
        }
    }

    /// Sets the keys `k1`, `k2`, … that follow the last one until an error, and returns the last
    /// that was acknowledged.
    pub fn set_until_error(&mut self, last: u64, mut on_each: impl FnMut(u64)) -> u64 {
        let mut acknowledged = last;
        while matches!(self.ask(&set(acknowledged + 1)), Ok(answer) if answer == "+OK") {
            acknowledged += 1;
            on_each(acknowledged);
        }
        acknowledged
    }

    /// Fails the test unless every key up to `last` has its value, and no more exist but one whose
    /// answer may have been lost.
    #[track_caller]
    pub fn check(&mut self, last: u64) {
        let size = self.ask("DBSIZE").expect("Redis answers");
        let possible = [format!(":{last}"), format!(":{}", last + 1)];
        assert!(possible.contains(&size), "{size} keys, acknowledged {last}");
        for first in (1..=last).step_by(PIPELINE) {
            let numbers = first..=last.min(first + PIPELINE as u64 - 1);
            let gets: String = numbers.clone().map(|n| format!("GET k{n}\r\n")).collect();
            let sent = self.stream.get_mut().write_all(gets.as_bytes());
            sent.expect("Redis listens");
            for number in numbers {
                let answer = self.answer().expect("Redis answers");
                let expected = format!("value-{number}");
                assert_eq!(answer, expected, "acknowledged were {last}");
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn set(number: u64) -> String {
    format!("SET k{number} value-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the host's filesystem every acknowledged key survives SIGKILL of the server, and the
    /// check notices a key that is gone.
    #[test]
    fn acknowledged_keys_survive_and_a_gap_is_noticed() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let redis = Redis::start(folder.path(), folder.path());
        let mut client = redis.connect().unwrap();
        let mut server = Some(redis);
        let acknowledged = client.set_until_error(0, |number| {
            if number == 200 {
                server.take().unwrap().kill();
            }
        });
        assert!(acknowledged >= 200);

        let redis = Redis::start(folder.path(), folder.path());
        let mut client = redis.connect().unwrap();
        client.check(acknowledged);
        assert_eq!(client.ask("DEL k17").unwrap(), ":1");
        let check = std::panic::AssertUnwindSafe(|| client.check(acknowledged));
        assert!(std::panic::catch_unwind(check).is_err());
    }
}
