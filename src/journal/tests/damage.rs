//! Torn tails, and how damage is told apart from them.

use super::super::header::{RecordHeader, pool_seed};
use super::*;

/// Cut after any of its bytes, the last record is gone and the ones before it are there, whatever
/// lies in the place of the rest. It is no damage: nothing said that the record was durable.
#[test]
fn torn_tail_ends_the_log_at_every_byte() {
    for rest in [0x00, 0xff, 0x5a] {
        let mut fixture = Fixture::new(4096, 2);
        let journal = fixture.open_new();
        let synced = append(&journal, b"first").unwrap();
        journal.sync(synced, Step::JournalBeforeReply).unwrap();
        let before = journal.appended();
        let end = append(&journal, &[0xa5; 203]).unwrap().0 as usize;
        let start = end - record_bytes(203);
        let mut whole = Vec::new();
        fixture
            .disk
            .edit("journal/0000.journal", |bytes| whole = bytes.to_vec());
        for cut in start..end {
            fixture.disk.edit("journal/0000.journal", |bytes| {
                bytes[..cut].copy_from_slice(&whole[..cut]);
                bytes[cut..end].fill(rest);
            });
            // The last bytes are padding, which is zero anyway.
            if rest == 0 && cut >= end - 5 {
                continue;
            }
            let (records, scanned) = fixture.scan(fixture.start);
            assert_eq!(
                (records.len(), scanned.position),
                (1, before),
                "cut at {cut}"
            );
            assert_eq!(scanned.damage, None, "cut at {cut}");
            // A header that is there as a whole tells that something was lost.
            if cut >= start + HEADER_BYTES {
                assert_eq!(scanned.torn, Some(Lsn(start as u64)), "cut at {cut}");
            } else if cut < start + 56 {
                assert_eq!(scanned.torn, None, "cut at {cut}");
            }
        }
    }
}

/// No flipped byte of a record is accepted: header, body or padding.
#[test]
fn every_flipped_byte_ends_the_log() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    let end = append(&journal, &[0xa5; 35]).unwrap().0 as usize;
    append(&journal, b"behind").unwrap();
    assert_eq!((end, fixture.scan(fixture.start).0.len()), (112, 2));
    for at in 0..end {
        fixture
            .disk
            .edit("journal/0000.journal", |bytes| bytes[at] ^= 0x10);
        let (records, scanned) = fixture.scan(fixture.start);
        assert_eq!(
            (records.len(), scanned.position),
            (0, fixture.start),
            "byte {at}"
        );
        assert!(scanned.torn.is_some_and(|torn| torn <= Lsn(end as u64)));
        fixture
            .disk
            .edit("journal/0000.journal", |bytes| bytes[at] ^= 0x10);
    }
    assert_eq!(fixture.scan(fixture.start).0.len(), 2);
}

/// A damaged record below what a later record knows to be durable is reported as damage, not
/// taken for a torn tail; the last synced record leaves no such proof.
#[test]
fn damage_below_the_durable_watermark_is_reported() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    append(&journal, b"zero").unwrap();
    let before = journal.appended();
    let one = append(&journal, b"one").unwrap();
    journal.sync(one, Step::JournalBeforeReply).unwrap();
    let two = append(&journal, b"two").unwrap();
    journal.sync(two, Step::JournalBeforeReply).unwrap();

    let flip = |at: u64| {
        fixture
            .disk
            .edit("journal/0000.journal", |bytes| bytes[at as usize] ^= 1);
    };
    flip(one.0 - 8);
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!(
        (bodies(&records), end.position),
        (vec![&b"zero"[..]], before)
    );
    assert_eq!(end.torn, Some(before.lsn));
    let problem = "no valid record follows here, but when the record at 512 was appended the log \
                   was durable up to 160";
    assert_eq!(end.damage, Some((Lsn(80), problem.to_owned())));
    flip(one.0 - 8);

    flip(two.0 - 8);
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!(
        (records.len(), end.torn, end.damage),
        (2, Some(Lsn(512)), None)
    );
}

