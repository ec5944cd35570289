//! A volume with one file, mounted by this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use volfs::base::VolumeName;
use volfs::fuse::{Mount, MountOptions};
use volfs::pool::{NewVolume, Pool, PoolOptions};
use volfs::volume::core::ACCEPTED_BYTES;
use volfs_bench::fresh::Bytes;

use super::{FILE, FILE_BYTES, READERS};

/// A pool and its one volume. Dropped, it is unmounted and closed.
pub(super) struct Mounted {
    mount: Arc<Mount>,
    pool: Arc<Pool>,
    path: PathBuf,
    _folder: TempDir,
}

fn make_volume(pool: &Pool, name: &VolumeName) {
    let new = NewVolume {
        name: name.clone(),
        block_size: None,
        labels: Default::default(),
        uid: 0,
        gid: 0,
        mode: 0o755,
        limit_bytes: None,
    };
    pool.create_volume(&new).expect("a volume");
}

fn options(path: &Path) -> MountOptions {
    MountOptions {
        source: "bench".to_owned(),
        path: path.to_owned(),
        read_only: false,
        allow_other: false,
        suid: false,
        dev: false,
        write_through: false,
        noatime: false,
        nohandles: false,
        readers: READERS,
        dirty_bytes_max: ACCEPTED_BYTES,
        poll_idle_cores: true,
    }
}

impl Mounted {
    pub(super) fn new() -> Mounted {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let (pool, path) = (folder.path().join("pool"), folder.path().join("mnt"));
        fs::create_dir(&path).expect("a mount point");
        Pool::create(&pool).expect("a pool");
        let pool = Pool::open(&pool, PoolOptions::default()).expect("an open pool");
        let name: VolumeName = "bench".parse().expect("a name");
        make_volume(&pool, &name);
        let volume = pool.open_volume(&name).expect("the volume");
        let mount = Mount::start(volume, None, options(&path), Box::new(|| {})).expect("a mount");
        let mounted = Mounted {
            mount,
            pool,
            path,
            _folder: folder,
        };
        mounted.fill();
        mounted
    }

    /// Makes the file, and has it in blocks of the store.
    fn fill(&self) {
        let mut content = vec![0; FILE_BYTES as usize];
        Bytes::of(6).fill(&mut content);
        fs::write(self.path.join(FILE), content).expect("written");
        self.pool.checkpoint().expect("a checkpoint");
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many requests of this kind were answered.
    pub(super) fn requests(&self, kind: &str) -> u64 {
        let kinds = self.mount.requests().kinds;
        let found = kinds.iter().find(|one| one.opcode == kind);
        found.map_or(0, |one| one.latencies.count())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.mount.unmount(false) {
            eprintln!("the volume stays mounted: {error}");
        }
        if let Err(error) = self.pool.close() {
            eprintln!("the pool is not closed: {error}");
        }
    }
}
