//! Tests of the log as a whole, on a medium in memory.

mod damage;
mod failures;
mod interleavings;
mod mem_disk;
mod model;

use std::sync::Arc;

use mem_disk::MemDisk;

use super::header::{HEADER_BYTES, record_bytes};
use super::*;
use crate::base::{Nature, PoolId};
use crate::disk::{Disk, FileDisk, Step};

const POOL: PoolId = PoolId(*b"pool of the test");
const VOLUME: VolumeId = VolumeId(9);

/// A record with its body.
#[derive(Clone, PartialEq, Eq, Debug)]
struct OwnedRecord {
    position: JournalPosition,
    kind: RecordKind,
    volume: VolumeId,
    body: Vec<u8>,
}

/// A log on a medium, and what is known about it across restarts.
struct Fixture {
    disk: Arc<MemDisk>,
    options: JournalOptions,
    incarnation: u64,
    start: JournalPosition,
}

impl Fixture {
    fn new(file_bytes: u32, files_max: u32) -> Fixture {
        let disk = MemDisk::new();
        let options = JournalOptions {
            file_bytes,
            files_max,
        };
        let start = Journal::create(&*disk, POOL, &options).unwrap();
        Fixture {
            disk,
            options,
            incarnation: 0,
            start,
        }
    }

    fn scan(&self, from: JournalPosition) -> (Vec<OwnedRecord>, ScanEnd) {
        scan(&*self.disk, &self.options, from)
    }

    fn open(&mut self, at: JournalPosition, released: Lsn) -> Journal {
        self.incarnation += 1;
        let disk: Arc<dyn Disk> = self.disk.clone();
        Journal::open(
            disk,
            POOL,
            self.options.clone(),
            at,
            released,
            self.incarnation,
        )
        .unwrap()
    }

    /// The journal at its beginning.
    fn open_new(&mut self) -> Journal {
        self.open(self.start, self.start.lsn)
    }
}

fn scan(
    disk: &dyn Disk,
    options: &JournalOptions,
    from: JournalPosition,
) -> (Vec<OwnedRecord>, ScanEnd) {
    let mut records = Vec::new();
    let end = Journal::scan(disk, POOL, options, from, &mut |record| {
        records.push(OwnedRecord {
            position: JournalPosition {
                lsn: record.lsn,
                chain: record.chain,
            },
            kind: record.kind,
            volume: record.volume,
            body: record.body.to_vec(),
        });
        Ok(())
    })
    .unwrap();
    assert_eq!(end.records, records.len() as u64);
    assert_eq!(
        end.position,
        records.last().map_or(from, |record| record.position)
    );
    (records, end)
}

fn append(journal: &Journal, body: &[u8]) -> JournalResult<Lsn> {
    journal
        .append(RecordKind::Transaction, VOLUME, &[body])
        .map(|position| position.lsn)
}

fn bodies(records: &[OwnedRecord]) -> Vec<&[u8]> {
    records.iter().map(|record| &record.body[..]).collect()
}

/// A new log is empty and usable at once; what is appended in parts comes back whole, with its
/// kind and volume, after a restart.
#[test]
fn records_come_back() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    assert_eq!(journal.appended(), fixture.start);

    let first = journal
        .append(RecordKind::Cut, VolumeId(0), &[b"one", b"", b"two"])
        .unwrap();
    let second = journal
        .append(RecordKind::Watermark, VolumeId(7), &[])
        .unwrap();
    let (first, second) = (first.lsn, second.lsn);
    assert_eq!((first, second), (Lsn(80), Lsn(152)));
    assert_eq!((journal.durable(), journal.fill()), (Lsn(0), (152, 8192)));
    journal.sync(first, Step::JournalBeforeReply).unwrap();
    assert_eq!(journal.durable(), second);
    let position = journal.appended();
    drop(journal);

    let (records, end) = fixture.scan(fixture.start);
    assert_eq!(bodies(&records), [&b"onetwo"[..], b""]);
    assert_eq!(
        (records[0].kind, records[0].volume),
        (RecordKind::Cut, VolumeId(0))
    );
    assert_eq!(
        (records[1].kind, records[1].volume),
        (RecordKind::Watermark, VolumeId(7))
    );
    assert_eq!((end.position, end.incarnation), (position, 1));
    assert_eq!((end.torn, end.damage), (None, None));

    let (rest, _) = fixture.scan(records[0].position);
    assert_eq!(rest, records[1..]);
}

