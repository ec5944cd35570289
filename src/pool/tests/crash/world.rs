//! A pool on a simulated medium beside its model, and the operations on both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::{WHO, name, new_volume, snap};
use super::model::{Entry, Floor, Found, PoolModel, SnapshotModel, Stage, Tree, VolumeModel};
use crate::base::progress::Silent;
use crate::base::{Clock, Ino, PoolId, SplitMix64, Timestamp};
use crate::disk::SimDisk;
use crate::journal::JournalOptions;
use crate::pool::recovery::Ground;
use crate::pool::settings::PoolFile;
use crate::pool::{Pool, PoolError, PoolOptions, PoolResult};
use crate::volume::ops::{FileKind, NewNode, RenameMode, SetAttr, WriteMode};
use crate::volume::{FsError, Volume};

const ID: PoolId = PoolId([0x51; 16]);
const VOLUMES_MAX: usize = 3;
const SNAPSHOTS_MAX: usize = 4;
const FILES_MAX: usize = 5;
const FILE_BYTES_MAX: u64 = 160 << 10;
/// Bytes of a segment: some rollovers in each run.
const SEGMENT_BYTES: u32 = 300 << 10;
const BLOCK: u64 = 4096;

/// Each look at it is a millisecond later.
#[derive(Default)]
struct StepClock(AtomicU64);

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        let millis = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp {
            secs: 1_700_000_000 + (millis / 1000) as i64,
            nanos: (millis % 1000) as u32 * 1_000_000,
        }
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What never changes about a run.
#[derive(Clone)]
struct Setting {
    journal: JournalOptions,
    workers: usize,
    file: PoolFile,
    clock: Arc<StepClock>,
}

/// See the module's text. When it is dropped by a panic it tells how it came to it.
pub(super) struct World {
    seed: u64,
    pub(super) random: SplitMix64,
    setting: Setting,
    pub(super) disk: SimDisk,
    pool: Option<Arc<Pool>>,
    model: PoolModel,
    told: Vec<String>,
    /// Names that were given out.
    names: u64,
    pub(super) operations: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("VOLFS_SEEDS={} did:\n{}", self.seed, self.told.join("\n"));
        }
    }
}

fn path() -> PathBuf {
    Path::new("simulated").to_owned()
}

impl World {
    /// An empty medium; the pool is still to be created. `threads`: in some runs a thread makes
    /// journal files and one helps with sealing, and then a seed repeats a run almost only.
    pub(super) fn new(seed: u64, threads: bool) -> World {
        let mut random = SplitMix64::new(seed);
        let (grows, helps) = (random.chance(20), random.chance(20));
        let (grows, helps) = (grows && threads, helps && threads);
        let setting = Setting {
            journal: JournalOptions {
                file_bytes: if grows { 128 << 10 } else { 256 << 10 },
                files_max: if grows { 4 } else { 2 },
            },
            workers: usize::from(helps),
            file: PoolFile::new(ID, Timestamp::default()),
            clock: Arc::default(),
        };
        World {
            seed,
            random,
            setting,
            disk: SimDisk::new(),
            pool: None,
            model: PoolModel::default(),
            told: Vec::new(),
            names: 0,
            operations: 0,
        }
    }

    pub(super) fn tell(&mut self, text: String) {
        self.told.push(format!("  {:4} {text}", self.operations));
    }

    /// Makes the pool on the present medium.
    pub(super) fn create(&mut self) -> PoolResult<()> {
        Pool::create_on(
            &self.disk,
            &path(),
            &self.setting.file,
            &self.setting.journal,
        )
    }

    /// Forgets the process that used the medium, and goes on with another one.
    pub(super) fn replace_disk(&mut self, disk: SimDisk) {
        self.pool = None;
        self.disk = disk;
    }

    /// An empty medium of the same kind.
    pub(super) fn clear(&mut self) {
        self.replace_disk(self.disk.cleared());
    }

