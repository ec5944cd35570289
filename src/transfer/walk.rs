//! The way through what is to be written: twice the same, to look and to do.

use std::collections::VecDeque;
use std::rc::Rc;

use super::error::{ExportError, ExportResult};
use super::host::HostFolder;
use crate::base::Ino;
use crate::volume::ops::{Attr, FileKind, RestorePath};
use crate::volume::{FsError, FsResult, Request, Volume};

/// Names of a folder that are read together.
const BATCH: usize = 256;

/// Where something goes.
pub(super) struct Place<'a> {
    /// The folder of the host; none: not there yet.
    pub(super) folder: Option<&'a HostFolder>,
    pub(super) name: &'a [u8],
    /// Its whole path, for messages.
    pub(super) path: &'a [u8],
    /// How many bytes of it lead to the folder that everything goes to.
    pub(super) root_bytes: usize,
}

impl Place<'_> {
    /// Its path below the folder that everything goes to.
    pub(super) fn below_root(&self) -> &[u8] {
        &self.path[self.root_bytes + 1..]
    }

    /// The folder, while something is written.
    pub(super) fn folder(&self) -> ExportResult<&HostFolder> {
        self.folder.ok_or_else(|| ExportError::changed(self.path))
    }
}

/// What is done on the way.
pub(super) trait Step {
    /// A folder: the host's, if it is there; it is left later.
    fn folder(&mut self, place: &Place<'_>, source: &Attr) -> ExportResult<Option<HostFolder>>;
    /// Anything else.
    fn other(&mut self, place: &Place<'_>, source: &Attr) -> ExportResult<()>;
    /// All of a folder has been visited. It was asked for if it is not only on the way to what was.
    fn leave(
        &mut self,
        place: &Place<'_>,
        source: &Attr,
        folder: Option<&HostFolder>,
        is_asked_for: bool,
    ) -> ExportResult<()>;
}

/// What is to be written.
pub(super) struct Walk<'a> {
    pub(super) volume: &'a Volume,
    pub(super) root: &'a Rc<HostFolder>,
    /// The path of the root.
    pub(super) root_path: Vec<u8>,
    /// None of them within another one.
    pub(super) paths: Vec<RestorePath>,
}

/// A folder on the way.
struct Frame {
    source: Attr,
    folder: Option<Rc<HostFolder>>,
    /// The folder that holds it, its name and its path on the host.
    holder: Option<Rc<HostFolder>>,
    name: Vec<u8>,
    path: Vec<u8>,
    entries: VecDeque<(Vec<u8>, Attr)>,
    /// The cookie of the last entry that was read; none: all were.
    cookie: Option<u64>,
    is_asked_for: bool,
}

impl Frame {
    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.clone();
        path.push(b'/');
        path.extend_from_slice(name);
        path
    }
}

impl Walk<'_> {
    /// Goes the whole way.
    pub(super) fn run(&self, step: &mut dyn Step) -> ExportResult<()> {
        self.paths.iter().try_for_each(|path| self.one(path, step))
    }

    /// One path: the folders that lead to it, then all of it.
    fn one(&self, path: &RestorePath, step: &mut dyn Step) -> ExportResult<()> {
        let request = Request::default();
        let asked = path.to_string();
        let root = self.volume.getattr(&request, Ino::ROOT);
        let mut frame = Frame {
            source: root.map_err(ExportError::source(b"/"))?,
            folder: Some(self.root.clone()),
            holder: None,
            name: Vec::new(),
            path: self.root_path.clone(),
            entries: VecDeque::new(),
            cookie: (path.names().len() == 0).then_some(0),
            is_asked_for: false,
        };
        let mut frames = Vec::new();
        let last = path.names().len().saturating_sub(1);
        for (index, name) in path.names().enumerate() {
            let found = self.volume.lookup(&request, frame.source.ino, name);
            let attr = found.map_err(|error| match error {
                FsError::NotFound | FsError::NotDirectory(_) | FsError::NameTooLong => {
                    ExportError::missing(asked.as_bytes())
                }
                error => ExportError::source(asked.as_bytes())(error),
            })?;
            if index == last {
                frame.entries.push_back((name.to_vec(), attr));
                break;
            }
            if attr.kind != FileKind::Directory {
                return Err(ExportError::missing(asked.as_bytes()));
            }
            let entered = self.enter(&frame, name, attr, step)?;
            frames.push(std::mem::replace(
                &mut frame,
                Frame {
                    cookie: None,
                    is_asked_for: false,
                    ..entered
                },
            ));
        }
        frames.push(frame);
        self.down(frames, step)
    }

    fn down(&self, mut frames: Vec<Frame>, step: &mut dyn Step) -> ExportResult<()> {
        while let Some(frame) = frames.last_mut() {
            if frame.entries.is_empty() {
                let read = self.read_on(frame);
                read.map_err(ExportError::source(&frame.path))?;
            }
            let Some((name, attr)) = frame.entries.pop_front() else {
                self.leave(frame, step)?;
                frames.pop();
                continue;
            };
            if attr.kind == FileKind::Directory {
                let entered = self.enter(frame, &name, attr, step)?;
                frames.push(entered);
                continue;
            }
            let path = frame.path_of(&name);
            step.other(&self.place(frame.folder.as_deref(), &name, &path), &attr)?;
        }
        Ok(())
    }

    fn place<'p>(
        &self,
        folder: Option<&'p HostFolder>,
        name: &'p [u8],
        path: &'p [u8],
    ) -> Place<'p> {
        let root_bytes = self.root_path.len();
        Place {
            folder,
            name,
            path,
            root_bytes,
        }
    }

    fn enter(
        &self,
        above: &Frame,
        name: &[u8],
        source: Attr,
        step: &mut dyn Step,
    ) -> ExportResult<Frame> {
        let path = above.path_of(name);
        let folder = step.folder(&self.place(above.folder.as_deref(), name, &path), &source)?;
        Ok(Frame {
            source,
            folder: folder.map(Rc::new),
            holder: above.folder.clone(),
            name: name.to_vec(),
            path,
            entries: VecDeque::new(),
            cookie: Some(0),
            is_asked_for: true,
        })
    }

    fn leave(&self, frame: &Frame, step: &mut dyn Step) -> ExportResult<()> {
        // The root is where everything goes, and nothing of it.
        if frame.name.is_empty() {
            return Ok(());
        }
        let place = self.place(frame.holder.as_deref(), &frame.name, &frame.path);
        let folder = frame.folder.as_deref();
        step.leave(&place, &frame.source, folder, frame.is_asked_for)
    }

    /// Reads the next names of a folder, if there are some.
    fn read_on(&self, frame: &mut Frame) -> FsResult<()> {
        let Some(cookie) = frame.cookie.take() else {
            return Ok(());
        };
        let (entries, next) = (&mut frame.entries, &mut frame.cookie);
        let folder = frame.source.ino;
        self.volume
            .readdir_plus(&Request::default(), folder, cookie, &mut |entry, attr| {
                if !matches!(entry.name, b"." | b"..") {
                    entries.push_back((entry.name.to_vec(), *attr));
                }
                *next = (entries.len() == BATCH).then_some(entry.cookie);
                entries.len() < BATCH
            })
    }
}