/// A body of more parts than one write takes is written with one write all the same.
#[test]
fn many_parts_are_one_write() {
    let mut fixture = Fixture::new(65536, 2);
    let journal = fixture.open_new();
    let body: Vec<u8> = (0..=255).collect();
    let parts: Vec<&[u8]> = body.chunks(2).collect();

    let before = fixture.disk.writes();
    journal
        .append(RecordKind::Transaction, VOLUME, &parts)
        .unwrap();
    journal
        .append(RecordKind::Transaction, VOLUME, &parts[..30])
        .unwrap();
    assert_eq!(fixture.disk.writes(), before + 2);

    let (records, _) = fixture.scan(fixture.start);
    assert_eq!(bodies(&records), [&body[..], &body[..60]]);
}

/// A write goes on with zeros to the end of its page, so that no page of an earlier lap must be
/// read for it, and no further.
#[test]
fn writes_end_with_a_page() {
    let mut fixture = Fixture::new(8192, 2);
    let journal = fixture.open_new();
    fixture
        .disk
        .edit("journal/0000.journal", |bytes| bytes.fill(0xff));
    append(&journal, &[0xff; 4096]).unwrap();
    fixture.disk.edit("journal/0000.journal", |bytes| {
        assert_eq!(bytes[HEADER_BYTES..][..4096], [0xff; 4096]);
        assert_eq!(bytes[HEADER_BYTES + 4096..], [0; 4096 - HEADER_BYTES]);
        bytes[4168..].fill(0xff);
    });
    append(&journal, &[]).unwrap();
    append(&journal, &[0xff; 8192 - 4240 - HEADER_BYTES]).unwrap();
    assert_eq!(journal.appended().lsn, Lsn(8192));
    assert_eq!(fixture.scan(fixture.start).0.len(), 3);

    let mut fixture = Fixture::new(8192, 2);
    let journal = fixture.open_new();
    fixture
        .disk
        .edit("journal/0000.journal", |bytes| bytes.fill(0xff));
    append(&journal, b"short").unwrap();
    fixture.disk.edit("journal/0000.journal", |bytes| {
        assert_eq!(bytes[80..4096], [0; 4016]);
        assert_eq!(bytes[4096..], [0xff; 4096]);
    });
}

/// Records behind a sync start in a sector of their own, also while the sync is still under way;
/// without one they follow each other directly.
#[test]
fn appends_after_a_sync_start_in_a_new_sector() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = Arc::new(fixture.open_new());
    assert_eq!(append(&journal, &[1; 8]).unwrap(), Lsn(80));
    assert_eq!(append(&journal, &[1; 8]).unwrap(), Lsn(160));

    let syncs = fixture.disk.syncs_started();
    fixture.disk.close_gate(true);
    let syncing = std::thread::spawn({
        let journal = Arc::clone(&journal);
        move || journal.sync(Lsn(160), Step::JournalBeforeReply)
    });
    fixture.disk.wait_for_syncs(syncs + 1);
    assert_eq!(append(&journal, &[2; 8]).unwrap(), Lsn(512 + 80));
    assert_eq!(append(&journal, &[2; 8]).unwrap(), Lsn(512 + 160));
    fixture.disk.close_gate(false);
    syncing.join().unwrap().unwrap();

    assert_eq!(journal.durable(), Lsn(160));
    journal
        .sync(Lsn(512 + 160), Step::JournalBeforeReply)
        .unwrap();
    assert_eq!(append(&journal, &[3; 8]).unwrap(), Lsn(1024 + 80));
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!((records.len(), end.position), (5, journal.appended()));
}

/// Nothing new is no flush, and a position beyond the end means all there is.
#[test]
fn sync_without_anything_new_does_not_flush() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    let before = fixture.disk.syncs_started();
    journal.sync(Lsn(0), Step::JournalBeforeReply).unwrap();
    let lsn = append(&journal, b"x").unwrap();
    journal
        .sync(Lsn(u64::MAX), Step::JournalBeforeReply)
        .unwrap();
    journal.sync(lsn, Step::JournalBeforeReply).unwrap();
    assert_eq!(
        (journal.durable(), fixture.disk.syncs_started()),
        (lsn, before + 1)
    );
    assert_eq!((journal.end(), journal.syncs()), (lsn, 1));
}

