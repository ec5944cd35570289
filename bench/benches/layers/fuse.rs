//! A request's way to the daemon and back, beside a filesystem that does nothing.

mod nothing;
mod volume;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use rustix::fs::{AtFlags, OFlags, StatxFlags, statx};
use volfs_bench::fresh::Bytes;

use crate::store::BLOCK_BYTES;

/// Name of the one file that is looked at.
const FILE: &str = "file";
/// Its length: all of its blocks stay in the daemon's cache.
const FILE_BYTES: u64 = 16 << 20;
/// Threads that read requests: what a daemon starts on two cores.
const READERS: usize = 4;
/// Requests by which it is made sure that a call makes one.
const PROBES: u64 = 100;

/// Why nothing can be mounted.
fn obstacle() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may mount");
    }
    (!Path::new("/dev/fuse").exists()).then_some("there is no /dev/fuse")
}

fn open(folder: &Path) -> File {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(OFlags::DIRECT.bits() as i32);
    options.open(folder.join(FILE)).expect("the file is there")
}

/// One GETATTR, whatever the kernel knows already.
fn look(file: &File) {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    statx(file, "", flags, StatxFlags::BASIC_STATS).expect("attributes");
}

/// One READ.
fn read(file: &File, block: u64) {
    let mut buffer = [0; BLOCK_BYTES];
    let at = block % (FILE_BYTES / BLOCK_BYTES as u64) * BLOCK_BYTES as u64;
    file.read_exact_at(&mut buffer, at).expect("readable");
}

/// One kind of call on both, one after the other.
fn bench_call(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    files: &[(&str, File)],
    call: impl Fn(&File, u64),
) {
    for (filesystem, file) in files {
        let mut bytes = Bytes::of(5);
        group.bench_function(format!("{name}-{filesystem}"), |bencher| {
            bencher.iter_batched(
                || bytes.number(),
                |number| call(file, number),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Makes sure that a call is one request.
fn probe(volume: &volume::Mounted, name: &str, call: impl Fn(u64)) {
    let before = volume.requests(name);
    (0..PROBES).for_each(call);
    let asked = volume.requests(name) - before;
    assert!(asked.abs_diff(PROBES) < PROBES / 10, "{name}: {asked}");
}

/// Has the daemon read all blocks, so that they are in its cache.
fn warm(file: &File) {
    (0..FILE_BYTES / BLOCK_BYTES as u64).for_each(|block| read(file, block));
}

pub(crate) fn bench(criterion: &mut Criterion) {
    if let Some(obstacle) = obstacle() {
        eprintln!("fuse is not measured: {obstacle}");
        return;
    }
    let volume = volume::Mounted::new();
    let nothing = nothing::Mounted::new();
    let files = [
        ("volfs", open(volume.path())),
        ("nothing", open(nothing.path())),
    ];
    let seen = &files[0].1;
    probe(&volume, "getattr", |_| look(seen));
    probe(&volume, "read", |block| read(seen, block));
    warm(seen);
    let mut group = criterion.benchmark_group("fuse");
    group.throughput(Throughput::Elements(1));
    bench_call(&mut group, "getattr", &files, |file, _| look(file));
    bench_call(&mut group, "read", &files, read);
    group.finish();
}
