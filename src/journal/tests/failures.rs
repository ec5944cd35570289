//! What the host refuses: files, room, writes, syncs.

use super::*;

/// When no further file can be made the log is full, and it tries again after a release.
#[test]
fn failing_growth_is_full_and_tried_again_after_a_release() {
    let mut fixture = Fixture::new(4096, 3);
    let journal = fixture.open_new();
    fixture.disk.fail_creates(true);
    let body = [7; 4096 - HEADER_BYTES];
    append(&journal, &body).unwrap();
    append(&journal, &body).unwrap();
    assert!(matches!(
        append(&journal, &body),
        Err(JournalError::Full { .. })
    ));
    fixture.disk.fail_creates(false);
    assert!(matches!(
        append(&journal, &body),
        Err(JournalError::Full { .. })
    ));

    journal.release(Lsn(1));
    assert_eq!(append(&journal, &body).unwrap(), Lsn(3 * 4096));
}

/// A failed write poisons: nothing is appended or synced any more, and what was written before
/// is there after a restart.
#[test]
fn failed_write_poisons() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    let lsn = append(&journal, b"good").unwrap();
    fixture.disk.fail_writes(true);
    assert!(matches!(
        append(&journal, b"bad"),
        Err(JournalError::Disk(_))
    ));
    fixture.disk.fail_writes(false);
    assert!(journal.poisoned());
    assert!(matches!(
        append(&journal, b"later"),
        Err(JournalError::Poisoned)
    ));
    assert!(matches!(
        journal.sync(lsn, Step::JournalBeforeReply),
        Err(JournalError::Poisoned)
    ));
    assert_eq!(bodies(&fixture.scan(fixture.start).0), [b"good"]);
}

/// A log whose last record, "one", is not synced, so that the next starts in its sector, and that
/// has refused the one behind it: the host had room up to `limit` bytes into the file.
fn with_a_refused_record(limit: u64) -> (Fixture, Journal) {
    let mut fixture = Fixture::new(8192, 2);
    let journal = fixture.open_new();
    let one = append(&journal, b"one").unwrap();
    fixture.disk.fill_from(Some(limit), false);
    let refused = append(&journal, &[7; 100]);
    assert!(
        matches!(&refused, Err(error @ JournalError::NoSpace(_)) if error.is_no_space()),
        "{refused:?}"
    );
    assert!(!journal.poisoned());
    assert_eq!(journal.appended().lsn, one);
    assert_eq!(bodies(&fixture.scan(fixture.start).0), [b"one"]);
    (fixture, journal)
}

/// What the host has no room for is refused whole, wherever the write ends: no reader finds it,
/// and what is appended next, with or without a sync in between, is found behind its predecessor,
/// though the refused record may be there with its last byte.
#[test]
fn a_record_without_room_is_taken_back() {
    for limit in [80, 88, 144, 151, 152, 200, 256, 4095] {
        for sync_between in [false, true] {
            let (mut fixture, journal) = with_a_refused_record(limit);
            let sync = |lsn| journal.sync(lsn, Step::JournalBeforeReply).unwrap();
            if sync_between {
                sync(journal.appended().lsn);
            }
            fixture.disk.fill_from(None, false);
            let two = append(&journal, b"two").unwrap();
            sync(two);
            let end = journal.appended();
            drop(journal);
            fixture.disk.crash(|| false);
            let (records, found) = fixture.scan(fixture.start);
            assert_eq!(bodies(&records), [b"one", b"two"], "room up to {limit}");
            assert_eq!((found.position, found.damage), (end, None));
            let journal = fixture.open(end, fixture.start.lsn);
            append(&journal, b"three").unwrap();
            assert_eq!(fixture.scan(fixture.start).0.len(), 3);
        }
    }
}