/// While one flush runs, all others who need one wait, and one further flush serves them all.
#[test]
fn one_flush_serves_all_who_wait() {
    let mut fixture = Fixture::new(65536, 2);
    let journal = Arc::new(fixture.open_new());
    let lsn = append(&journal, b"leader").unwrap();
    let before = fixture.disk.syncs_started();
    fixture.disk.close_gate(true);
    let spawn_sync = |lsn| {
        let journal = Arc::clone(&journal);
        std::thread::spawn(move || {
            journal
                .sync(lsn, Step::JournalBeforeReply)
                .map(|()| journal.durable() >= lsn)
        })
    };
    let mut threads = vec![spawn_sync(lsn)];
    fixture.disk.wait_for_syncs(before + 1);
    for number in 0..16_u8 {
        threads.push(spawn_sync(append(&journal, &[number; 100]).unwrap()));
    }
    fixture.disk.close_gate(false);
    assert!(
        threads
            .into_iter()
            .all(|thread| thread.join().unwrap().unwrap())
    );
    assert_eq!(fixture.disk.syncs_started(), before + 2);
}

/// Threads that append and sync at will lose nothing and keep the order of LSNs.
#[test]
fn concurrent_appends_are_all_there() {
    let mut fixture = Fixture::new(65536, 8);
    let journal = fixture.open_new();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..50_u8 {
                    let lsn = append(journal, &[thread, number]).unwrap();
                    journal.sync(lsn, Step::JournalBeforeReply).unwrap();
                    assert!(journal.durable() >= lsn);
                }
            });
        }
    });
    fixture.disk.crash(|| false);
    let (records, end) = fixture.scan(fixture.start);
    assert_eq!((records.len(), end.position), (200, journal.appended()));
    for thread in 0..4 {
        let numbers: Vec<u8> = records
            .iter()
            .filter(|r| r.body[0] == thread)
            .map(|r| r.body[1])
            .collect();
        assert!(numbers.into_iter().eq(0..50));
    }
}

/// The log runs over its files for many laps; each restart finds exactly what was appended since
/// the release, although records of earlier laps of the same size lie behind the end.
#[test]
fn files_are_recycled_and_stale_records_never_follow() {
    let mut fixture = Fixture::new(16384, 3);
    let mut from = fixture.start;
    let mut journal = fixture.open_new();
    let mut expected = Vec::new();
    for number in 0..600_u32 {
        let mut body = vec![0x5a; 500];
        body[..4].copy_from_slice(&number.to_le_bytes());
        let lsn = append(&journal, &body).unwrap();
        expected.push((journal.appended(), body));
        if number % 3 == 0 {
            journal.sync(lsn, Step::JournalBeforeReply).unwrap();
        }
        if number % 7 == 0 {
            let (records, end) = fixture.scan(from);
            let found: Vec<_> = records.into_iter().map(|r| (r.position, r.body)).collect();
            assert_eq!(found, expected);
            assert_eq!(end.position, journal.appended());
            drop(journal);
            journal = fixture.open(end.position, from.lsn);
        }
        if number % 5 == 0 {
            let keep = expected.split_off(expected.len() / 2);
            from = expected.last().map_or(from, |(position, _)| *position);
            expected = keep;
            journal.release(from.lsn);
        }
    }
    assert!(from.lsn > Lsn(8 * 3 * 16384), "only {} bytes", from.lsn);
    assert!(fixture.disk.list("journal").unwrap().len() <= 3);
}