    fn open_on(&self, disk: &SimDisk) -> PoolResult<Arc<Pool>> {
        let file = PoolFile::read(disk, &path())?;
        let ground = Ground {
            disk: Arc::new(disk.clone()),
            path: path(),
            lock: None,
            index_dir: None,
            journal: self.setting.journal.clone(),
            segment_bytes: SEGMENT_BYTES,
            workers: self.setting.workers,
            clock: self.setting.clock.clone(),
            fresh_key: || Ok([3; 16]),
        };
        let options = PoolOptions {
            block_cache_bytes: 1 << 20,
            node_cache_bytes: 1 << 20,
            ..PoolOptions::default()
        };
        Pool::open_on(ground, &file, &options)
    }

    /// Opens the pool: recovery.
    pub(super) fn open(&mut self) -> PoolResult<()> {
        self.pool = None;
        self.pool = Some(self.open_on(&self.disk)?);
        Ok(())
    }

    /// Whether the medium holds a pool.
    pub(super) fn exists(&self) -> bool {
        let read = PoolFile::read(&self.disk, &path());
        !matches!(read, Err(PoolError::NotAPool { .. }))
    }

    /// Orderly end: everything is durable.
    pub(super) fn close(&mut self) {
        self.tell("close".to_owned());
        self.pool().close().expect("the medium works");
        self.model.make_durable(|_| true);
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        self.pool.as_ref().expect("the pool is open")
    }

    /// Compares the open pool with the model, and takes over what it holds.
    pub(super) fn verify(&mut self, floor: Floor, with_check: bool) {
        let found = read_pool(self.pool());
        let wrong = self.model.check(&found, floor);
        assert!(wrong.is_empty(), "{}", wrong.join("\n  "));
        if with_check {
            // On a copy, so that what a check publishes does not hide anything here.
            let copy = self.disk.kill();
            let pool = self.open_on(&copy).expect("the copy opens");
            let report = pool.check(&Silent).expect("the check comes to its end");
            assert_eq!(report.violations, Vec::<String>::new());
        }
        self.model = PoolModel::restart(found);
    }

