//! Appends, group commit and recycling under explored schedules, on a medium that loses power.

use std::sync::Arc;

use super::*;
use crate::base::sync::{Mutex, Sabotage, explore, explore_sabotaged, thread};
use crate::disk::{Fault, SimDisk, SlowDisk, Step};

/// A log that explored threads share.
struct Log {
    medium: SimDisk,
    options: JournalOptions,
    start: JournalPosition,
    journal: Journal,
    appended: Mutex<Vec<(Lsn, Vec<u8>)>>,
}

impl Log {
    fn new(file_bytes: u32, files_max: u32) -> Arc<Log> {
        let medium = SimDisk::new();
        let options = JournalOptions {
            file_bytes,
            files_max,
        };
        let start = Journal::create(&medium, POOL, &options).unwrap();
        let slow = SlowDisk::new(medium.clone());
        let journal = Journal::open(slow, POOL, options.clone(), start, Lsn(0), 1).unwrap();
        Arc::new(Log {
            medium,
            options,
            start,
            journal,
            appended: Mutex::default(),
        })
    }

    fn append(&self, body: &[u8]) -> JournalResult<JournalPosition> {
        let kind = RecordKind::Transaction;
        let position = self.journal.append(kind, VOLUME, &[body])?;
        self.appended.lock().push((position.lsn, body.to_vec()));
        Ok(position)
    }

    /// What a power loss at this moment would leave of the log behind `from`.
    fn after_power_loss(&self, seed: u64, from: JournalPosition) -> (Vec<OwnedRecord>, ScanEnd) {
        scan(&self.medium.crash(seed), &self.options, from)
    }

    /// Panics when a power loss at this moment could take the record.
    fn assert_durable(&self, at: Lsn, body: &[u8]) {
        assert!(self.journal.durable() >= at);
        for seed in 0..2 {
            let (records, end) = self.after_power_loss(seed, self.start);
            let found = records.iter().find(|record| record.position.lsn == at);
            let found = found.map(|record| &record.body[..]);
            assert_eq!(found, Some(body), "a synced record is lost");
            assert_eq!(end.damage, None);
        }
    }

    /// Panics unless the log behind `from` is what was appended there, in the order of the LSNs.
    fn assert_whole(&self, from: JournalPosition) {
        let mut appended = std::mem::take(&mut *self.appended.lock());
        appended.sort();
        appended.retain(|(lsn, _)| *lsn > from.lsn);
        let (records, end) = scan(&self.medium, &self.options, from);
        let found: Vec<(Lsn, Vec<u8>)> = records
            .into_iter()
            .map(|record| (record.position.lsn, record.body))
            .collect();
        assert_eq!(found, appended);
        assert_eq!(end.damage, None);
    }
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Three threads commit two records each.
fn group_commit() {
    let log = Log::new(8192, 2);
    let commit = |number: u8| {
        let log = log.clone();
        thread::spawn(move || {
            let mut last = Lsn(0);
            for record in 0..2 {
                let body = [number, record].repeat(40);
                let at = log.append(&body).unwrap().lsn;
                assert!(at > last, "a later record has a higher LSN");
                last = at;
                log.journal.sync(at, Step::JournalBeforeReply).unwrap();
                log.assert_durable(at, &body);
            }
        })
    };
    join((0..3).map(commit).collect());
    log.assert_whole(log.start);
}

/// No sync returns before what it covers is on the medium, whoever leads the flush; each record is
/// in the log once, at its LSN.
#[test]
fn a_sync_covers_what_was_appended_before_it() {
    explore(group_commit);
}

/// The exploration notices a flush that publishes the end of the log as it is after its syncs.
#[test]
fn a_flush_that_publishes_too_much_is_noticed() {
    let how = explore_sabotaged(Sabotage::JournalEndAfterSync, group_commit);
    assert!(how.contains("a synced record is lost"), "{how}");
}

/// Appends that outrun the log's files wait for further ones, or find it full and release what
/// they have synced: nothing that was not released is overwritten, and nobody waits for ever.
#[test]
fn files_are_made_and_recycled_while_others_append() {
    explore(|| {
        let log = Log::new(4096, 3);
        let released = Arc::new(Mutex::new(log.start));
        let work = |number: u8| {
            let (log, released) = (log.clone(), released.clone());
            thread::spawn(move || {
                let mut last = log.start;
                for record in 0..4 {
                    let body = [number, record].repeat(700);
                    last = loop {
                        match log.append(&body) {
                            Ok(at) => break at,
                            Err(JournalError::Full { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        let end = log.journal.appended();
                        log.journal.sync(end.lsn, Step::JournalBeforeReply).unwrap();
                        log.journal.release(end.lsn);
                        let mut released = released.lock();
                        if end.lsn > released.lsn {
                            *released = end;
                        }
                    };
                }
                log.journal
                    .sync(last.lsn, Step::JournalBeforeReply)
                    .unwrap();
            })
        };
        join((0..2).map(work).collect());
        let from = *released.lock();
        log.assert_whole(from);
        let (records, end) = log.after_power_loss(1, from);
        assert_eq!(end.position, log.journal.appended(), "all was synced");
        assert_eq!(end.records, records.len() as u64);
    });
}

/// When a flush fails, nobody who waits for it or comes later is told that anything is durable
/// that is not, and nobody waits for ever.
#[test]
fn a_failed_flush_reaches_all_who_wait() {
    explore(|| {
        let log = Log::new(8192, 2);
        log.medium.arm(Fault::FailSync(1));
        let failures = Arc::new(Mutex::new(0));
        let commit = |number: u8| {
            let (log, failures) = (log.clone(), failures.clone());
            thread::spawn(move || {
                for record in 0..2 {
                    let body = [number, record].repeat(40);
                    let synced = log.append(&body).and_then(|at| {
                        log.journal.sync(at.lsn, Step::JournalBeforeReply)?;
                        Ok(at.lsn)
                    });
                    match synced {
                        Ok(at) => log.assert_durable(at, &body),
                        Err(JournalError::Poisoned) => assert!(log.journal.poisoned()),
                        Err(JournalError::Disk(_)) => *failures.lock() += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        };
        join((0..3).map(commit).collect());
        let failed = u32::from(log.medium.has_failed());
        assert_eq!(*failures.lock(), failed, "one is told why, the others that");
    });
}