/// Without release the log grows to its most files and is then full; it takes records again as
/// soon as a file is released, and being full poisons nothing.
#[test]
fn log_is_full_until_a_file_is_released() {
    let mut fixture = Fixture::new(4096, 4);
    let journal = fixture.open_new();
    let body = [7; 1024 - HEADER_BYTES];
    for _ in 0..16 {
        append(&journal, &body).unwrap();
    }
    assert_eq!(fixture.disk.list("journal").unwrap().len(), 4);
    let error = append(&journal, &body).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the journal is full: 16384 of 16384 bytes wait for a checkpoint"
    );
    assert_eq!(error.nature(), Nature::Environment);
    journal.sync(Lsn(16384), Step::JournalBeforeReply).unwrap();

    journal.release(Lsn(4095));
    assert!(matches!(
        append(&journal, &body),
        Err(JournalError::Full { .. })
    ));
    journal.release(Lsn(4096));
    for _ in 0..4 {
        append(&journal, &body).unwrap();
    }
    assert!(matches!(
        append(&journal, &body),
        Err(JournalError::Full { used: 16384, .. })
    ));
    assert!(!journal.poisoned());
}

/// A further file is made when the second half of the last free one is reached, not before.
#[test]
fn a_further_file_is_made_ahead_of_need() {
    let mut fixture = Fixture::new(8192, 3);
    let journal = fixture.open_new();
    append(&journal, &[1; 8000]).unwrap();
    append(&journal, &[1; 1000]).unwrap();
    assert!(!journal.shared.writer.lock().growth.is_running());
    append(&journal, &[1; 3000]).unwrap();
    drop(journal);
    assert_eq!(
        fixture.disk.list("journal").unwrap(),
        ["0000.journal", "0001.journal", "0002.journal"]
    );
}

/// A body above the limit is refused and harms nothing; one at the limit fills a file.
#[test]
fn too_large_a_body_is_refused() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    let error = append(&journal, &[0; 4096 - HEADER_BYTES + 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a journal record of 4025 bytes is above the limit of 4024"
    );
    assert_eq!(error.nature(), Nature::Refused);
    append(&journal, &[0; 4096 - HEADER_BYTES]).unwrap();

    let mut fixture = Fixture::new(2 << 20, 2);
    let journal = fixture.open_new();
    let body = vec![3; Journal::BODY_MAX];
    assert!(matches!(
        append(&journal, &[&body[..], &[0]].concat()),
        Err(JournalError::TooLarge {
            max: Journal::BODY_MAX,
            ..
        })
    ));
    append(&journal, b"first").unwrap();
    append(&journal, &body).unwrap();
    assert_eq!(
        append(&journal, &body).unwrap().0,
        (2 << 20) + record_bytes(body.len()) as u64
    );
    let end = journal.appended();
    drop(journal);
    let (records, scanned) = fixture.scan(fixture.start);
    assert_eq!(bodies(&records), [&b"first"[..], &body, &body]);
    assert_eq!(scanned.position, end);
    let journal = fixture.open(end, Lsn(0));
    let lsn = append(&journal, b"behind").unwrap();
    assert_eq!(lsn.0, end.lsn.0.next_multiple_of(512) + 80);
}

/// Options that make no sense, that are not those of the files, and an incarnation that is not
/// higher are refused.
#[test]
fn wrong_options_are_refused() {
    let mut fixture = Fixture::new(4096, 2);
    let problem = |file_bytes, files_max| {
        let options = JournalOptions {
            file_bytes,
            files_max,
        };
        let at = JournalPosition {
            lsn: Lsn(0),
            chain: 0,
        };
        let error = Journal::scan(&*fixture.disk, POOL, &options, at, &mut |_| Ok(()));
        error.unwrap_err().to_string()
    };
    let prefix = "the journal cannot be used with these options: ";
    assert_eq!(
        problem(5000, 2),
        format!("{prefix}5000 is no multiple of 4096 bytes")
    );
    assert_eq!(
        problem(4096, 1),
        format!("{prefix}1 files are too few, it needs two")
    );

    let journal = fixture.open_new();
    append(&journal, b"x").unwrap();
    let at = journal.appended();
    let options = JournalOptions {
        file_bytes: 8192,
        files_max: 2,
    };
    let scanned = Journal::scan(&*fixture.disk, POOL, &options, at, &mut |_| Ok(()));
    let text = "'journal/0000.journal' has 4096 bytes instead of 8192";
    let incomplete = "the journal is not complete: ";
    assert_eq!(
        scanned.unwrap_err().to_string(),
        format!("{incomplete}{text}")
    );
    let disk: Arc<dyn Disk> = fixture.disk.clone();
    let reopened = Journal::open(disk, POOL, fixture.options.clone(), at, Lsn(0), 1);
    let text = "incarnation 1 does not follow 1";
    assert_eq!(
        reopened.err().unwrap().to_string(),
        format!("{prefix}{text}")
    );
}