    /// A random operation, valid by construction. What it wants is in the model before it is
    /// tried, and acknowledged there when it was answered.
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.operations += 1;
        let status = self.pool().status();
        if status.journal_bytes > status.journal_capacity / 3 {
            // There is no thread that does it: twice, because the older slot holds journal space.
            self.checkpoint()?;
            return self.checkpoint();
        }
        let names: Vec<String> = self.live_volumes().cloned().collect();
        let Some(volume) = self.random.pick(&names).cloned() else {
            return self.create_volume();
        };
        match self.random.below(100) {
            0..60 => self.change(&volume),
            60..76 => self.sync(&volume),
            76..84 => self.checkpoint(),
            84..90 => self.snapshot(&names),
            90..93 if names.len() < VOLUMES_MAX => self.clone_volume(&volume),
            93..95 if names.len() < VOLUMES_MAX => self.create_volume(),
            95..97 => self.rollback(&volume),
            97..99 => self.remove_snapshot(),
            99 => self.remove_volume(&volume),
            _ => self.sync(&volume),
        }
    }

    fn live_volumes(&self) -> impl Iterator<Item = &String> {
        let volumes = self.model.volumes.iter();
        volumes
            .filter(|(_, volume)| volume.newest().is_some())
            .map(|(name, _)| name)
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn tree(&self, volume: &str) -> Tree {
        self.model.volumes[volume]
            .newest()
            .cloned()
            .unwrap_or_default()
    }

    fn of(&mut self, volume: &str) -> &mut VolumeModel {
        self.model.volumes.get_mut(volume).expect("a known volume")
    }

    fn create_volume(&mut self) -> Result<(), String> {
        let volume = self.fresh("v");
        self.tell(format!("create volume {volume}"));
        let mut model = VolumeModel::absent();
        model.attempt(Some(Tree::new()));
        self.model.volumes.insert(volume.clone(), model);
        self.pool()
            .create_volume(&new_volume(&volume))
            .map_err(text)?;
        self.settled(&volume);
        Ok(())
    }

    /// Everything up to here of this volume is acknowledged and durable.
    fn settled(&mut self, volume: &str) {
        let model = self.of(volume);
        model.acknowledge();
        model.make_durable();
    }

    fn sync(&mut self, volume: &str) -> Result<(), String> {
        self.tell(format!("{volume}: sync"));
        let opened = self.pool().open_volume(&name(volume)).map_err(text)?;
        opened.sync().map_err(text)?;
        self.of(volume).make_durable();
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        self.tell("checkpoint".to_owned());
        self.pool().checkpoint().map_err(text)?;
        // A poisoned volume is left out of it, until it has been reopened.
        let volumes = self.pool().volumes().into_iter();
        let sound: Vec<String> = volumes
            .filter(|info| info.poisoned.is_none())
            .map(|info| info.name.to_string())
            .collect();
        self.model.make_durable(|name| sound.contains(name));
        Ok(())
    }

    fn snapshot(&mut self, names: &[String]) -> Result<(), String> {
        if self.model.snapshots.len() >= SNAPSHOTS_MAX {
            return self.remove_snapshot();
        }
        let cut = self.names;
        let snapshot = self.fresh("s");
        let all = self.random.chance(50);
        let one = self.random.pick(names).cloned();
        let of: Vec<String> = match all {
            true => names.to_vec(),
            false => one.into_iter().collect(),
        };
        self.tell(format!("snapshot {of:?}@{snapshot}"));
        for volume in &of {
            self.expect_snapshot(volume, &snapshot, Stage::Coming(cut));
        }
        let wanted: Vec<_> = of
            .iter()
            .map(|volume| (name(volume), snap(&snapshot)))
            .collect();
        self.pool().create_snapshots(&wanted).map_err(text)?;
        for volume in &of {
            self.expect_snapshot(volume, &snapshot, Stage::Kept);
            self.of(volume).make_durable();
        }
        Ok(())
    }

    fn expect_snapshot(&mut self, volume: &str, snapshot: &str, stage: Stage) {
        let tree = self.tree(volume);
        let key = (volume.to_owned(), snapshot.to_owned());
        self.model
            .snapshots
            .insert(key, SnapshotModel { tree, stage });
    }

    fn any_snapshot(&mut self, volume: Option<&str>) -> Option<(String, String)> {
        let keys = self.model.snapshots.keys();
        let fitting: Vec<_> = keys
            .filter(|key| volume.is_none_or(|volume| key.0 == volume))
            .cloned()
            .collect();
        self.random.pick(&fitting).cloned()
    }

    fn remove_snapshot(&mut self) -> Result<(), String> {
        let Some(key) = self.any_snapshot(None) else {
            return Ok(());
        };
        self.tell(format!("remove snapshot {key:?}"));
        self.going(&key);
        let removed = self.pool().remove_snapshot(&name(&key.0), &snap(&key.1));
        removed.map_err(text)?;
        self.model.snapshots.remove(&key);
        Ok(())
    }

    fn going(&mut self, key: &(String, String)) {
        if let Some(snapshot) = self.model.snapshots.get_mut(key) {
            snapshot.stage = Stage::Going;
        }
    }

    fn clone_volume(&mut self, volume: &str) -> Result<(), String> {
        let new = self.fresh("v");
        let from = self.any_snapshot(Some(volume));
        let from = from.filter(|_| self.random.chance(60));
        self.tell(format!("clone {volume} ({from:?}) to {new}"));
        let tree = match &from {
            Some(key) => self.model.snapshots[key].tree.clone(),
            None => self.tree(volume),
        };
        let mut model = VolumeModel::absent();
        model.attempt(Some(tree));
        self.model.volumes.insert(new.clone(), model);
        let snapshot = from.map(|key| snap(&key.1));
        let cloned = self
            .pool()
            .clone_volume(&name(volume), snapshot.as_ref(), &name(&new));
        cloned.map_err(text)?;
        self.settled(&new);
        self.of(volume).make_durable();
        Ok(())
    }

    fn rollback(&mut self, volume: &str) -> Result<(), String> {
        let Some(key) = self.any_snapshot(Some(volume)) else {
            return self.snapshot(&[volume.to_owned()]);
        };
        self.tell(format!("rollback {key:?}"));
        // The name of what is kept comes from the clock, which is looked at once before.
        let peek = StepClock(AtomicU64::new(self.setting.clock.0.load(Ordering::Relaxed)));
        let kept = format!("before-rollback-{}", peek.now().sortable());
        self.expect_snapshot(volume, &kept, Stage::Coming(self.names));
        let target = self.model.snapshots[&key].tree.clone();
        self.of(volume).attempt(Some(target));
        let result = self.pool().rollback(&name(volume), &snap(&key.1));
        let done = result.map_err(text)?;
        let key = (volume.to_owned(), done.kept.to_string());
        let snapshot = self.model.snapshots.get_mut(&key);
        snapshot
            .expect("the kept state has the name of its time")
            .stage = Stage::Kept;
        self.settled(volume);
        Ok(())
    }

    fn remove_volume(&mut self, volume: &str) -> Result<(), String> {
        self.tell(format!("remove volume {volume}"));
        let keys = self.model.snapshots.keys();
        let own: Vec<_> = keys.filter(|key| key.0 == volume).cloned().collect();
        own.iter().for_each(|key| self.going(key));
        self.of(volume).attempt(None);
        self.pool().remove_volume(&name(volume)).map_err(text)?;
        self.model.volumes.remove(volume);
        for key in own {
            self.model.snapshots.remove(&key);
        }
        Ok(())
    }

    /// A change of a volume's files.
    fn change(&mut self, volume: &str) -> Result<(), String> {
        let mut tree = self.tree(volume);
        let Some(change) = Change::any(&mut self.random, &tree) else {
            return Ok(());
        };
        self.tell(format!("{volume}: {change:?}"));
        change.predict(&mut tree);
        self.of(volume).attempt(Some(tree));
        let opened = self.pool().open_volume(&name(volume)).map_err(text)?;
        change.perform(&opened).map_err(text)?;
        self.of(volume).acknowledge();
        Ok(())
    }
}

