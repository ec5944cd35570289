//! What every engine goes through.

use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::{Chance, number, rounds, seed};
use fuse_tests::databases::client::Client;
use fuse_tests::databases::engine::{Engine, Progress, Site, Writing};
use fuse_tests::report::Suite;
use fuse_tests::run::eventually;

use crate::common::{LIMIT, fixture};

/// An outage comes this long after enough was written, at the latest.
const LATEST: Duration = Duration::from_millis(300);

/// Records that are written before something happens: `VOLFS_TEST_RECORDS`, else 100.
pub fn records() -> u64 {
    number("VOLFS_TEST_RECORDS").unwrap_or(100)
}

/// The engine is killed, then the daemon under it, and so on; after each it is opened again and
/// everything that it was promised is there.
pub fn survive_kills(engine: &dyn Engine) {
    survive_some_kills(engine, 4);
}

/// The same so many times unless `VOLFS_TEST_ROUNDS` says otherwise.
pub fn survive_some_kills(engine: &dyn Engine, default_rounds: u64) {
    let fixture = fixture();
    let site = site(&fixture, "db");
    let mut chance = Chance::new(seed());
    let mut last = 0;
    for round in 0..rounds(default_rounds) {
        let mut writing = engine.start(&site);
        reach(writing.as_mut(), last + records());
        chance.pause(LATEST);
        let (promised, taken) = if round % 2 == 0 {
            let progress = writing.kill();
            (progress.written, progress.taken)
        } else {
            fixture.kill_daemon();
            let progress = writing.fail();
            fixture.mount("db");
            (progress.durable, progress.taken)
        };
        last = engine.check(&site);
        assert_within(engine, last, promised, taken);
    }
    fixture.ok(&["check"]);
    record(engine, "killed", rounds(default_rounds));
}

/// Of several processes on one database one is killed, then another: the others go on, and in the
/// end everything is there.
pub fn outlive_each_other(client: &Client) {
    let fixture = fixture();
    let site = site(&fixture, "db");
    let mut writing = client.spawn(&site);
    for dead in 1..=2 {
        reach(&mut writing, (2 * dead - 1) * records());
        writing.kill_one();
        reach(&mut writing, 2 * dead * records());
    }
    let progress = Box::new(writing).kill();
    let last = client.check(&site);
    assert_within(client, last, progress.written, progress.taken);
}

/// A snapshot under load opens and passes the check, its clone is written to beside the origin,
/// and neither sees the other. In the end the origin is rolled back under its mount.
pub fn snapshot_and_clone(engine: &dyn Engine) {
    let fixture = fixture();
    let origin = site(&fixture, "db");
    let mut writing = engine.start(&origin);
    let mut held = Vec::new();
    for round in 1..=rounds(1) {
        reach(writing.as_mut(), round * records());
        let before = writing.progress();
        fixture.ok(&["snapshot", "create", &format!("db@s{round}")]);
        let after = writing.progress();
        let copy = clone(&fixture, round, &format!("copy-{round}"));
        let found = engine.check(&copy);
        assert_within(engine, found, before.durable, after.taken);
        held.push(found);

        let mut beside = engine.start(&copy);
        let goal = writing.progress().durable + records();
        reach(beside.as_mut(), found + records());
        reach(writing.as_mut(), goal);
        let progress = beside.kill();
        let last = engine.check(&copy);
        assert_within(engine, last, progress.written, progress.taken);
    }
    let progress = writing.kill();
    let last = engine.check(&origin);
    assert_within(engine, last, progress.written, progress.taken);
    for (round, found) in (1..).zip(&held) {
        let again = clone(&fixture, round, &format!("again-{round}"));
        assert_eq!(engine.check(&again), *found, "the snapshot has changed");
    }
    fixture.ok(&["rollback", "db@s1"]);
    assert_eq!(engine.check(&origin), held[0], "not what the snapshot has");
    let mut writing = engine.start(&origin);
    reach(writing.as_mut(), held[0] + records());
    let progress = writing.kill();
    let last = engine.check(&origin);
    assert_within(engine, last, progress.written, progress.taken);
    fixture.ok(&["check"]);
    record(engine, "snapshot under load, clone, rollback", rounds(1));
}

/// For the report: a round that failed has ended the test.
fn record(engine: &dyn Engine, what: &str, rounds: u64) {
    let name = format!("{}: {what}", engine.name());
    Suite::new(&name, &engine.version()).passed(rounds).record();
}

/// A mounted volume with a folder beside it.
pub fn site(fixture: &Fixture, volume: &str) -> Site {
    let outside = fixture.folder().join(format!("{volume}-outside"));
    Site::new(fixture.mount(volume), outside)
}

fn clone(fixture: &Fixture, round: u64, name: &str) -> Site {
    fixture.ok(&["clone", &format!("db@s{round}"), name]);
    site(fixture, name)
}

/// Waits until a record is durable.
#[track_caller]
pub fn reach(writing: &mut dyn Writing, record: u64) {
    let mut progress = Progress::default();
    let limit = LIMIT + records() as u32 * Duration::from_millis(200);
    eventually("records are written", limit, || {
        progress = writing.progress();
        progress.durable >= record
    });
}

/// Fails the test unless everything promised was found, and no more than what was under way.
#[track_caller]
fn assert_within(engine: &dyn Engine, found: u64, promised: u64, taken: u64) {
    let possible = promised..=taken + engine.in_flight();
    assert!(
        possible.contains(&found),
        "{}: record {found} is the last, expected one of {possible:?}",
        engine.name()
    );
}