/// A position that no log reaches is refused and not computed with.
#[test]
fn absurd_position_is_refused() {
    let fixture = Fixture::new(4096, 2);
    let at = JournalPosition {
        lsn: Lsn(u64::MAX - 5),
        chain: 0,
    };
    let scanned = Journal::scan(&*fixture.disk, POOL, &fixture.options, at, &mut |_| Ok(()));
    assert_eq!(scanned.unwrap_err().nature(), Nature::Corrupt);
    let (records, end) = fixture.scan(JournalPosition {
        lsn: Lsn(12345),
        chain: 0,
    });
    assert_eq!((records.len(), end.position.lsn), (0, Lsn(12345)));
}

/// A file whose making was cut short by a crash is removed and made anew when needed.
#[test]
fn unfinished_file_is_removed() {
    let mut fixture = Fixture::new(4096, 3);
    let file = fixture.disk.create("journal/0002.journal").unwrap();
    file.write_at(&[&[0; 512]], 0).unwrap();
    fixture.disk.create("journal/notes").unwrap();
    let (_, end) = fixture.scan(fixture.start);
    let journal = fixture.open(end.position, Lsn(0));
    assert_eq!(
        fixture.disk.list("journal").unwrap(),
        ["0000.journal", "0001.journal", "notes"]
    );
    for _ in 0..3 {
        append(&journal, &[1; 4000]).unwrap();
    }
    assert_eq!(fixture.scan(fixture.start).0.len(), 3);
}

/// The error of a visitor ends the scan.
#[test]
fn visitor_may_refuse() {
    let mut fixture = Fixture::new(4096, 2);
    let journal = fixture.open_new();
    append(&journal, b"one").unwrap();
    append(&journal, b"two").unwrap();
    let mut seen = 0;
    let result = Journal::scan(
        &*fixture.disk,
        POOL,
        &fixture.options,
        fixture.start,
        &mut |record| {
            seen += 1;
            let problem = "refused".to_owned();
            Err(JournalError::Corrupt {
                lsn: record.lsn,
                problem,
            })
        },
    );
    assert_eq!(
        result.unwrap_err().to_string(),
        "the journal is damaged at 80: refused"
    );
    assert_eq!(seen, 1);
}

/// The log works on a folder of the host, over restarts, file borders and growth.
#[test]
fn works_on_files_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(folder.path()));
    let options = JournalOptions {
        file_bytes: 8192,
        files_max: 6,
    };
    let mut from = Journal::create(&*disk, POOL, &options).unwrap();
    for incarnation in 1..=6 {
        let (_, end) = scan(&*disk, &options, from);
        let (at, released) = (end.position, from.lsn);
        let journal = Journal::open(
            disk.clone(),
            POOL,
            options.clone(),
            at,
            released,
            incarnation,
        )
        .unwrap();
        for number in 0..10_u8 {
            let lsn = append(&journal, &[number; 1500]).unwrap();
            journal.sync(lsn, Step::JournalBeforeReply).unwrap();
        }
        let end = journal.appended();
        drop(journal);
        let (records, scanned) = scan(&*disk, &options, at);
        assert_eq!((records.len(), scanned.position), (10, end));
        assert!((0..10).all(|number| records[usize::from(number)].body == [number; 1500]));
        from = at;
    }
}

/// A file that was taken away is told, whether it held records or not: the log never takes its
/// absence for an end.
#[test]
fn a_missing_file_is_told() {
    for missing in [0, 1] {
        let mut fixture = Fixture::new(4096, 4);
        let journal = fixture.open_new();
        append(&journal, b"x").unwrap();
        let at = journal.appended();
        drop(journal);
        let path = format!("journal/{missing:04}.journal");
        fixture.disk.remove(&path).unwrap();
        let scanned = Journal::scan(&*fixture.disk, POOL, &fixture.options, at, &mut |_| Ok(()));
        let text = format!("the journal is not complete: '{path}' is missing or cut short");
        assert_eq!(scanned.unwrap_err().to_string(), text);
    }
}