fn text(error: impl std::error::Error) -> String {
    crate::pool::checkpoint::chain(&error)
}

/// A change of files, valid for the tree that it was made for.
enum Change {
    Create(String),
    Folder(String),
    Remove(String),
    RemoveFolder(String),
    Rename(String, String),
    Write(String, u64, Vec<u8>),
    Truncate(String, u64),
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Create(path) => write!(f, "create {path}"),
            Change::Folder(path) => write!(f, "mkdir {path}"),
            Change::Remove(path) => write!(f, "unlink {path}"),
            Change::RemoveFolder(path) => write!(f, "rmdir {path}"),
            Change::Rename(from, to) => write!(f, "rename {from} to {to}"),
            Change::Write(path, at, data) => {
                write!(f, "write {path}, {} bytes at {at}", data.len())
            }
            Change::Truncate(path, len) => write!(f, "truncate {path} to {len}"),
        }
    }
}

impl Change {
    fn any(random: &mut SplitMix64, tree: &Tree) -> Option<Change> {
        let of = |wanted: fn(&Entry) -> bool| -> Vec<&String> {
            let fitting = tree.iter().filter(|(_, entry)| wanted(entry));
            fitting.map(|(path, _)| path).collect()
        };
        let files = of(|entry| matches!(entry, Entry::File(_)));
        let folders = of(|entry| matches!(entry, Entry::Folder));
        let file = random.pick(&files).map(|path| (*path).clone());
        let folder = random.pick(&folders).map(|path| (*path).clone());
        let mut unused = |stem: &str| {
            let number = random.below(8);
            let path = match &folder {
                Some(folder) if number < 4 => format!("{folder}/{stem}{number}"),
                _ => format!("{stem}{number}"),
            };
            (!tree.contains_key(&path)).then_some(path)
        };
        let (new_file, new_folder) = (unused("f"), format!("d{}", random.below(3)));
        let kind = random.below(100);
        if files.len() < 2 || (kind < 15 && files.len() < FILES_MAX) {
            return new_file.map(Change::Create);
        }
        match kind {
            15..20 => (!tree.contains_key(&new_folder)).then_some(Change::Folder(new_folder)),
            20..27 => file.map(Change::Remove),
            27..30 => {
                let folder = folder?;
                let inside = format!("{folder}/");
                let is_empty = !tree.keys().any(|path| path.starts_with(&inside));
                is_empty.then_some(Change::RemoveFolder(folder))
            }
            30..36 => Some(Change::Rename(file?, new_file?)),
            36..40 => {
                let to = random.pick(&files).map(|path| (*path).clone())?;
                let from = file?;
                (from != to).then_some(Change::Rename(from, to))
            }
            40..43 => {
                let is_new = !tree.contains_key(&new_folder);
                is_new.then_some(Change::Rename(folder?, new_folder))
            }
            43..52 => Some(Change::Truncate(file?, random.below(FILE_BYTES_MAX / 2))),
            52..80 => {
                let len = 1 + random.below(6000) as usize;
                let at = random.below(40_000);
                Some(Change::Write(file?, at, random.bytes(len)))
            }
            _ => Some(Change::large(random, file?)),
        }
    }

