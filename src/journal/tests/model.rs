//! Random operations and crashes against a list of records.

use proptest::prelude::*;

use super::*;

const FILE_BYTES: u32 = 8192;

/// One step.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    /// Releases this share, in 256ths, of what is durable.
    Release(u8),
    Reopen,
    /// Power loss that keeps about this share, in 256ths, of the unsynced sectors.
    Crash(u8, u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let body_max = FILE_BYTES as usize - HEADER_BYTES;
    prop_oneof![
        12 => prop_oneof![0..300_usize, 0..=body_max].prop_map(Step::Append),
        4 => Just(Step::Sync),
        2 => any::<u8>().prop_map(Step::Release),
        1 => Just(Step::Reopen),
        2 => (any::<u8>(), any::<u64>()).prop_map(|(share, seed)| Step::Crash(share, seed)),
    ]
}

/// A log and the list of what it must hold.
struct Model {
    fixture: Fixture,
    journal: Option<Journal>,
    /// Where replay starts.
    from: JournalPosition,
    /// All records behind `from`.
    records: Vec<OwnedRecord>,
    /// How many of them a sync has covered.
    durable: usize,
    appended: u64,
}

impl Model {
    fn new(files_max: u32) -> Model {
        let mut fixture = Fixture::new(FILE_BYTES, files_max);
        let journal = Some(fixture.open_new());
        let from = fixture.start;
        Model {
            fixture,
            journal,
            from,
            records: Vec::new(),
            durable: 0,
            appended: 0,
        }
    }

    fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Append(len) => self.append(len),
            Step::Sync => self.sync(),
            Step::Release(share) => self.release(self.durable * usize::from(share) / 256),
            Step::Reopen => self.restart(),
            Step::Crash(share, seed) => {
                let mut state = seed | 1;
                self.fixture.disk.crash(|| {
                    // Xorshift: any spread will do, and it repeats with the seed.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 24) as u8 <= share
                });
                self.restart();
            }
        }
        let last = self
            .records
            .last()
            .map_or(self.from, |record| record.position);
        assert_eq!(self.journal().appended(), last);
        assert_eq!(self.journal().fill().0, last.lsn.0 - self.from.lsn.0);
    }

    fn append(&mut self, len: usize) {
        self.appended += 1;
        let body: Vec<u8> = self
            .appended
            .to_le_bytes()
            .into_iter()
            .cycle()
            .take(len)
            .collect();
        let volume = VolumeId(self.appended);
        let write = |journal: &Journal| {
            let (first, second) = body.split_at(len / 3);
            let parts = [first, second];
            journal
                .append(RecordKind::Transaction, volume, &parts)
                .map(|position| position.lsn)
        };
        let lsn = match write(self.journal()) {
            Err(JournalError::Full { .. }) => {
                self.sync();
                self.release(self.durable);
                write(self.journal()).expect("there is room once all is released")
            }
            other => other.unwrap(),
        };
        let position = self.journal().appended();
        assert_eq!(position.lsn, lsn);
        self.records.push(OwnedRecord {
            position,
            kind: RecordKind::Transaction,
            volume,
            body,
        });
    }

    fn sync(&mut self) {
        let lsn = self.journal().appended().lsn;
        self.journal()
            .sync(lsn, crate::disk::Step::JournalBeforeReply)
            .unwrap();
        assert_eq!(self.journal().durable(), lsn);
        self.durable = self.records.len();
    }

    fn release(&mut self, count: usize) {
        if count > 0 {
            self.from = self.records[count - 1].position;
            self.records.drain(..count);
            self.durable -= count;
            self.journal().release(self.from.lsn);
        }
    }

    /// What is found is a prefix of what was appended, with all that was synced.
    fn restart(&mut self) {
        self.journal = None;
        let (found, end) = self.fixture.scan(self.from);
        assert!(
            found.len() >= self.durable,
            "{} of {} found",
            found.len(),
            self.durable
        );
        assert_eq!(found, self.records[..found.len()]);
        assert_eq!(end.damage, None);
        self.records = found;
        self.durable = self.records.len();
        self.journal = Some(self.fixture.open(end.position, self.from.lsn));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// After any operations and power losses the log holds a prefix of what was appended, and in
    /// it all that was synced; what was damaged by a power loss is never reported as damage.
    #[test]
    fn model_log_holds_a_prefix_with_all_that_was_synced(
        files_max in 2..5_u32,
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let mut model = Model::new(files_max);
        steps.iter().for_each(|step| model.apply(step));
        model.restart();
    }
}
