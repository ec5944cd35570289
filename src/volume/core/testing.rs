//! A volume on its own, over a folder, for the tests of this layer and of the operations.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use super::admission::Admission;
use super::layer::{Counts, Layer};
use super::seal::Sealing;
use super::shared::Shared;
use super::volume::{Volume, VolumeSettings};
use crate::base::sync::atomic::AtomicU64;
use crate::base::{Clock, Lsn, PoolId, SegmentId, SystemClock, Timestamp, VolumeId};
use crate::block::{BlockStore, StoreOptions};
use crate::disk::{Disk, FileDisk, Step};
use crate::journal::{Journal, JournalOptions};
use crate::tree::BlockNodes;

/// A clock whose stamps differ from one operation to the next.
struct FineClock(SystemClock);

impl Clock for FineClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

/// A volume over a temporary folder; `checkpoint` moves its changes into the tree.
pub(crate) struct Bench {
    pub(crate) volume: Arc<Volume>,
    pub(crate) shared: Arc<Shared>,
    _folder: TempDir,
}

impl Bench {
    /// An empty volume.
    pub(crate) fn new(block_size: u32) -> Bench {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(folder.path()));
        let pool = PoolId([7; 16]);
        let options = StoreOptions {
            cache_bytes: 4 << 20,
            workers: 2,
            segment_bytes: 8 << 20,
            index_dir: None,
            first_segment: SegmentId(1),
        };
        disk.create_dir("segments").expect("a folder");
        let store = BlockStore::open(disk.clone(), pool, options).expect("a store");
        let journal_options = JournalOptions {
            file_bytes: 8 << 20,
            files_max: 8,
        };
        let start = Journal::create(&*disk, pool, &journal_options).expect("a journal");
        let journal = Journal::open(disk.clone(), pool, journal_options, start, Lsn(0), 1)
            .expect("a journal");
        let shared = Arc::new(Shared {
            disk,
            nodes: Arc::new(BlockNodes::new(store.clone(), 4 << 20)),
            store,
            journal: OnceLock::from(journal),
            admission: Admission::new(1 << 30),
            clock: Arc::new(FineClock(SystemClock::new())),
            slack_bytes: 0,
            unseen_bytes: AtomicU64::new(0),
            unsynced_max: 64 << 20,
        });
        let base = Layer::sealed(None, Counts::default());
        let settings = VolumeSettings {
            id: VolumeId(1),
            label: "bench".to_owned(),
            block_size,
            hash_key: [3; 16],
            read_only: false,
        };
        let volume = Volume::new(settings, shared.clone(), base);
        Bench {
            volume,
            shared,
            _folder: folder,
        }
    }

    /// Freezes the changes as a layer of their own, as a snapshot does.
    pub(crate) fn freeze(&self) -> Arc<Layer> {
        self.volume.lock().freeze(&self.shared)
    }

    /// Freezes and seals everything into the tree, and frees the journal.
    pub(crate) fn checkpoint(&self) {
        let layer = self.freeze();
        let mut sealing = Sealing::new(&self.shared);
        let sealed = sealing.seal(&layer, self.volume.block_size());
        self.shared
            .store
            .sync_reach(
                &sealed.expect("sealing").reach,
                Step::SegmentBeforeSuperblock,
            )
            .expect("a medium that works");
        sealing.show_durable();
        let journal = self.shared.journal().expect("a journal");
        journal.release(journal.appended().lsn);
    }

    /// A read-only volume that shows a frozen state.
    pub(crate) fn snapshot(&self, layer: Arc<Layer>) -> Arc<Volume> {
        let settings = VolumeSettings {
            id: VolumeId(1),
            label: "bench".to_owned(),
            block_size: self.volume.block_size(),
            hash_key: self.volume.hash_key(),
            read_only: true,
        };
        Volume::new(settings, self.shared.clone(), layer)
    }
}