    /// A write that is sealed at once: new bytes, bytes written before (found by dedup), zeros.
    fn large(random: &mut SplitMix64, file: String) -> Change {
        let blocks = 16 + random.below(8);
        let at = random.below(FILE_BYTES_MAX / BLOCK - blocks) * BLOCK + random.below(2) * 100;
        let len = (blocks * BLOCK + BLOCK) as usize;
        let data = match random.below(4) {
            0 => SplitMix64::new(random.below(3)).bytes(len),
            1 => {
                let mut data = vec![0; len];
                let noise = random.bytes(len / 3);
                data[len / 3..][..noise.len()].copy_from_slice(&noise);
                data
            }
            _ => random.bytes(len),
        };
        Change::Write(file, at, data)
    }

    fn predict(&self, tree: &mut Tree) {
        let edit = |tree: &mut Tree, path: &String, edit: &dyn Fn(&mut Vec<u8>)| {
            if let Some(Entry::File(data)) = tree.get_mut(path) {
                edit(Arc::make_mut(data));
            }
        };
        match self {
            Change::Create(path) => {
                tree.insert(path.clone(), Entry::File(Arc::default()));
            }
            Change::Folder(path) => {
                tree.insert(path.clone(), Entry::Folder);
            }
            Change::Remove(path) | Change::RemoveFolder(path) => {
                tree.remove(path);
            }
            Change::Rename(from, to) => {
                let below = format!("{from}/");
                let moved: Vec<String> = tree
                    .keys()
                    .filter(|path| *path == from || path.starts_with(&below))
                    .cloned()
                    .collect();
                for path in moved {
                    if let Some(entry) = tree.remove(&path) {
                        tree.insert(format!("{to}{}", &path[from.len()..]), entry);
                    }
                }
            }
            Change::Write(path, at, new) => edit(tree, path, &|data| {
                let (at, end) = (*at as usize, *at as usize + new.len());
                data.resize(data.len().max(end), 0);
                data[at..end].copy_from_slice(new);
            }),
            Change::Truncate(path, len) => edit(tree, path, &|data| data.resize(*len as usize, 0)),
        }
    }

