//! Settings of volumes, holds, and the trash.

use super::*;
use crate::pool::SetVolume;

fn with_volume() -> Fixture {
    let fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    put(&volume, "f", b"content");
    drop(volume);
    let of = [(name("a"), snap("s"))];
    fixture.pool().create_snapshots(&of).unwrap();
    fixture
}

fn names_in_trash(pool: &Pool) -> Vec<String> {
    let trash = pool.trash().into_iter();
    trash.map(|one| one.volume.name.to_string()).collect()
}

fn content_of(pool: &Pool, volume: &str) -> Option<Vec<u8>> {
    let volume = pool.open_volume(&name(volume)).unwrap();
    read(&volume, "f")
}

/// A volume in the trash has no name and cannot be used; its name can be given to another one. It
/// comes back as it was, with its snapshots, also after the daemon's death, before and behind a
/// checkpoint.
#[test]
fn a_volume_comes_back_from_the_trash() {
    for with_checkpoint in [false, true] {
        let mut fixture = with_volume();
        fixture.pool().trash_volume(&name("a")).unwrap();
        if with_checkpoint {
            fixture.pool().checkpoint().unwrap();
        }
        for _ in 0..2 {
            let pool = fixture.pool();
            assert!(pool.volumes().is_empty() && pool.snapshots(None).unwrap().is_empty());
            let missing = pool.open_volume(&name("a")).err().unwrap();
            assert!(matches!(missing, PoolError::NoVolume { .. }), "{missing}");
            assert_eq!(names_in_trash(pool), ["a"]);
            fixture.die_and_reopen();
        }
        let pool = fixture.pool();
        pool.undelete_volume(&name("a"), None).unwrap();
        assert!(pool.trash().is_empty());
        assert_eq!(content_of(pool, "a").unwrap(), b"content");
        assert_eq!(pool.snapshots(None).unwrap().len(), 1);
        let none = pool.undelete_volume(&name("a"), None).unwrap_err();
        assert!(matches!(none, PoolError::NotInTrash { .. }), "{none}");
        fixture.die_and_reopen();
        assert_eq!(content_of(fixture.pool(), "a").unwrap(), b"content");
        fixture.check();
    }
}

/// The name of a volume in the trash is free. Of two that had it the later one comes back, once
/// nobody else has the name; the end is for good, and gives back the names of both.
#[test]
fn names_in_the_trash_are_free() {
    let mut fixture = with_volume();
    fixture.pool().trash_volume(&name("a")).unwrap();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let second = fixture.pool().open_volume(&name("a")).unwrap();
    put(&second, "f", b"second");
    drop(second);
    let undelete = |pool: &Pool| pool.undelete_volume(&name("a"), None);
    let taken = undelete(fixture.pool()).unwrap_err();
    assert!(matches!(taken, PoolError::Exists { .. }), "{taken}");
    fixture.pool().trash_volume(&name("a")).unwrap();
    assert_eq!(names_in_trash(fixture.pool()), ["a", "a"]);
    fixture.die_and_reopen();
    let pool = fixture.pool();
    undelete(pool).unwrap();
    assert_eq!(content_of(pool, "a").unwrap(), b"second");
    let first = pool.trash()[0].volume.id;
    pool.empty_trash(first).unwrap();
    pool.empty_trash(first).unwrap();
    assert!(pool.trash().is_empty());
    assert_eq!(content_of(pool, "a").unwrap(), b"second");
    pool.empty_trash(pool.volume_info(&name("a")).unwrap().id)
        .unwrap();
    assert_eq!(
        pool.volumes().len(),
        1,
        "what is in use is not in the trash"
    );
    fixture.die_and_reopen();
    fixture.check();
}

/// Beside a volume that has its name by now one comes back under another name: record, messages and
/// snapshots have it, also after the daemon's death, before and behind a checkpoint. It can be
/// removed and brought back under that name again, and the old one is as free as it was.
#[test]
fn a_volume_comes_back_under_another_name() {
    for with_checkpoint in [false, true] {
        let mut fixture = with_volume();
        let pool = fixture.pool();
        pool.trash_volume(&name("a")).unwrap();
        pool.create_volume(&new_volume("a")).unwrap();
        let taken = pool.undelete_volume(&name("a"), Some(&name("a")));
        assert!(matches!(taken, Err(PoolError::Exists { .. })), "{taken:?}");
        assert_eq!(names_in_trash(pool), ["a"]);
        let back = pool.undelete_volume(&name("a"), Some(&name("b"))).unwrap();
        assert_eq!(back.name, name("b"));
        if with_checkpoint {
            pool.checkpoint().unwrap();
        }
        for _ in 0..2 {
            let pool = fixture.pool();
            assert!(pool.trash().is_empty());
            assert_eq!(&*pool.open_volume(&name("b")).unwrap().label(), "b");
            assert_eq!(&*pool.open_volume(&name("a")).unwrap().label(), "a");
            assert_eq!(content_of(pool, "b").unwrap(), b"content");
            assert_eq!(content_of(pool, "a"), None);
            let snapshots = pool.snapshots(None).unwrap();
            assert_eq!((snapshots.len(), &snapshots[0].volume), (1, &name("b")));
            let old = pool.open_snapshot(&name("b"), &snap("s")).unwrap();
            assert_eq!(read(&old, "f").unwrap(), b"content");
            fixture.die_and_reopen();
        }
        let pool = fixture.pool();
        pool.trash_volume(&name("b")).unwrap();
        assert_eq!(names_in_trash(pool), ["b"]);
        pool.undelete_volume(&name("b"), None).unwrap();
        pool.trash_volume(&name("a")).unwrap();
        pool.create_volume(&new_volume("a")).unwrap();
        fixture.die_and_reopen();
        assert_eq!(fixture.pool().volumes().len(), 2);
        fixture.check();
    }
}

