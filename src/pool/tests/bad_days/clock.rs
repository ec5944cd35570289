//! The host's clock goes backwards.

use std::sync::atomic::Ordering;

use super::super::crash::World;
use super::super::{name, new_volume, put, read, snap};
use crate::base::progress::Silent;

/// Years back between any two commands: the order of snapshots, the names of what rollbacks keep
/// and recovery do not depend on it.
#[test]
fn the_clock_goes_backwards() {
    let mut world = World::started(0);
    let back = |world: &World| world.setting.clock.0.store(0, Ordering::Relaxed);
    let pool = world.pool().clone();
    pool.create_volume(&new_volume("a")).unwrap();
    for (content, snapshot) in [(b"one", "s1"), (b"two", "s2"), (b"six", "s3")] {
        let a = pool.open_volume(&name("a")).unwrap();
        put(&a, "f", content);
        pool.create_snapshots(&[(name("a"), snap(snapshot))])
            .unwrap();
        back(&world);
        pool.checkpoint().unwrap();
    }
    back(&world);
    let first = pool.rollback(&name("a"), &snap("s1")).unwrap();
    back(&world);
    let second = pool.rollback(&name("a"), &snap("s2")).unwrap();
    assert_ne!(first.kept, second.kept);
    drop(pool);

    world.replace_disk(world.disk.kill());
    back(&world);
    world.open().unwrap();
    let listed = world.pool().snapshots(None).unwrap();
    let names: Vec<String> = listed.iter().map(|info| info.name.to_string()).collect();
    let expected = ["s1", "s2", "s3", first.kept.as_str(), second.kept.as_str()];
    assert_eq!(names, expected);
    let a = world.pool().open_volume(&name("a")).unwrap();
    assert_eq!(read(&a, "f").unwrap(), b"two");
    let kept = world.pool().open_snapshot(&name("a"), &first.kept).unwrap();
    assert_eq!(read(&kept, "f").unwrap(), b"six");
    let report = world.pool().check(&Silent).unwrap();
    assert_eq!(report.violations, Vec::new());
}