    fn perform(&self, volume: &Volume) -> Result<(), FsError> {
        let make = |path: &String, kind| {
            let new = NewNode {
                kind,
                perm: 0o755,
                umask: 0,
                rdev: 0,
            };
            let (parent, name) = place(volume, path)?;
            volume.create(&WHO, parent, name, &new).map(|_| ())
        };
        match self {
            Change::Create(path) => make(path, FileKind::Regular),
            Change::Folder(path) => make(path, FileKind::Directory),
            Change::Remove(path) => {
                let (parent, name) = place(volume, path)?;
                let ino = volume.lookup(&WHO, parent, name)?.ino;
                volume.unlink(&WHO, parent, name)?;
                // Half of them stay as if somebody had them open.
                match ino.0 % 2 {
                    0 => volume.forget(volume.epoch(), ino),
                    _ => Ok(()),
                }
            }
            Change::RemoveFolder(path) => {
                let (parent, name) = place(volume, path)?;
                volume.rmdir(&WHO, parent, name)
            }
            Change::Rename(from, to) => {
                let (from, to) = (place(volume, from)?, place(volume, to)?);
                volume.rename(&WHO, from, to, RenameMode::Replace)
            }
            Change::Write(path, at, data) => {
                let ino = find(volume, path)?;
                volume.write_file(&WHO, ino, *at, data, WriteMode::default())
            }
            Change::Truncate(path, len) => {
                let ino = find(volume, path)?;
                let set = SetAttr {
                    size: Some(*len),
                    ..SetAttr::default()
                };
                volume.setattr(&WHO, ino, &set).map(|_| ())
            }
        }
    }
}

/// The folder and the name in it.
fn place<'a>(volume: &Volume, path: &'a str) -> Result<(Ino, &'a [u8]), FsError> {
    match path.rsplit_once('/') {
        None => Ok((Ino::ROOT, path.as_bytes())),
        Some((folder, name)) => Ok((find(volume, folder)?, name.as_bytes())),
    }
}

fn find(volume: &Volume, path: &str) -> Result<Ino, FsError> {
    let (parent, name) = place(volume, path)?;
    Ok(volume.lookup(&WHO, parent, name)?.ino)
}

fn read_pool(pool: &Arc<Pool>) -> Found {
    let mut found = Found::default();
    for info in pool.volumes() {
        assert_eq!(info.poisoned, None, "volume {}", info.name);
        let volume = pool.open_volume(&info.name).expect("a listed volume");
        found.volumes.insert(
            info.name.to_string(),
            read_tree(&volume, info.name.as_str()),
        );
    }
    for info in pool.snapshots(None).expect("the snapshots") {
        let opened = pool.open_snapshot(&info.volume, &info.name);
        let tree = read_tree(&opened.expect("a listed snapshot"), info.name.as_str());
        found
            .snapshots
            .insert((info.volume.to_string(), info.name.to_string()), tree);
    }
    found
}

fn read_tree(volume: &Volume, of: &str) -> Tree {
    let mut tree = BTreeMap::new();
    let mut folders = vec![(String::new(), Ino::ROOT)];
    while let Some((prefix, folder)) = folders.pop() {
        let mut entries = Vec::new();
        let listed = volume.readdir_plus(&WHO, folder, 2, &mut |entry, attr| {
            let name = String::from_utf8_lossy(entry.name).into_owned();
            entries.push((format!("{prefix}{name}"), *attr));
            true
        });
        listed.unwrap_or_else(|error| panic!("{of}: '{prefix}' cannot be listed: {}", text(error)));
        for (path, attr) in entries {
            if attr.kind == FileKind::Directory {
                folders.push((format!("{path}/"), attr.ino));
                tree.insert(path, Entry::Folder);
            } else {
                let read = volume.read_file(&WHO, attr.ino, 0, attr.size as usize);
                let data = read.unwrap_or_else(|error| {
                    panic!("{of}: '{path}' cannot be read: {}", text(error))
                });
                tree.insert(path, Entry::File(Arc::new(data)));
            }
        }
    }
    tree
}