/// The proof is found in the next file too, when the end of a file or the first record of the
/// next one is damaged.
#[test]
fn damage_is_proved_across_files() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    let mut ends = Vec::new();
    for number in 0..6 {
        ends.push(append(&journal, &[number; 1024 - HEADER_BYTES]).unwrap().0);
        journal
            .sync(Lsn(ends[usize::from(number)]), Step::JournalBeforeReply)
            .unwrap();
    }
    assert_eq!(ends, [1024, 2048, 3072, 4096, 5120, 6144]);
    for (path, at, lsn) in [
        ("journal/0000.journal", 4095, 3072),
        ("journal/0000.journal", 3072, 3072),
        ("journal/0001.journal", 0, 4096),
        ("journal/0001.journal", 1000, 4096),
    ] {
        fixture.disk.edit(path, |bytes| bytes[at] ^= 1);
        let (_, end) = fixture.scan(fixture.start);
        assert_eq!(end.position.lsn, Lsn(lsn));
        assert_eq!(
            end.damage.map(|(lsn, _)| lsn),
            Some(Lsn(lsn)),
            "'{path}' at {at}"
        );
        fixture.disk.edit(path, |bytes| bytes[at] ^= 1);
    }
    assert_eq!(fixture.scan(fixture.start).0.len(), 6);
}

/// Remains of an earlier incarnation behind the end are neither damage nor ever read as records,
/// and those of the present lap do not confuse the next one, although they claim the same file.
#[test]
fn remains_of_an_earlier_incarnation_are_harmless() {
    let mut fixture = Fixture::new(4096, 3);
    let journal = fixture.open_new();
    let kept = append(&journal, &[1; 100]).unwrap();
    journal.sync(kept, Step::JournalBeforeReply).unwrap();
    let at = journal.appended();
    // Not synced: the first of them gets lost, the others survive.
    for number in 2..10 {
        append(&journal, &[number; 1024 - HEADER_BYTES]).unwrap();
    }
    drop(journal);
    fixture
        .disk
        .edit("journal/0000.journal", |bytes| bytes[700] ^= 1);
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!((records.len(), end.position, end.damage), (1, at, None));

    let journal = fixture.open(end.position, Lsn(0));
    for round in 0..3 {
        let (records, end) = fixture.scan(fixture.start);
        assert_eq!((records.len(), end.damage), (1 + round * 2, None));
        let lsn = append(&journal, &[20; 1024 - HEADER_BYTES]).unwrap();
        journal.sync(lsn, Step::JournalBeforeReply).unwrap();
        append(&journal, &[21; 1024 - HEADER_BYTES]).unwrap();
    }
    assert_eq!(journal.appended().lsn.0 / 4096, 1);
    drop(journal);
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!((records.len(), end.incarnation), (7, 2));
    let journal = fixture.open(end.position, Lsn(0));
    append(&journal, b"third").unwrap();
    assert_eq!(fixture.scan(fixture.start).1.incarnation, 3);
}

/// A record that chains but has a lower incarnation than the one before it is refused.
#[test]
fn lower_incarnation_is_refused() {
    let mut fixture = Fixture::new(4096, 2);
    fixture.incarnation = 4;
    let journal = fixture.open_new();
    append(&journal, &[]).unwrap();
    let at = journal.appended();
    for (incarnation, records) in [(4, 1), (5, 2), (6, 2)] {
        let header = RecordHeader {
            kind: 1,
            start: at.lsn.0,
            incarnation,
            durable: 0,
            volume: 1,
            body_len: 0,
            body_check: super::super::header::body_check(&[]),
        };
        let (raw, _) = header.encode(pool_seed(POOL), at.chain);
        fixture.disk.edit("journal/0000.journal", |bytes| {
            bytes[at.lsn.0 as usize..][..HEADER_BYTES].copy_from_slice(&raw);
        });
        assert_eq!(
            fixture.scan(fixture.start).0.len(),
            records,
            "incarnation {incarnation}"
        );
    }
}

