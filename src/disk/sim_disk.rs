//! A simulated medium that loses power, is killed, dies and fails, repeatably from a seed.
//!
//! # Fault model
//!
//! Each file has a live image (what reads see: the page cache), a durable image (what the medium
//! holds) and the unsynced effects between the two, in order. Names are kept apart from files in
//! the same way.
//!
//! * **Power loss** ([`SimDisk::crash`]). Writes are cut into sectors of 512 bytes. Each sector is
//!   found as it was after any number of its unsynced writes, independently of all others: dropped,
//!   kept, torn, reordered. Bytes of one sector are never mixed from different moments, because
//!   the page cache writes whole sectors. The length is decided apart from the data: kept data
//!   beyond a lost growth is cut off, and grown space whose data is lost reads as zeros. Entries
//!   of a folder (create, remove, rename) are each kept or lost, independently, until its
//!   [`sync_dir`](Disk::sync_dir); the sync of a file does nothing for its name. A rename is
//!   atomic. A file whose name is durable but whose data never was is empty. A folder that is lost
//!   takes its entries with it.
//! * **SIGKILL** ([`SimDisk::kill`]): the live images stay, everything unsynced stays unsynced.
//! * **Death after n effects** ([`Fault::Die`]): every later call fails, which is how the moment of
//!   a power loss or a SIGKILL is put anywhere inside of an operation.
//! * **A failed sync** ([`Fault::FailSync`]): as on Linux, the pages are clean afterwards: they
//!   are readable until the cache is dropped, no later sync brings them to the medium, and no
//!   error is reported a second time. The length is kept for the next sync.
//! * **A failed write** ([`Fault::FailWrite`]): its first half has been written.
//!
//! * **A sync that does nothing** ([`SimDisk::ignore_syncs`]): volfs cannot survive it; it shows
//!   that a test would notice a missing sync.
//!
//! Otherwise what was synced is never lost or changed: rotten bits and misdirected writes are not
//! simulated here. Space is unlimited.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskError, DiskFile, DiskResult, DiskSpace};
use crate::base::SplitMix64;

const SECTOR: usize = 512;

/// What is to go wrong, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// After so many further effects every call fails.
    Die(u64),
    /// The sync of a file after so many further ones fails, and what it should have synced is lost.
    FailSync(u64),
    /// The write after so many further ones fails.
    FailWrite(u64),
}

/// See the module's text. Clones are handles of the same medium.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<u64, Image>,
    live: Names,
    durable: Names,
    unsynced: Vec<EntryEffect>,
    next_file: u64,
    fault: Option<Fault>,
    is_dead: bool,
    has_failed: bool,
    effects: u64,
    lie: Option<&'static str>,
}

/// Files and folders by path.
#[derive(Clone, Default)]
struct Names {
    files: BTreeMap<String, u64>,
    folders: BTreeSet<String>,
}

#[derive(Clone)]
enum EntryEffect {
    Create(String, u64),
    CreateFolder(String),
    Remove(String),
    Rename(String, String, u64),
}

#[derive(Clone, Default)]
struct Image {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<FileEffect>,
}

