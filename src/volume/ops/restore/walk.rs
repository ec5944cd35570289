//! The way through what is to be put back: twice the same, to look and to do.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::base::Ino;
use crate::volume::records::{Dirent, Inode};
use crate::volume::{Frozen, FsError, FsResult, Volume, keys};

use super::super::chain;
use super::names::{RestorePath, find_in};
use super::{RestoreError, RestoreOptions, RestoreResult, load_source};

/// Names of a folder that are read together.
const BATCH: usize = 256;

/// Where something goes.
pub(super) struct Place<'a> {
    /// The folder of the volume; none: not there yet.
    pub(super) in_folder: Option<Ino>,
    pub(super) name: &'a [u8],
    /// For messages.
    pub(super) path: &'a [u8],
}

impl Place<'_> {
    /// The folder, which is there while something is put back. Nothing is in inode 0.
    pub(super) fn folder(&self) -> Ino {
        self.in_folder.unwrap_or(Ino(0))
    }
}

/// What is done on the way.
pub(super) trait Step {
    /// A folder: where it is in the volume, if it is there; it is left later.
    fn folder(&mut self, place: &Place<'_>, source: (Ino, &Inode)) -> RestoreResult<Option<Ino>>;
    /// Anything else.
    fn other(&mut self, place: &Place<'_>, source: (Ino, &Inode)) -> RestoreResult<()>;
    /// All of a folder has been visited. It was asked for if it is not only on the way to what was.
    fn leave(
        &mut self,
        place: &Place<'_>,
        source: (Ino, &Inode),
        target: Option<Ino>,
        is_asked_for: bool,
    ) -> RestoreResult<()>;
}

/// What is to be put back.
pub(super) struct Walk<'a, 's> {
    volume: &'a Volume,
    source: &'a Frozen<'s>,
    /// Where everything goes.
    base: Ino,
    /// In front of all paths in messages.
    prefix: Vec<u8>,
    paths: Vec<RestorePath>,
}

/// A folder on the way.
struct Frame {
    source: Ino,
    inode: Inode,
    target: Option<Ino>,
    /// The folder that holds it, its name and its path in the volume.
    holder: Option<Ino>,
    name: Vec<u8>,
    path: Vec<u8>,
    entries: VecDeque<(Vec<u8>, Ino)>,
    /// The sub-key behind the last entry that was read; none: all were.
    next: Option<u64>,
    is_asked_for: bool,
}

impl Frame {
    fn place(&self) -> Place<'_> {
        Place {
            in_folder: self.holder,
            name: &self.name,
            path: &self.path,
        }
    }

    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.clone();
        path.push(b'/');
        path.extend_from_slice(name);
        path
    }
}

impl<'a, 's> Walk<'a, 's> {
    /// Everything of the options' paths; what lies below another one of them goes with that.
    pub(super) fn new(
        volume: &'a Volume,
        source: &'a Frozen<'s>,
        base: Ino,
        options: &RestoreOptions,
    ) -> Walk<'a, 's> {
        let prefix = match &options.to {
            Some(to) if to.names().len() > 0 => to.to_string().into_bytes(),
            _ => Vec::new(),
        };
        Walk {
            volume,
            source,
            base,
            prefix,
            paths: RestorePath::outermost(&options.paths),
        }
    }

    /// Goes the whole way.
    pub(super) fn run(&self, step: &mut dyn Step) -> RestoreResult<()> {
        self.paths.iter().try_for_each(|path| self.one(path, step))
    }

    /// One path: the folders that lead to it, then all of it.
    fn one(&self, path: &RestorePath, step: &mut dyn Step) -> RestoreResult<()> {
        let root = load_source(self.source, Ino::ROOT, b"/")?;
        let mut frames = vec![Frame {
            source: Ino::ROOT,
            inode: root,
            target: Some(self.base),
            holder: None,
            name: Vec::new(),
            path: self.prefix.clone(),
            entries: VecDeque::new(),
            next: (path.names().len() == 0).then_some(chain::FIRST),
            is_asked_for: false,
        }];
        let last = path.names().len().saturating_sub(1);
        for (index, name) in path.names().enumerate() {
            let asked = path.to_string();
            let missing = || RestoreError::missing(asked.as_bytes());
            // All but the last are folders.
            let Some(above) = frames.last_mut() else {
                break;
            };
            let ino = match find_in(self.volume, self.source, above.source, name) {
                Ok(ino) => ino,
                Err(FsError::NotFound) => return Err(missing()),
                Err(error) => return Err(RestoreError::at(asked.as_bytes(), error)),
            };
            if index == last {
                above.entries.push_back((name.to_vec(), ino));
                break;
            }
            let inode = load_source(self.source, ino, asked.as_bytes())?;
            if !inode.is_folder() {
                return Err(missing());
            }
            let frame = enter(above, name, (ino, inode), step)?;
            frames.push(Frame {
                next: None,
                is_asked_for: false,
                ..frame
            });
        }
        self.down(frames, step)
    }

    fn down(&self, mut frames: Vec<Frame>, step: &mut dyn Step) -> RestoreResult<()> {
        while let Some(frame) = frames.last_mut() {
            if frame.entries.is_empty() {
                self.read_on(frame)
                    .map_err(|error| RestoreError::at(&frame.path, error))?;
            }
            let Some((name, ino)) = frame.entries.pop_front() else {
                if !frame.name.is_empty() {
                    let source = (frame.source, &frame.inode);
                    step.leave(&frame.place(), source, frame.target, frame.is_asked_for)?;
                }
                frames.pop();
                continue;
            };
            let path = frame.path_of(&name);
            let inode = load_source(self.source, ino, &path)?;
            if inode.is_folder() {
                let entered = enter(frame, &name, (ino, inode), step)?;
                frames.push(entered);
                continue;
            }
            let place = Place {
                in_folder: frame.target,
                name: &name,
                path: &path,
            };
            step.other(&place, (ino, &inode))?;
        }
        Ok(())
    }

    /// Reads the next names of a folder, if there are some.
    fn read_on(&self, frame: &mut Frame) -> FsResult<()> {
        let Some(from) = frame.next.take() else {
            return Ok(());
        };
        let folder = frame.source;
        let (_, to) = keys::all(folder, keys::DIRENT);
        self.source
            .scan(&keys::dirent(folder, from), &to, &mut |key, value| {
                if frame.entries.len() == BATCH {
                    frame.next = Some(key.sub());
                    return Ok(ControlFlow::Break(()));
                }
                let malformed = |source| FsError::Malformed {
                    ino: folder,
                    source,
                };
                if let Some(dirent) = Dirent::decode(&value.bytes).map_err(malformed)? {
                    frame.entries.push_back((dirent.name.to_vec(), dirent.ino));
                }
                Ok(ControlFlow::Continue(()))
            })
    }
}

fn enter(
    above: &Frame,
    name: &[u8],
    (ino, inode): (Ino, Inode),
    step: &mut dyn Step,
) -> RestoreResult<Frame> {
    let mut frame = Frame {
        source: ino,
        inode,
        target: None,
        holder: above.target,
        name: name.to_vec(),
        path: above.path_of(name),
        entries: VecDeque::new(),
        next: Some(chain::FIRST),
        is_asked_for: true,
    };
    frame.target = step.folder(&frame.place(), (ino, &frame.inode))?;
    Ok(frame)
}
