//! Files and folders of a snapshot, written as plain files below a folder of the host.

use std::collections::{HashMap, HashSet};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{fstat, ftruncate};
use rustix::io::{Errno, pwrite};
use serde::{Deserialize, Serialize};

use super::attributes;
use super::error::{ExportError, ExportResult};
use super::host::{Found, HostFolder, Identity, Unfinished, identity};
use super::survey::survey;
use super::walk::{Place, Step, Walk};
use crate::base::Ino;
use crate::base::progress::Progress;
use crate::volume::ops::{Attr, FileKind, RestorePath, Seek};
use crate::volume::{FsError, Request, Volume};

/// Bytes that are read and written together.
const CHUNK: u64 = 1 << 20;
/// What a name costs, as bytes of content, for the progress.
const NAME_WORK: u64 = 4096;

/// What to write.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExportOptions {
    /// Files and folders; none: all.
    pub paths: Vec<RestorePath>,
    /// Replace files that exist.
    pub force: bool,
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Exported {
    /// Files, folders and all others that were made, and names that were given.
    pub created: u64,
    /// Those that something else had to give way to, but for folders.
    pub replaced: u64,
    /// Bytes of content that were written.
    pub bytes: u64,
}

/// How much work something is, in bytes.
pub(super) fn work_of(attr: &Attr, with_content: bool) -> u64 {
    let content = attr.blocks_512.saturating_mul(512);
    NAME_WORK + if with_content { content } else { 0 }
}

/// Writes what `source`, a snapshot, has into a folder of the host, under whole paths. Durable when
/// it returns. Nobody removes the snapshot meanwhile.
///
/// # Errors
/// `Exists` for what exists, unless forced, `Missing`, `NotFolder`, `IsFolder`, `OtherFilesystem`,
/// all before anything is written; later with `Changed`, `BrokenOff`, `Source`, `Host`.
pub fn export(
    source: &Volume,
    (to, path): (HostFolder, &Path),
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<Exported, ExportError> {
    let root = Rc::new(to);
    let mut root_path = path.as_os_str().as_bytes();
    while let Some(shorter) = root_path.strip_suffix(b"/") {
        root_path = shorter;
    }
    let walk = Walk {
        volume: source,
        root: &root,
        root_path: root_path.to_vec(),
        paths: RestorePath::outermost(&options.paths),
    };
    let total = survey(&walk, options.force, progress)?;
    let mut export = Export {
        source,
        root: &root,
        force: options.force,
        progress,
        links: HashMap::new(),
        made: HashSet::new(),
        number: 0,
        done: (0, total),
        told: Exported::default(),
    };
    walk.run(&mut export)?;
    root.sync(root_path)?;
    Ok(export.told)
}

/// A file that was written: its path below the root, and what it must still be.
struct Written {
    path: Vec<u8>,
    identity: Identity,
}

/// An export under way.
struct Export<'a> {
    source: &'a Volume,
    root: &'a HostFolder,
    force: bool,
    progress: &'a dyn Progress,
    /// Inodes of the source with several names, and what became of them.
    links: HashMap<Ino, Written>,
    /// Folders that were made and are not left yet.
    made: HashSet<Identity>,
    /// Counts what was not whole once.
    number: u64,
    /// Bytes, of how many.
    done: (u64, u64),
    told: Exported,
}

