//! Programs that write to a volume, know what they were promised, and can tell whether it was
//! kept.

mod databases;
mod engines;
mod fio;
mod mariadb;
mod pages;

use std::path::PathBuf;
use std::time::Duration;

pub use databases::{Pgbench, RedisKeys, SqliteRows};
pub use engines::Records;
pub use fio::Fio;
pub use mariadb::Ledger;
pub use pages::Pages;

/// How long a load may take to get under way, and to notice that its volume is gone.
const LIMIT: Duration = Duration::from_secs(60);

/// Where a load works.
pub struct Site {
    /// Its mounted volume, whole.
    pub data: PathBuf,
    /// A folder on the host's own disk: sockets, logs, whatever must outlive the outage.
    pub outside: PathBuf,
    /// What its random decisions start from.
    pub seed: u64,
}

/// One program on one volume. Its methods fail the test when a promise was broken.
pub trait Load {
    /// The name of its volume.
    fn name(&self) -> &str;

    /// Fills the new volume.
    fn prepare(&mut self, _site: &Site) {}

    /// Begins to write, and returns when writing is under way.
    fn start(&mut self, site: &Site);

    /// After the outage: waits until the program has noticed, and keeps what it was promised.
    fn end(&mut self, site: &Site);

    /// On the recovered volume: every promise is kept, and the data is consistent.
    fn verify(&mut self, site: &Site);

    /// After the last round: what is too slow for each.
    fn finish(&mut self, _site: &Site) {}
}
