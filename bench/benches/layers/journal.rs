//! A record on the medium, beside a write and an fdatasync of bytes that are there already.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use volfs::base::{Lsn, PoolId, VolumeId};
use volfs::disk::{FileDisk, Step};
use volfs::journal::{Journal, JournalOptions, RecordKind};

use crate::store::BLOCK_BYTES;

const FILE_BYTES: u64 = 32 << 20;
const WRITERS: u64 = 4;

/// A log whose files are there, and are written over and over.
fn make_journal(folder: &Path) -> Journal {
    let disk = Arc::new(FileDisk::new(folder));
    let options = JournalOptions {
        file_bytes: FILE_BYTES as u32,
        files_max: 2,
    };
    let pool = PoolId([1; 16]);
    let start = Journal::create(&*disk, pool, &options).expect("a journal");
    Journal::open(disk, pool, options, start, Lsn(0), 1).expect("an open journal")
}

/// A record on the medium. Whatever is there need not be kept.
fn commit(journal: &Journal, page: &[u8]) {
    let at = journal
        .append(RecordKind::Transaction, VolumeId(1), &[page])
        .expect("appended");
    journal
        .sync(at.lsn, Step::JournalBeforeReply)
        .expect("synced");
    journal.release(at.lsn);
}

/// A file whose bytes are written, so that to overwrite them allocates nothing.
struct Bare {
    file: File,
    end: AtomicU64,
}

impl Bare {
    fn make(path: &Path) -> Bare {
        let file = File::create(path).expect("a file");
        file.write_all_at(&vec![0; FILE_BYTES as usize], 0)
            .expect("written");
        file.sync_all().expect("synced");
        Bare {
            file,
            end: AtomicU64::new(0),
        }
    }

    fn commit(&self, page: &[u8]) {
        let at = self.end.fetch_add(page.len() as u64, Ordering::Relaxed) % FILE_BYTES;
        self.file.write_all_at(page, at).expect("written");
        self.file.sync_data().expect("synced");
    }
}

/// The time in which so many threads commit `commits` in all.
fn timed(writers: u64, commits: u64, commit: &(impl Fn() + Sync)) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for writer in 0..writers {
            let share = commits / writers + u64::from(writer < commits % writers);
            scope.spawn(move || (0..share).for_each(|_| commit()));
        }
    });
    start.elapsed()
}

fn bench_pair(group: &mut BenchmarkGroup<WallTime>, writers: u64, folder: &Path) {
    let page = vec![7; BLOCK_BYTES];
    let journal = make_journal(folder);
    group.bench_function(format!("volfs-{writers}"), |bencher| {
        bencher.iter_custom(|commits| timed(writers, commits, &|| commit(&journal, &page)));
    });
    let bare = Bare::make(&folder.join("bare"));
    group.bench_function(format!("pwrite-fdatasync-{writers}"), |bencher| {
        bencher.iter_custom(|commits| timed(writers, commits, &|| bare.commit(&page)));
    });
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    for writers in [1, WRITERS] {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        // What others have left dirty is not written beside this.
        rustix::fs::sync();
        bench_pair(&mut group, writers, scratch.path());
    }
    group.finish();
}
