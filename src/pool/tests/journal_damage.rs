//! A journal that is damaged below what was durable.

use super::rig::Rig;
use super::{name, new_volume, noise, put, read, snap};
use crate::disk::{Disk, Step};
use crate::pool::PoolError;

/// Flips a bit in the body of the journal's record that holds `text`.
fn flip(rig: &Rig, text: &[u8]) {
    for file in rig.disk.list("journal").unwrap() {
        let file = rig.disk.open(&format!("journal/{file}")).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|found| found == text) {
            file.write_at(&[&[bytes[at] ^ 1]], at as u64).unwrap();
            file.sync(Step::JournalBeforeReply).unwrap();
            return;
        }
    }
    panic!("no record holds it");
}

/// Damage in the midst of durable records refuses the pool, changes nothing, and says which
/// volumes have records there. Cut off on demand, each volume is as it was before the damage, what
/// is lost is told by volume, and the pool goes on: after a further power loss nothing of the old
/// records comes back, and the damage is not found again.
#[test]
fn damage_is_refused_and_can_be_cut_off() {
    let mut rig = Rig::small();
    let pool = rig.open();
    for text in ["a", "b", "c"] {
        pool.create_volume(&new_volume(text)).unwrap();
        let volume = pool.open_volume(&name(text)).unwrap();
        put(&volume, "f", b"before the damage");
        volume.sync().unwrap();
    }
    let change = |text: &str, content: &[u8]| {
        let volume = pool.open_volume(&name(text)).unwrap();
        put(&volume, "f", content);
        volume.sync().unwrap();
    };
    change("a", b"damaged, surely...");
    change("b", b"behind the damage");
    pool.create_snapshots(&[(name("b"), snap("s"))]).unwrap();
    drop(pool);
    rig.crash(1);
    flip(&rig, b"damaged, surely...");

    let before = rig.disk.sim.fingerprint();
    for _ in 0..2 {
        let error = rig.try_open().err().unwrap();
        let PoolError::JournalDamaged { problem } = error else {
            panic!("{error}");
        };
        for part in ["'a' (", "'b' (", "the catalog (1)"] {
            assert!(problem.contains(part), "{problem}");
        }
        assert!(!problem.contains("'c'"), "{problem}");
    }
    assert_eq!(rig.disk.sim.fingerprint(), before);

    rig.options.cut_damaged_journal = true;
    let pool = rig.open();
    let cut = pool.journal_cut().unwrap();
    let names: Vec<_> = cut.lost.iter().map(|one| one.volume.as_deref()).collect();
    assert_eq!(names, [None, Some("a"), Some("b")]);
    assert!(pool.snapshots(None).unwrap().is_empty());
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, "g", &noise(1, 50_000));
    volume.sync().unwrap();
    drop((volume, pool));

    rig.options.cut_damaged_journal = false;
    for seed in 0..3 {
        rig.crash(seed);
        let pool = rig.open();
        assert_eq!(pool.journal_cut(), None);
        for text in ["a", "b", "c"] {
            let volume = pool.open_volume(&name(text)).unwrap();
            assert_eq!(read(&volume, "f").unwrap(), b"before the damage");
        }
        let volume = pool.open_volume(&name("a")).unwrap();
        assert_eq!(read(&volume, "g").unwrap(), noise(1, 50_000));
        for round in 0..30 {
            put(&volume, "h", &noise(round, 15_000));
            pool.checkpoint().unwrap();
        }
        let report = pool.check(&crate::base::progress::Silent).unwrap();
        assert_eq!(report.violations, Vec::new());
    }
}

/// A journal file whose start is damaged tells no more what it holds. Cut off, the pool does not
/// stumble over it again, whether it was used since or not.
#[test]
fn a_cut_leaves_no_file_with_a_damaged_start() {
    let mut rig = Rig::small();
    let pool = rig.open();
    pool.create_volume(&new_volume("a")).unwrap();
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, "f", b"content");
    volume.sync().unwrap();
    drop((volume, pool));
    rig.crash(1);
    let file = rig.disk.open("journal/0000.journal").unwrap();
    file.write_at(&[&[0x5a; 512]], 0).unwrap();
    file.sync(Step::JournalBeforeReply).unwrap();
    drop(file);
    assert!(matches!(
        rig.try_open(),
        Err(PoolError::JournalDamaged { .. })
    ));

    rig.options.cut_damaged_journal = true;
    assert!(rig.open().journal_cut().is_some());
    rig.options.cut_damaged_journal = false;
    for seed in 0..3 {
        rig.crash(seed);
        let pool = rig.try_open().unwrap();
        pool.create_volume(&new_volume(&format!("v{seed}")))
            .unwrap();
    }
}