impl Export<'_> {
    fn advance(&mut self, work: u64) -> ExportResult<()> {
        self.done.0 = (self.done.0 + work).min(self.done.1);
        self.progress.update(self.done.0, self.done.1);
        match self.progress.is_cancelled() {
            true => Err(ExportError::BrokenOff),
            false => Ok(()),
        }
    }

    /// Makes something, whole, under a name that is not its own yet. A number that is taken is that
    /// of an earlier process.
    fn unfinished<'f>(
        &mut self,
        make: impl Fn(u64) -> Result<Unfinished<'f>, Errno>,
    ) -> Result<Unfinished<'f>, Errno> {
        loop {
            self.number += 1;
            match make(self.number) {
                Err(Errno::EXIST) => {}
                other => return other,
            }
        }
    }

    /// Writes anything but a folder.
    fn write(&mut self, place: &Place<'_>, attr: &Attr, replaces: bool) -> ExportResult<()> {
        let target = match attr.kind {
            FileKind::Symlink => self.source.readlink(&Request::default(), attr.ino),
            _ => Ok(Vec::new()),
        };
        let target = target.map_err(ExportError::source(place.path))?;
        let folder = place.folder()?;
        let made = self.unfinished(|number| Unfinished::make(folder, number, (attr, &target)));
        let made = made.map_err(|errno| ExportError::host("make", place.path, errno))?;
        let Some(file) = made.descriptor() else {
            return Err(ExportError::changed(place.path));
        };
        if attr.kind == FileKind::Regular {
            self.write_content(file, attr, place.path)?;
        }
        attributes::set(self.source, attr, file, place.path)?;
        if attr.nlink > 1 {
            let stat = fstat(file).map_err(|e| ExportError::host("look at", place.path, e))?;
            let path = place.below_root().to_vec();
            let identity = identity(&stat);
            self.links.insert(attr.ino, Written { path, identity });
        }
        self.give_name(place, made, replaces)
    }

    /// Gives what was written for another name this name, too.
    fn link(&mut self, place: &Place<'_>, ino: Ino, replaces: bool) -> ExportResult<()> {
        let Some(written) = self.links.get(&ino) else {
            return Err(ExportError::changed(place.path));
        };
        let changed = |_| ExportError::changed(place.path);
        let (file, identity) = self.root.find_below(&written.path).map_err(changed)?;
        if identity != written.identity {
            return Err(ExportError::changed(place.path));
        }
        let folder = place.folder()?;
        let file = std::os::fd::AsFd::as_fd(&file);
        let made = self.unfinished(|number| Unfinished::link(folder, number, file));
        let made = made.map_err(|errno| ExportError::host("link", place.path, errno))?;
        self.give_name(place, made, replaces)
    }

    fn give_name(
        &mut self,
        place: &Place<'_>,
        made: Unfinished<'_>,
        replaces: bool,
    ) -> ExportResult<()> {
        made.name(place.name, replaces)
            .map_err(|errno| match errno {
                Errno::EXIST | Errno::ISDIR => ExportError::exists(place.path),
                errno => ExportError::host("name", place.path, errno),
            })?;
        match replaces {
            true => self.told.replaced += 1,
            false => self.told.created += 1,
        }
        Ok(())
    }

    /// Writes what there is of a file; the rest of it is a hole.
    fn write_content(
        &mut self,
        file: BorrowedFd<'_>,
        attr: &Attr,
        path: &[u8],
    ) -> ExportResult<()> {
        let failed = |errno: Errno| ExportError::host("write", path, errno);
        let request = Request::default();
        ftruncate(file, attr.size).map_err(failed)?;
        let mut at = 0;
        while at < attr.size {
            at = match self.source.seek(&request, attr.ino, at, Seek::Data) {
                Err(FsError::NoSuchOffset) => break,
                found => found.map_err(ExportError::source(path))?,
            };
            let hole = self.source.seek(&request, attr.ino, at, Seek::Hole);
            let end = hole.map_err(ExportError::source(path))?;
            while at < end {
                let len = (end - at).min(CHUNK) as usize;
                let bytes = self.source.read_file(&request, attr.ino, at, len);
                let bytes = bytes.map_err(ExportError::source(path))?;
                write_all(file, &bytes, at).map_err(failed)?;
                at += len as u64;
                self.told.bytes += len as u64;
                self.advance(len as u64)?;
            }
        }
        Ok(())
    }
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match pwrite(file, bytes, at) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

impl Step for Export<'_> {
    fn folder(&mut self, place: &Place<'_>, _source: &Attr) -> ExportResult<Option<HostFolder>> {
        let folder = place.folder()?;
        match folder.find(place.name, place.path)? {
            Found::Folder => folder.enter(place.name, place.path).map(Some),
            Found::Other => Err(ExportError::not_folder(place.path)),
            Found::Nothing => {
                let made = folder.make_folder(place.name, place.path)?;
                self.made.insert(made.identity());
                self.told.created += 1;
                Ok(Some(made))
            }
        }
    }

    fn other(&mut self, place: &Place<'_>, source: &Attr) -> ExportResult<()> {
        let replaces = match place.folder()?.find(place.name, place.path)? {
            Found::Nothing => false,
            Found::Folder => return Err(ExportError::is_folder(place.path)),
            Found::Other if self.force => true,
            Found::Other => return Err(ExportError::exists(place.path)),
        };
        match self.links.contains_key(&source.ino) {
            true => self.link(place, source.ino, replaces)?,
            false => self.write(place, source, replaces)?,
        }
        self.advance(NAME_WORK)
    }

    fn leave(
        &mut self,
        place: &Place<'_>,
        source: &Attr,
        folder: Option<&HostFolder>,
        is_asked_for: bool,
    ) -> ExportResult<()> {
        let Some(folder) = folder else {
            return Ok(());
        };
        let is_new = self.made.remove(&folder.identity());
        if is_new || (self.force && is_asked_for) {
            attributes::set(self.source, source, folder.descriptor(), place.path)?;
        }
        self.advance(NAME_WORK)
    }
}