#[derive(Clone)]
enum FileEffect {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

/// The kinds of calls that change something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Sync,
    Other,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn error(action: &str, path: &str, kind: io::ErrorKind) -> DiskError {
    DiskError::new(action, path, kind.into())
}

fn broken(action: &str, path: &str) -> DiskError {
    let source = io::Error::from_raw_os_error(libc::EIO);
    DiskError::new(action, path, source)
}

impl EntryEffect {
    /// The folder whose sync makes it durable.
    fn folder(&self) -> &str {
        match self {
            EntryEffect::Create(path, _)
            | EntryEffect::CreateFolder(path)
            | EntryEffect::Remove(path)
            | EntryEffect::Rename(_, path, _) => parent(path),
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            EntryEffect::Create(path, file) => {
                names.files.insert(path.clone(), *file);
            }
            EntryEffect::CreateFolder(path) => {
                names.folders.insert(path.clone());
            }
            EntryEffect::Remove(path) => {
                names.files.remove(path);
            }
            EntryEffect::Rename(from, to, file) => {
                names.files.remove(from);
                names.files.insert(to.clone(), *file);
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

/// A write's pieces, each within one sector.
fn pieces(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR - offset % SECTOR).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let head = (!head.is_empty()).then_some((offset, head));
    let sectors = rest.chunks(SECTOR).enumerate();
    head.into_iter()
        .chain(sectors.map(move |(index, piece)| (offset + first + index * SECTOR, piece)))
}

impl Image {
    fn write(&mut self, offset: usize, bytes: Vec<u8>) {
        let end = offset + bytes.len();
        if end > self.live.len() {
            self.live.resize(end, 0);
            self.unsynced.push(FileEffect::Length(end));
        }
        self.live[offset..end].copy_from_slice(&bytes);
        self.unsynced.push(FileEffect::Write { offset, bytes });
    }

    fn sync(&mut self) {
        for effect in std::mem::take(&mut self.unsynced) {
            match effect {
                FileEffect::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
                FileEffect::Length(len) => self.durable.resize(len, 0),
            }
        }
    }

    fn lose_pages(&mut self) {
        let is_length = |effect: &FileEffect| matches!(effect, FileEffect::Length(_));
        self.unsynced.retain(is_length);
    }

    /// What a reader finds after the clean pages were dropped.
    fn reread(&mut self) {
        let mut again = self.clone();
        again.sync();
        self.live = again.durable;
    }

    /// What a power loss leaves of it.
    fn survive(&self, random: &mut SplitMix64) -> Vec<u8> {
        // Many losses are of one kind throughout: the medium wrote all, or none, of this file.
        let kept = [0, 50, 90, 100][random.below(4) as usize];
        let mut versions: BTreeMap<usize, u64> = BTreeMap::new();
        let mut lengths = 0;
        for effect in &self.unsynced {
            match effect {
                FileEffect::Write { offset, bytes } => {
                    for (at, _) in pieces(*offset, bytes) {
                        *versions.entry(at / SECTOR).or_default() += 1;
                    }
                }
                FileEffect::Length(_) => lengths += 1,
            }
        }
        let mut choose = |count: &mut u64| {
            if !random.chance(kept) {
                *count = if kept == 0 {
                    0
                } else {
                    random.below(*count + 1)
                };
            }
        };
        versions.values_mut().for_each(&mut choose);
        choose(&mut lengths);

        let mut data = self.durable.clone();
        let mut len = data.len();
        for effect in &self.unsynced {
            match effect {
                FileEffect::Write { offset, bytes } => {
                    for (at, piece) in pieces(*offset, bytes) {
                        let left = versions.entry(at / SECTOR).or_default();
                        if *left > 0 {
                            *left -= 1;
                            put(&mut data, at, piece);
                        }
                    }
                }
                FileEffect::Length(new) if lengths > 0 => {
                    lengths -= 1;
                    len = *new;
                    data.truncate(data.len().min(if *new < len { *new } else { usize::MAX }));
                }
                FileEffect::Length(_) => {}
            }
        }
        data.resize(len, 0);
        data
    }
}

impl State {
    /// Before each effect: whether it is to fail; an error if nothing is to happen at all.
    fn effect(&mut self, kind: Kind, action: &str, path: &str) -> DiskResult<bool> {
        self.alive(action, path)?;
        let due = match &mut self.fault {
            Some(Fault::FailSync(_)) if kind != Kind::Sync => false,
            Some(Fault::FailWrite(_)) if kind != Kind::Write => false,
            Some(Fault::Die(left) | Fault::FailSync(left) | Fault::FailWrite(left)) => {
                let is_due = *left == 0;
                *left = left.saturating_sub(1);
                is_due
            }
            None => false,
        };
        if due && matches!(self.fault, Some(Fault::Die(_))) {
            self.is_dead = true;
            self.has_failed = true;
            return Err(broken(action, path));
        }
        if due {
            self.fault = None;
            self.has_failed = true;
        }
        self.effects += 1;
        Ok(due)
    }

    fn alive(&self, action: &str, path: &str) -> DiskResult<()> {
        match self.is_dead {
            true => Err(broken(action, path)),
            false => Ok(()),
        }
    }

    fn enter(&mut self, effect: EntryEffect) {
        effect.apply(&mut self.live);
        self.unsynced.push(effect);
    }

    fn image(&mut self, file: u64) -> &mut Image {
        self.files.entry(file).or_default()
    }
}

impl SimDisk {
    /// An empty medium.
    pub(crate) fn new() -> SimDisk {
        SimDisk::from(State::default())
    }

    fn from(state: State) -> SimDisk {
        SimDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// An empty medium with the same lie.
    pub(crate) fn cleared(&self) -> SimDisk {
        SimDisk::from(State {
            lie: self.state.lock().lie,
            ..State::default()
        })
    }

    /// The medium that a power loss at this moment leaves. This one stays as it is, so that whoever
    /// still holds it can do no harm to the new one.
    pub(crate) fn crash(&self, seed: u64) -> SimDisk {
        let state = self.state.lock();
        let mut random = SplitMix64::new(seed);
        let mut names = state.durable.clone();
        let kept = [0, 50, 90, 100][random.below(4) as usize];
        for effect in &state.unsynced {
            if random.chance(kept) {
                effect.apply(&mut names);
            }
        }
        let folders = names.folders.clone();
        names
            .files
            .retain(|path, _| parent(path).is_empty() || folders.contains(parent(path)));
        let mut after = State {
            next_file: state.next_file,
            lie: state.lie,
            live: names.clone(),
            durable: names,
            ..State::default()
        };
        for file in after.live.files.values() {
            if let Some(image) = state.files.get(file) {
                let bytes = image.survive(&mut random);
                let image = Image {
                    live: bytes.clone(),
                    durable: bytes,
                    unsynced: Vec::new(),
                };
                after.files.insert(*file, image);
            }
        }
        SimDisk::from(after)
    }

    /// The medium that the death of the process leaves: the host goes on with its page cache.
    pub(crate) fn kill(&self) -> SimDisk {
        SimDisk::from(State {
            fault: None,
            is_dead: false,
            has_failed: false,
            effects: 0,
            ..self.state.lock().clone()
        })
    }

    /// From now on, and after every outage, syncs below this path are answered and do nothing:
    /// those of files whose path starts with it, or of the folder, where it is `folder/.`. So a
    /// test sees whether it would notice that a sync is missing above.
    pub(crate) fn ignore_syncs(&self, below: &'static str) {
        self.state.lock().lie = Some(below);
    }

    /// Arms a fault.
    pub(crate) fn arm(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// Nothing goes wrong any more, unless it has already.
    pub(crate) fn disarm(&self) {
        self.state.lock().fault = None;
    }

    /// Whether the fault that was armed has happened.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.lock().has_failed
    }

    /// Effects so far: writes, lengths, syncs, and changes of names.
    pub(crate) fn effects(&self) -> u64 {
        self.state.lock().effects
    }

    /// Tells media apart by what they hold durably.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let state = self.state.lock();
        let mut hash = blake3::Hasher::new();
        for (path, file) in &state.durable.files {
            let durable = state
                .files
                .get(file)
                .map_or(&[][..], |image| &image.durable);
            hash.update(path.as_bytes());
            hash.update(&(durable.len() as u64).to_le_bytes());
            hash.update(durable);
        }
        *hash.finalize().as_bytes()
    }

    fn file(&self, path: &str, file: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            file,
        })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.effect(Kind::Other, "create", path)?;
        let folder = parent(path);
        if !folder.is_empty() && !state.live.folders.contains(folder) {
            return Err(error("create", path, io::ErrorKind::NotFound));
        }
        if state.live.files.contains_key(path) {
            return Err(error("create", path, io::ErrorKind::AlreadyExists));
        }
        let file = state.next_file;
        state.next_file += 1;
        state.files.insert(file, Image::default());
        state.enter(EntryEffect::Create(path.to_owned(), file));
        drop(state);
        Ok(self.file(path, file))
    }

    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        state.alive("open", path)?;
        let file = state.live.files.get(path).copied();
        drop(state);
        let file = file.ok_or_else(|| error("open", path, io::ErrorKind::NotFound))?;
        Ok(self.file(path, file))
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.effect(Kind::Other, "remove", path)?;
        if !state.live.files.contains_key(path) {
            return Err(error("remove", path, io::ErrorKind::NotFound));
        }
        state.enter(EntryEffect::Remove(path.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        assert_eq!(parent(from), parent(to), "the pool renames within a folder");
        let mut state = self.state.lock();
        state.effect(Kind::Other, "rename", from)?;
        let file = state.live.files.get(from).copied();
        let file = file.ok_or_else(|| error("rename", from, io::ErrorKind::NotFound))?;
        state.enter(EntryEffect::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.effect(Kind::Other, "create folder", path)?;
        if !state.live.folders.contains(path) {
            state.enter(EntryEffect::CreateFolder(path.to_owned()));
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<String>> {
        let state = self.state.lock();
        state.alive("list", dir)?;
        if !dir.is_empty() && !state.live.folders.contains(dir) {
            return Err(error("list", dir, io::ErrorKind::NotFound));
        }
        let paths = state.live.files.keys().chain(&state.live.folders);
        let own = paths.filter(|path| parent(path) == dir);
        let mut names: Vec<String> = own
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &str) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.effect(Kind::Other, "sync folder", dir)?;
        if state.lie == Some(&*format!("{dir}/.")) {
            return Ok(());
        }
        let effects = std::mem::take(&mut state.unsynced);
        let (now, later): (Vec<_>, Vec<_>) = effects
            .into_iter()
            .partition(|effect| effect.folder() == dir);
        now.iter()
            .for_each(|effect| effect.apply(&mut state.durable));
        state.unsynced = later;
        Ok(())
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        Ok(DiskSpace {
            free: 1 << 40,
            total: 1 << 40,
        })
    }
}

/// An open file; removed ones stay readable.
struct SimFile {
    disk: SimDisk,
    path: String,
    file: u64,
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()> {
        match self.read_at(buf, offset)? == buf.len() {
            true => Ok(()),
            false => Err(error("read", &self.path, io::ErrorKind::UnexpectedEof)),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize> {
        let mut state = self.disk.state.lock();
        state.alive("read", &self.path)?;
        let live = &state.image(self.file).live;
        let rest = live.get(offset as usize..).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> DiskResult<()> {
        let mut bytes = parts.concat();
        let mut state = self.disk.state.lock();
        let fails = state.effect(Kind::Write, "write to", &self.path)?;
        if fails {
            bytes.truncate(bytes.len() / 2);
        }
        state.image(self.file).write(offset as usize, bytes);
        match fails {
            true => Err(broken("write to", &self.path)),
            false => Ok(()),
        }
    }

    fn len(&self) -> DiskResult<u64> {
        let mut state = self.disk.state.lock();
        state.alive("read the length of", &self.path)?;
        Ok(state.image(self.file).live.len() as u64)
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        let mut state = self.disk.state.lock();
        state.effect(Kind::Other, "set the length of", &self.path)?;
        let image = state.image(self.file);
        image.live.resize(len as usize, 0);
        image.unsynced.push(FileEffect::Length(len as usize));
        Ok(())
    }

    fn sync(&self) -> DiskResult<()> {
        let mut state = self.disk.state.lock();
        let fails = state.effect(Kind::Sync, "sync", &self.path)?;
        if state.lie.is_some_and(|below| self.path.starts_with(below)) {
            return Ok(());
        }
        let image = state.image(self.file);
        match fails {
            true => {
                image.lose_pages();
                Err(broken("sync", &self.path))
            }
            false => {
                image.sync();
                Ok(())
            }
        }
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    fn drop_cache(&self) {
        self.disk.state.lock().image(self.file).reread();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
        let file = disk.open(path).ok()?;
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    /// Over many power losses: synced sectors always stay; unsynced ones are each old, new or
    /// zero, in any combination; the length is one of those there were.
    #[test]
    fn power_loss_tears_at_sectors_and_never_touches_what_was_synced() {
        let disk = SimDisk::new();
        let file = disk.create("f").unwrap();
        file.write_at(&[&[1; 1024]], 0).unwrap();
        file.sync().unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(&[&[2; 1024]], 512).unwrap();
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let bytes = content(&disk.crash(seed), "f").unwrap();
            assert!(bytes[..512].iter().all(|byte| *byte == 1));
            for sector in bytes.chunks(512) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
            }
            seen.insert(
                bytes
                    .chunks(512)
                    .map(|sector| sector[0])
                    .collect::<Vec<_>>(),
            );
        }
        let all = [
            [1, 1].as_slice(),
            &[1, 1, 0],
            &[1, 1, 2],
            &[1, 2],
            &[1, 2, 0],
            &[1, 2, 2],
        ];
        assert_eq!(seen.iter().map(Vec::as_slice).collect::<Vec<_>>(), all);
        let same = |seed| disk.crash(seed).fingerprint();
        assert_eq!(same(7), same(7));
    }

    /// A name needs the sync of its folder, data that of its file, and neither brings the other.
    #[test]
    fn names_and_data_are_made_durable_apart() {
        let disk = SimDisk::new();
        disk.create_dir("d").unwrap();
        disk.sync_dir("").unwrap();
        let synced = disk.create("d/data").unwrap();
        synced.write_at(&[b"data"], 0).unwrap();
        synced.sync().unwrap();
        let named = SimDisk::new();
        named.create("name").unwrap().write_at(&[b"x"], 0).unwrap();
        named.sync_dir("").unwrap();
        let (mut with, mut without, mut empty) = (0, 0, 0);
        for seed in 0..100 {
            match content(&disk.crash(seed), "d/data") {
                Some(bytes) => {
                    assert_eq!(bytes, b"data");
                    with += 1;
                }
                None => without += 1,
            }
            empty += u32::from(content(&named.crash(seed), "name").unwrap().is_empty());
        }
        assert!(
            with > 20 && without > 20 && empty > 20,
            "{with} {without} {empty}"
        );
        assert_eq!(content(&disk.kill(), "d/data").unwrap(), b"data");
    }

    /// After a failed sync the bytes are readable, no later sync saves them, and they are gone
    /// once the cache is dropped. After its death the medium answers nothing.
    #[test]
    fn failed_syncs_lose_pages_and_the_dead_do_not_answer() {
        let disk = SimDisk::new();
        let file = disk.create("f").unwrap();
        disk.sync_dir("").unwrap();
        disk.arm(Fault::FailSync(0));
        file.write_at(&[b"lost"], 0).unwrap();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(content(&disk, "f").unwrap(), b"lost");
        assert_eq!(content(&disk.crash(1), "f").unwrap(), [0; 4]);
        file.drop_cache();
        assert_eq!(content(&disk, "f").unwrap(), [0; 4]);

        disk.arm(Fault::Die(1));
        file.write_at(&[b"last"], 0).unwrap();
        assert!(file.sync().is_err() && file.len().is_err() && disk.list("").is_err());
        assert_eq!(content(&disk.kill(), "f").unwrap(), b"last");
    }
}