/// A valid record of a kind that this version does not know is not passed over.
#[test]
fn unknown_kind_is_an_error() {
    let fixture = Fixture::new(4096, 2);
    let header = RecordHeader {
        kind: 99,
        start: 0,
        incarnation: 1,
        durable: 0,
        volume: 1,
        body_len: 0,
        body_check: super::super::header::body_check(&[]),
    };
    let (raw, _) = header.encode(pool_seed(POOL), fixture.start.chain);
    fixture.disk.edit("journal/0000.journal", |bytes| {
        bytes[..HEADER_BYTES].copy_from_slice(&raw)
    });
    let result = Journal::scan(
        &*fixture.disk,
        POOL,
        &fixture.options,
        fixture.start,
        &mut |_| Ok(()),
    );
    let error = result.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the journal record that ends at 72 cannot be understood"
    );
    assert_eq!(error.nature(), Nature::Corrupt);
}

/// Another pool's files hold nothing for this one.
#[test]
fn records_of_another_pool_are_not_ours() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    let lsn = append(&journal, b"x").unwrap();
    journal.sync(lsn, Step::JournalBeforeReply).unwrap();
    let other = PoolId([1; 16]);
    let end = Journal::scan(
        &*fixture.disk,
        other,
        &fixture.options,
        fixture.start,
        &mut |_| Ok(()),
    );
    assert_eq!(end.unwrap().records, 0);
}

/// A file that is still needed is not overwritten although its first record, which only says
/// what the file holds, has become unreadable.
#[test]
fn needed_file_with_a_damaged_start_is_kept() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    append(&journal, &[1; 1000]).unwrap();
    let from = journal.appended();
    append(&journal, &[2; 1000]).unwrap();
    append(&journal, &[3; 3000]).unwrap();
    drop(journal);
    fixture
        .disk
        .edit("journal/0000.journal", |bytes| bytes[60] ^= 1);

    let (records, end) = fixture.scan(from);
    assert_eq!(records.len(), 2);
    let journal = fixture.open(end.position, from.lsn);
    assert!(matches!(
        append(&journal, &[4; 3000]),
        Err(JournalError::Full { .. })
    ));
    journal.release(end.position.lsn);
    append(&journal, &[4; 3000]).unwrap();
    assert_eq!(fixture.scan(end.position).0.len(), 1);
}

/// Whoever publishes a position syncs the log first. So a position whose file cannot be found is
/// damage; the log can go on in the next file all the same, and is then read from there.
#[test]
fn position_that_is_not_on_the_medium_is_damage() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    for number in 0..3 {
        append(&journal, &[number; 1900]).unwrap();
    }
    let at = journal.appended();
    drop(journal);
    fixture.disk.crash(|| false);

    let (_, end) = fixture.scan(at);
    assert_eq!((end.position, end.damage.unwrap().0), (at, at.lsn));
    let journal = fixture.open(at, at.lsn);
    let lsn = append(&journal, b"next").unwrap();
    assert_eq!(lsn, Lsn(2 * 4096 + 80));
    journal.sync(lsn, Step::JournalBeforeReply).unwrap();
    fixture.disk.crash(|| false);
    assert_eq!(bodies(&fixture.scan(at).0), [b"next"]);
}

/// Damage that the pool has accepted is not reported again once the log has gone on, although
/// the records that proved it are still there.
#[test]
fn accepted_damage_is_not_reported_again() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    for number in 0..5 {
        let lsn = append(&journal, &[number; 100]).unwrap();
        journal.sync(lsn, Step::JournalBeforeReply).unwrap();
    }
    drop(journal);
    fixture
        .disk
        .edit("journal/0000.journal", |bytes| bytes[512 + 80] ^= 1);
    let (_, end) = fixture.scan(fixture.start);
    assert_eq!((end.records, end.damage.is_some()), (1, true));

    let journal = fixture.open(end.position, Lsn(0));
    let lsn = append(&journal, b"goes on").unwrap();
    journal.sync(lsn, Step::JournalBeforeReply).unwrap();
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!((records.len(), end.position.lsn), (2, lsn));
    assert_eq!((end.torn, end.damage), (None, None));
}

