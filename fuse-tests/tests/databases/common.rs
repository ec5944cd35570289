//! What the databases' tests share.

use std::time::Duration;

use fuse_tests::Fixture;

/// How long a condition may take to come true.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A pool with an empty volume `db`, for a test of at most five minutes.
#[track_caller]
pub fn fixture() -> Fixture {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    fixture.ok(&["volume", "create", "db"]);
    fixture
}