/// What is protected or held is not removed, in no way, until it is let go; a clone is not
/// protected by its source's wish. The wishes outlive the daemon's death.
#[test]
fn what_is_to_be_kept_is_kept() {
    let mut fixture = with_volume();
    let protect = |pool: &Pool, protected| {
        let set = SetVolume {
            protected: Some(protected),
            ..SetVolume::default()
        };
        pool.set_volume(&name("a"), &set).unwrap();
    };
    protect(fixture.pool(), true);
    fixture
        .pool()
        .clone_volume(&name("a"), None, &name("b"))
        .unwrap();
    fixture.pool().remove_volume(&name("b")).unwrap();
    fixture.die_and_reopen();
    let refusals = |pool: &Pool| {
        [
            pool.trash_volume(&name("a")),
            pool.remove_volume(&name("a")),
        ]
    };
    for refused in refusals(fixture.pool()) {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, PoolError::Protected { .. }), "{refused}");
    }
    protect(fixture.pool(), false);
    fixture
        .pool()
        .hold_snapshot(&name("a"), &snap("s"), true)
        .unwrap();
    fixture.pool().checkpoint().unwrap();
    fixture.die_and_reopen();
    let removed = fixture.pool().remove_snapshot(&name("a"), &snap("s"));
    for refused in refusals(fixture.pool()).into_iter().chain([removed]) {
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("a@s"), "{refused}");
    }
    fixture
        .pool()
        .hold_snapshot(&name("a"), &snap("s"), false)
        .unwrap();
    fixture
        .pool()
        .remove_snapshot(&name("a"), &snap("s"))
        .unwrap();
    fixture.pool().remove_volume(&name("a")).unwrap();
    assert!(fixture.pool().volumes().is_empty());
}

/// A volume at its limit refuses new blocks, new files and growing ones, and goes on with the rest;
/// what the kernel has accepted before is still taken. A higher limit ends that, one below what the
/// volume holds is refused with the numbers, and all of it is known after the daemon's death.
#[test]
fn a_limit_is_kept() {
    let mut fixture = Fixture::new();
    let new = NewVolume {
        limit_bytes: Some(10 * 4096),
        ..new_volume("a")
    };
    fixture.pool().create_volume(&new).unwrap();
    let full = |volume: &Volume| {
        let ino = volume.lookup(&WHO, Ino::ROOT, b"f").unwrap().ino;
        let write = |at: u64, mode| volume.write_file(&WHO, ino, at, &noise(at, 4096), mode);
        let is_limit = |result: Result<(), FsError>| {
            assert!(matches!(result, Err(FsError::AtLimit { .. })), "{result:?}");
        };
        is_limit(write(10 * 4096, WriteMode::default()));
        is_limit(volume.write_file(
            &WHO,
            ino,
            4096 * 9,
            &noise(1, 1 << 20),
            WriteMode::default(),
        ));
        let new = NewNode {
            kind: FileKind::Regular,
            perm: 0o644,
            umask: 0,
            rdev: 0,
        };
        is_limit(volume.create(&WHO, Ino::ROOT, b"new", &new).map(drop));
        // An overwrite needs no new block.
        write(0, WriteMode::default()).unwrap();
        let stat = volume.statfs().unwrap();
        assert_eq!((stat.blocks, stat.blocks_free), (10, 0));
        let accepted = WriteMode {
            writeback: true,
            ..WriteMode::default()
        };
        write(20 * 4096, accepted).unwrap();
        volume.sync().unwrap();
        volume
            .allocate(
                &WHO,
                ino,
                20 * 4096,
                4096,
                crate::volume::ops::AllocateMode::PunchHole,
            )
            .unwrap();
    };
    {
        let volume = fixture.pool().open_volume(&name("a")).unwrap();
        put(&volume, "f", &noise(1, 10 * 4096));
        full(&volume);
    }
    fixture.die_and_reopen();
    full(&fixture.pool().open_volume(&name("a")).unwrap());

    let limit = |bytes| SetVolume {
        limit_bytes: Some(bytes),
        ..SetVolume::default()
    };
    let below = fixture
        .pool()
        .set_volume(&name("a"), &limit(9 * 4096))
        .unwrap_err();
    let text = below.to_string();
    assert!(text.contains("40960") && text.contains("36864"), "{text}");
    fixture
        .pool()
        .set_volume(&name("a"), &limit(20 * 4096))
        .unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    put(&volume, "g", &noise(2, 10 * 4096));
    fixture.pool().set_volume(&name("a"), &limit(0)).unwrap();
    put(&volume, "h", &noise(3, 10 * 4096));
    assert_eq!(
        fixture.pool().volume_info(&name("a")).unwrap().limit_bytes,
        None
    );
}

/// Labels are set and taken away one by one.
#[test]
fn labels_can_be_changed() {
    let fixture = with_volume();
    let set = |labels: &[(&str, Option<&str>)]| {
        let labels = labels.iter();
        let labels = labels.map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)));
        let set = SetVolume {
            labels: labels.collect(),
            ..SetVolume::default()
        };
        fixture.pool().set_volume(&name("a"), &set)
    };
    set(&[("app", Some("shop")), ("tier", Some(""))]).unwrap();
    let info = set(&[("tier", None), ("none", None)]).unwrap();
    assert_eq!(info.labels, [("app".to_owned(), "shop".to_owned())].into());
    let long = "x".repeat(9000);
    assert!(matches!(
        set(&[("long", Some(&long))]).unwrap_err(),
        PoolError::Invalid(_)
    ));
}