/// Where the log may go on in another file, one that starts with another pool's record is damage
/// and no end of the log. One that was never written is none, and neither is one in which records
/// of ours were found behind a damaged start.
#[test]
fn a_next_file_of_another_pool_is_damage() {
    let mut other = Vec::new();
    let foreign = Fixture::new(4096, 2);
    let id = PoolId([9; 16]);
    let start = JournalPosition {
        lsn: Lsn(0),
        chain: pool_seed(id),
    };
    let options = foreign.options.clone();
    let journal = Journal::open(foreign.disk.clone(), id, options, start, Lsn(0), 1).unwrap();
    append(&journal, &[7; 1000]).unwrap();
    foreign
        .disk
        .edit("journal/0000.journal", |bytes| other = bytes.to_vec());

    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    let first = append(&journal, &[1; 2000]).unwrap();
    assert_eq!(fixture.scan(fixture.start).1.damage, None);
    let last = append(&journal, &[2; 2000]).unwrap();
    assert_eq!((first.0 / 4096, last.0 / 4096), (0, 1));

    let path = "journal/0001.journal";
    let mut own = Vec::new();
    fixture.disk.edit(path, |bytes| own = bytes.to_vec());
    fixture
        .disk
        .edit(path, |bytes| bytes.copy_from_slice(&other));
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!((records.len(), end.position.lsn), (1, first));
    let (lsn, problem) = end.damage.unwrap();
    assert_eq!(lsn, first);
    assert!(problem.contains(path), "{problem}");

    fixture.disk.edit(path, |bytes| bytes.copy_from_slice(&own));
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!((records.len(), end.damage), (2, None));

    // What a power loss leaves of a first record that was never synced: a garbled sector, or the
    // front of a header.
    for (from, with) in [(0, 0xa5), (40, 0)] {
        fixture.disk.edit(path, |bytes| {
            bytes.copy_from_slice(&own);
            bytes[from..512].fill(with);
        });
        let (records, end) = fixture.scan(fixture.start);
        assert_eq!((records.len(), end.damage), (1, None));
    }
}

/// A record of an earlier life that was torn when a later one went on at its place is no part of
/// the log, even if a medium shows it whole again.
#[test]
fn what_an_earlier_life_has_left_is_never_taken_up() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    append(&journal, b"kept").unwrap();
    let kept = journal.appended();
    append(&journal, b"left by an earlier life").unwrap();
    drop(journal);
    let since = |incarnation| {
        let published = Since {
            at: kept.lsn,
            incarnation,
        };
        let (disk, options) = (&*fixture.disk, &fixture.options);
        let ignore = &mut |_: Record<'_>| Ok(());
        let end = Journal::scan_since(disk, POOL, options, (kept, published), ignore).unwrap();
        (end.records, end.position == kept)
    };
    assert_eq!(since(fixture.incarnation), (1, false));
    assert_eq!(since(fixture.incarnation + 1), (0, true));
}

/// Where the medium shows a record again that a later life had found torn, what that life has
/// appended counts: behind the same record, in its own sector or in another file.
#[test]
fn of_several_that_follow_the_latest_life_counts() {
    // The earlier life's record goes to the next file where it does not fit into what is left.
    for (fills, earlier) in [(0, 20), (3400, 20), (3400, 600)] {
        let mut fixture = Fixture::new(4096, 2);
        let journal = fixture.open_new();
        append(&journal, &vec![1; fills]).unwrap();
        let kept = journal.appended();
        append(&journal, &vec![2; earlier]).unwrap();
        drop(journal);
        let (records, end) = fixture.scan(fixture.start);
        assert_eq!((records.len(), end.incarnation), (2, 1));

        let journal = fixture.open(kept, fixture.start.lsn);
        append(&journal, b"later").unwrap();
        append(&journal, b"and more").unwrap();
        let last = journal.appended();
        drop(journal);
        let (records, end) = fixture.scan(fixture.start);
        assert_eq!(bodies(&records)[1..], [&b"later"[..], b"and more"]);
        assert_eq!((end.position, end.incarnation), (last, 2));
        assert_eq!((end.torn, end.damage), (None, None));
    }
}