/// A power loss behind a refused record, of which a sync has made durable that it is none, and in
/// the midst of the next one: the log ends, or has that one, is not damaged, and goes on.
#[test]
fn a_power_loss_behind_a_refused_record_damages_nothing() {
    let mut random = crate::base::SplitMix64::new(5);
    for _ in 0..200 {
        let (mut fixture, journal) =
            with_a_refused_record([88, 152, 4095][random.below(3) as usize]);
        journal
            .sync(journal.appended().lsn, Step::JournalBeforeReply)
            .unwrap();
        fixture.disk.fill_from(None, false);
        append(&journal, b"two").unwrap();
        drop(journal);
        fixture.disk.crash(|| random.chance(50));
        let (records, end) = fixture.scan(fixture.start);
        assert_eq!(records[0].body, b"one");
        assert!(records.len() == 1 || records[1].body == b"two");
        assert_eq!(end.damage, None);
        let journal = fixture.open(end.position, fixture.start.lsn);
        append(&journal, b"three").unwrap();
        assert_eq!(fixture.scan(fixture.start).0.last().unwrap().body, b"three");
    }
}

/// The same where the refused record would have been the first of its file: the file still tells
/// what it holds, so that the end of the file before is no damage.
#[test]
fn a_file_whose_first_record_was_refused_stays_legible() {
    for limit in [0, 72, 200] {
        let mut fixture = Fixture::new(4096, 2);
        let journal = fixture.open_new();
        append(&journal, &[1; 3900]).unwrap();
        fixture.disk.fill_from(Some(limit), false);
        let refused = append(&journal, &[7; 1000]);
        assert!(matches!(refused, Err(JournalError::NoSpace(_))));
        let end = journal.appended();
        drop(journal);
        fixture.disk.fill_from(None, false);
        let (records, found) = fixture.scan(fixture.start);
        assert_eq!(
            (records.len(), found.damage),
            (1, None),
            "room up to {limit}"
        );
        let journal = fixture.open(end, fixture.start.lsn);
        append(&journal, b"two").unwrap();
        assert_eq!(fixture.scan(fixture.start).0.len(), 2);
    }
}

/// A record that may be there whole and cannot be taken back poisons; one of which not even the
/// header is there does not.
#[test]
fn a_record_that_cannot_be_taken_back_poisons() {
    for (limit, poisons) in [(0, false), (144, false), (152, true), (4095, true)] {
        let mut fixture = Fixture::new(8192, 2);
        let journal = fixture.open_new();
        append(&journal, b"one").unwrap();
        fixture.disk.fill_from(Some(limit), true);
        let refused = append(&journal, &[7; 100]);
        assert_eq!(matches!(refused, Err(JournalError::Disk(_))), poisons);
        assert_eq!(journal.poisoned(), poisons, "room up to {limit}");
    }
}

/// A failed sync poisons for good, also for those who wait for it; nothing new is called durable,
/// what was durable stays so, and recovery does not believe the pages the kernel still shows.
#[test]
fn failed_sync_poisons_all_who_wait() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = Arc::new(fixture.open_new());
    let kept = append(&journal, b"kept").unwrap();
    journal.sync(kept, Step::JournalBeforeReply).unwrap();
    let lost = append(&journal, b"lost").unwrap();

    let before = fixture.disk.syncs_started();
    fixture.disk.fail_syncs(true);
    fixture.disk.close_gate(true);
    let spawn_sync = || {
        let journal = Arc::clone(&journal);
        std::thread::spawn(move || journal.sync(lost, Step::JournalBeforeReply).unwrap_err())
    };
    let leader = spawn_sync();
    fixture.disk.wait_for_syncs(before + 1);
    let followers: Vec<_> = (0..4).map(|_| spawn_sync()).collect();
    fixture.disk.close_gate(false);
    assert!(matches!(leader.join().unwrap(), JournalError::Disk(_)));
    for follower in followers {
        assert!(matches!(follower.join().unwrap(), JournalError::Poisoned));
    }
    fixture.disk.fail_syncs(false);
    assert!(matches!(
        journal.sync(lost, Step::JournalBeforeReply),
        Err(JournalError::Poisoned)
    ));
    journal.sync(kept, Step::JournalBeforeReply).unwrap();
    assert!(matches!(
        append(&journal, b"later"),
        Err(JournalError::Poisoned)
    ));
    assert_eq!(
        (journal.durable(), fixture.disk.syncs_started()),
        (kept, before + 1)
    );

    assert_eq!(bodies(&fixture.scan(fixture.start).0), [b"kept"]);
}
