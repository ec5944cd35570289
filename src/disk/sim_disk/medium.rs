//! The medium as the product sees it.

use std::io;
use std::sync::Arc;

use super::faults::{Kind, Trouble, broken, error, full};
use super::image::SECTOR;
use super::names::{EntryEffect, parent};
use super::{Image, SimDisk, State, UNLIMITED, in_thousand};
use crate::base::SplitMix64;
use crate::disk::retry::repeat;
use crate::disk::{Disk, DiskFile, DiskResult, DiskSpace, Step};

impl State {
    fn enter(&mut self, effect: EntryEffect) {
        effect.apply(&mut self.live);
        self.unsynced.push(effect);
    }

    /// As often as the rates say; then the call is repeated as on the real medium.
    fn be_interrupted(&mut self) {
        let rate = self.rates.interrupted;
        let random = &mut self.random;
        let settled = repeat(|| match in_thousand(random, rate) {
            true if random.chance(50) => Err(io::ErrorKind::Interrupted.into()),
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        });
        settled.expect("interruptions are repeated");
    }

    /// A write that goes astray: to another sector of a file that the number chooses.
    fn misdirect(&mut self, file: u64, offset: usize, bytes: Vec<u8>, chosen: u64) {
        let mut random = SplitMix64::new(chosen);
        let files: Vec<u64> = self.live.files.values().copied().collect();
        let to = match random.chance(60) {
            true => file,
            false => random.pick(&files).copied().unwrap_or(file),
        };
        // Within what the other file has: a write elsewhere makes nothing longer.
        let room = self.image(to).durable.len().saturating_sub(bytes.len()) / SECTOR;
        let astray = (random.below(room as u64 + 1) as usize) * SECTOR + offset % SECTOR;
        let astray = match astray == offset && to == file {
            true if astray >= SECTOR => astray - SECTOR,
            true => astray + SECTOR,
            false => astray,
        };
        let fits = astray + bytes.len() <= self.image(to).durable.len();
        if to == file {
            let astray = fits.then_some(astray);
            self.image(file).write_astray(offset, bytes, astray);
            return;
        }
        if fits {
            self.image(to).receive(astray, bytes.clone());
        }
        self.image(file).write_astray(offset, bytes, None);
    }

    pub(super) fn image(&mut self, file: u64) -> &mut Image {
        self.files.entry(file).or_default()
    }
}

impl SimDisk {
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
        if state.room(0) == 0 {
            return Err(full("create", path));
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

    fn sync_dir(&self, dir: &str, step: Step) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.reach(step, "sync folder", dir)?;
        let trouble = state.effect(Kind::FolderSync, "sync folder", dir)?;
        if trouble == Some(Trouble::Fails) {
            return Err(broken("sync folder", dir));
        }
        if state.left_out == Some(step) {
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

    fn leaves_out(&self, step: Step) -> bool {
        self.state.lock().left_out == Some(step)
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        let state = self.state.lock();
        Ok(DiskSpace {
            free: state.free(),
            total: state.capacity.unwrap_or(UNLIMITED),
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
        state.be_interrupted();
        let trouble = state.look("read", &self.path)?;
        if trouble == Some(Trouble::Fails) {
            return Err(broken("read", &self.path));
        }
        let read = state.image(self.file).live.read(offset as usize, buf);
        Ok(match trouble {
            Some(Trouble::Short) => read / 2,
            _ => read,
        })
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> DiskResult<()> {
        let mut bytes = parts.concat();
        let mut state = self.disk.state.lock();
        state.be_interrupted();
        let trouble = state.effect(Kind::Write, "write to", &self.path)?;
        let len = state.image(self.file).live.len() as u64;
        let more = (offset + bytes.len() as u64).saturating_sub(len);
        let room = if more > 0 { state.room(more) } else { more };
        let (offset, outcome) = (
            offset as usize,
            match trouble {
                Some(Trouble::Misdirected(to)) if more <= room => {
                    state.misdirect(self.file, offset as usize, bytes, to);
                    return Ok(());
                }
                Some(Trouble::Fails) => {
                    bytes.truncate(bytes.len() / 2);
                    Err(broken("write to", &self.path))
                }
                Some(Trouble::NoRoom) => {
                    bytes.truncate(bytes.len() / 2);
                    Err(full("write to", &self.path))
                }
                _ if more > room => {
                    bytes.truncate(bytes.len().saturating_sub((more - room) as usize));
                    Err(full("write to", &self.path))
                }
                _ => Ok(()),
            },
        );
        if !bytes.is_empty() {
            state.image(self.file).write(offset, bytes);
        }
        outcome
    }

    fn len(&self) -> DiskResult<u64> {
        let mut state = self.disk.state.lock();
        state.alive("read the length of", &self.path)?;
        Ok(state.image(self.file).live.len() as u64)
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        let mut state = self.disk.state.lock();
        state.effect(Kind::Other, "set the length of", &self.path)?;
        let more = len.saturating_sub(state.image(self.file).live.len() as u64);
        if more > 0 && state.room(more) < more {
            return Err(full("set the length of", &self.path));
        }
        state.image(self.file).set_len(len as usize);
        Ok(())
    }

    fn sync(&self, step: Step) -> DiskResult<()> {
        let mut state = self.disk.state.lock();
        state.reach(step, "sync", &self.path)?;
        let trouble = state.effect(Kind::Sync, "sync", &self.path)?;
        if state.left_out == Some(step) {
            return Ok(());
        }
        let image = state.image(self.file);
        match trouble {
            Some(_) => {
                image.lose_pages();
                Err(broken("sync", &self.path))
            }
            None => {
                image.sync();
                Ok(())
            }
        }
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    fn drop_cache(&self, step: Step) {
        let mut state = self.disk.state.lock();
        if state.left_out != Some(step) {
            state.image(self.file).reread();
        }
    }
}
