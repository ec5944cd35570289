//! Names made of the time, in UTC.

use super::Service;
use crate::base::{NameError, SnapshotName, Timestamp};
use crate::daemon::ServiceResult;
use crate::pool::{PoolError, PoolResult};

/// How often a name made of the time is made again because it is taken.
const TRIES: u32 = 1000;

const NANOS_PER_MICRO: u32 = 1000;
const NANOS_PER_SEC: u32 = 1_000_000_000;

/// A name that sorts by time: `PREFIX20261122T101500.123456Z`.
pub(super) fn time_name(prefix: &str, time: Timestamp) -> Result<SnapshotName, NameError> {
    format!("{prefix}{}", time.sortable()).parse()
}

/// So many microseconds later, the resolution of names; at most a second.
fn after(time: Timestamp, micros: u32) -> Timestamp {
    let nanos = time.nanos + micros * NANOS_PER_MICRO;
    Timestamp {
        secs: time.secs + i64::from(nanos / NANOS_PER_SEC),
        nanos: nanos % NANOS_PER_SEC,
    }
}

impl Service {
    /// Makes snapshots that bear the time. Where that name is taken, by a command within the same
    /// microsecond, the next one is a microsecond later.
    pub(super) fn make_by_time<T>(
        &self,
        prefix: &str,
        make: impl Fn(&SnapshotName) -> PoolResult<T>,
    ) -> ServiceResult<T> {
        let now = self.clock.now();
        let mut later = 0;
        loop {
            match make(&time_name(prefix, after(now, later))?) {
                Err(PoolError::Exists { .. }) if later < TRIES => later += 1,
                made => return Ok(made?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next free name is a microsecond later, over the end of a second too.
    #[test]
    fn names_advance_by_microseconds() {
        let name = |micros| {
            let time = Timestamp {
                secs: 0,
                nanos: 999_999_000,
            };
            time_name("auto-", after(time, micros)).unwrap().to_string()
        };
        assert_eq!(name(0), "auto-19700101T000000.999999Z");
        assert_eq!(name(1), "auto-19700101T000001.000000Z");
        assert_eq!(name(1000), "auto-19700101T000001.000999Z");
    }
}
