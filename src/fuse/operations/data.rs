//! Operations on open files.

use std::ops::Range;
use std::sync::Arc;

use super::place::Place;
use super::{Answer, Caller, Operations, Transport};
use crate::base::Buffers;
use crate::fuse::browse::View;
use crate::fuse::errno::{Errno, report, report_of};
use crate::fuse::handles::{Handle, Opens};
use crate::fuse::node::NodeId;
use crate::fuse::notify::KernelPages;
use crate::fuse::owed::OwedTimes;
use crate::fuse::refresh::Refresher;
use crate::fuse::seek::seek;
use crate::fuse::sync_queue::{Durable, SyncQueue};
use crate::fuse::workers::Workers;
use crate::volume::ops::{AllocateMode, Seek, WriteMode};
use crate::volume::{FsError, FsResult, Request, Volume};

/// Answers to READs.
static BUFFERS: Buffers = Buffers::new();

/// A READ, wherever it is served.
pub(super) struct Read<T: Transport> {
    request: Request,
    /// The snapshot to read; none: the live volume.
    view: Option<Arc<View>>,
    what: ReadRange,
    reply: T::Bytes,
}

/// A READ but for its reply.
#[derive(Clone, Copy)]
pub(crate) struct ReadRange {
    pub(crate) node: NodeId,
    pub(crate) handle: Handle,
    pub(crate) offset: u64,
    pub(crate) len: usize,
    /// It moves the access time, unless the mount says otherwise.
    pub(crate) is_access: bool,
}

/// What serving a READ needs, on a reader or beside it.
pub(super) struct Reading<T: Transport> {
    pub(super) volume: Arc<Volume>,
    pub(super) opens: Arc<Opens>,
    pub(super) asks: Arc<Workers<Ask<T>>>,
}

impl<T: Transport> Reading<T> {
    pub(super) fn serve(&self, read: Read<T>) {
        BUFFERS.with(read.what.len, |buffer| {
            let outcome = read.perform(&self.volume, buffer);
            let what = &read.what;
            // The kernel writes out what it holds of the range that a direct read is for, and takes
            // what is missing for the end of the file; but it may know of a later end.
            match outcome {
                Ok(len)
                    if len < what.len
                        && what.handle.is_direct()
                        && self.opens.may_be_longer(what.node) =>
                {
                    let end = what.offset + len as u64;
                    self.asks.submit(Ask::Read { read, end });
                }
                _ => read.answer(&self.volume, outcome.map(|len| &buffer[..len])),
            }
        });
    }
}

impl<T: Transport> Read<T> {
    /// The volume to read, given the live one.
    fn source<'a>(&'a self, live: &'a Volume) -> &'a Volume {
        self.view.as_ref().map_or(live, |view| view.volume())
    }

    /// Returns how many bytes of the buffer have been read.
    fn perform(&self, live: &Volume, buffer: &mut [u8]) -> FsResult<usize> {
        let (what, volume) = (&self.what, self.source(live));
        let ino = what.node.ino();
        volume.read_file_into(&self.request, ino, what.offset, buffer, what.is_access)
    }

    fn answer(self, live: &Volume, outcome: FsResult<&[u8]>) {
        match outcome {
            Ok(bytes) => self.reply.send(Ok(bytes)),
            Err(error) => {
                let errno = report_of("read", self.source(live), self.what.node, &error);
                self.reply.send(Err(errno));
            }
        }
    }
}

/// A request on a file that is open for writing, for which the kernel must be asked for pages that
/// it holds.
pub(super) enum Ask<T: Transport> {
    Seek {
        request: Request,
        node: NodeId,
        at: (u64, Seek),
        reply: T::Offset,
    },
    /// A direct read that would end at `end`, before it should.
    Read { read: Read<T>, end: u64 },
}

impl<T: Transport> Ask<T> {
    pub(super) fn serve(self, volume: &Volume, pages: &KernelPages) {
        match self {
            Ask::Seek {
                request,
                node,
                at,
                reply,
            } => {
                let write_out = |range| write_out(pages, node, range);
                let outcome = seek(volume, &request, node.ino(), at, &write_out);
                let refused = |error| report("lseek", &volume.label(), node, &error);
                reply.send(outcome.map_err(refused));
            }
            Ask::Read { read, end } => {
                // The last page of the file is dirty if the daemon does not know its end.
                let written = write_out(pages, read.what.node, end..u64::MAX);
                BUFFERS.with(read.what.len, |buffer| {
                    let outcome = written.and_then(|()| read.perform(volume, buffer));
                    read.answer(volume, outcome.map(|len| &buffer[..len]));
                });
            }
        }
    }
}

fn write_out(pages: &KernelPages, node: NodeId, range: Range<u64>) -> FsResult<()> {
    match pages.write_out(node, range) {
        Ok(()) => Ok(()),
        // The kernel has forgotten the node, and its pages with it.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        // The mount is at its end.
        Err(_) => Err(FsError::Stale),
    }
}

/// A request that is answered when all before it is durable.
pub(super) enum Parked<T: Transport> {
    Done(T::Done),
    Written(T::Written, u32),
}

impl<T: Transport> Durable for Parked<T> {
    fn finish(self, outcome: Result<(), Errno>) {
        match self {
            Parked::Done(reply) => reply.send(outcome),
            Parked::Written(reply, bytes) => reply.send(outcome.map(|()| bytes)),
        }
    }
}

/// A WRITE but for its data.
pub(crate) struct Write {
    pub(crate) node: NodeId,
    pub(crate) offset: u64,
    pub(crate) mode: WriteMode,
    /// Answer when it is on the medium.
    pub(crate) durable: bool,
}

/// A WRITE that waits for room, with a copy of its data.
pub(super) struct WaitingWrite<T: Transport> {
    request: Request,
    write: Write,
    data: Box<[u8]>,
    reply: T::Written,
}

/// What serving a WRITE needs, on a reader or beside it.
pub(super) struct Writing<T: Transport> {
    pub(super) volume: Arc<Volume>,
    pub(super) refresher: Arc<Refresher>,
    pub(super) owed: Arc<OwedTimes>,
    pub(super) syncs: Arc<SyncQueue<Parked<T>>>,
}

impl<T: Transport> Writing<T> {
    pub(super) fn serve_waiting(&self, waiting: WaitingWrite<T>) {
        let WaitingWrite {
            request,
            write,
            data,
            reply,
        } = waiting;
        self.serve(&request, &write, &data, reply);
    }

    fn serve(&self, request: &Request, write: &Write, data: &[u8], reply: T::Written) {
        let (ino, offset) = (write.node.ino(), write.offset);
        let had_privileges =
            write.mode.kill_priv && has_privileges(&self.volume, request, write.node);
        if let Err(error) = self
            .volume
            .write_file(request, ino, offset, data, write.mode)
        {
            self.owed.failed(write.node);
            return reply.send(Err(report(
                "write",
                &self.volume.label(),
                write.node,
                &error,
            )));
        }
        if had_privileges {
            self.refresher.tell(write.node);
        } else {
            self.refresher.written(write.node);
        }
        // A WRITE is at most 1 MiB.
        let bytes = data.len() as u32;
        if write.durable {
            self.syncs.submit(Parked::Written(reply, bytes));
        } else {
            reply.send(Ok(bytes));
        }
    }
}

/// Whether the file has suid or sgid to lose. The answers to OPEN, WRITE, FALLOCATE and
/// COPY_FILE_RANGE bear no attributes: when these take them away, the kernel would go on with the
/// mode it knows.
fn has_privileges(volume: &Volume, request: &Request, node: NodeId) -> bool {
    const SUID_SGID: u16 = 0o6000;
    let attr = volume.getattr(request, node.ino());
    attr.is_ok_and(|attr| attr.perm & SUID_SGID != 0)
}

impl<T: Transport> Operations<T> {
    /// Reads here, or passes it on when no other reader is left for the requests behind it: the
    /// blocks may have to come from the disk.
    pub(crate) fn read(&self, caller: &Caller, mut what: ReadRange, reply: T::Bytes) {
        let Place { request, view, .. } = match self.place(caller, what.node) {
            Ok(place) => place,
            Err(error) => {
                let errno = report("read", &self.volume.label(), what.node, &error);
                return reply.send(Err(errno));
            }
        };
        what.is_access &= self.counts_accesses && view.is_none();
        let read = Read {
            request,
            view,
            what,
            reply,
        };
        if self.readers.none_idle() {
            self.reads.submit(read);
        } else {
            self.reading.serve(read);
        }
    }

    /// Under back-pressure this waits in the volume until a checkpoint has made room. When no other
    /// reader would be left for the requests behind it, the data is copied out of the reader's
    /// buffer and a thread of its own waits; the kernel has at most 64 such requests under way.
    pub(crate) fn write(&self, caller: &Caller, write: Write, data: &[u8], reply: T::Written) {
        let request = match self.change(caller, &[write.node]) {
            Ok(request) => request,
            Err(error) => {
                return reply.send(Err(report(
                    "write",
                    &self.volume.label(),
                    write.node,
                    &error,
                )));
            }
        };
        if self.readers.none_idle() && !self.volume.has_room() {
            let data = data.into();
            self.writes.submit(WaitingWrite {
                request,
                write,
                data,
                reply,
            });
        } else {
            self.writing.serve(&request, &write, data, reply);
        }
    }

    /// Answers when everything acknowledged before is on the medium. For files and folders alike:
    /// one flush of the journal covers both.
    pub(crate) fn sync(&self, caller: &Caller, node: NodeId, reply: T::Done) {
        // What is seen of a snapshot is durable with everything that came before it was taken.
        let refused = match self.folder(node) {
            Some(_) => Ok(()),
            None => {
                let place = self.place(caller, node);
                place.and_then(|place| self.refuse_stale(&place.request))
            }
        };
        match refused {
            Ok(()) => self.syncs.submit(Parked::Done(reply)),
            Err(error) => reply.send(Err(report("fsync", &self.volume.label(), node, &error))),
        }
    }

    /// For operations that do not reach the volume with their request.
    fn refuse_stale(&self, request: &Request) -> FsResult<()> {
        match request.epoch {
            Some(epoch) if epoch != self.volume.epoch() => Err(FsError::Stale),
            _ => Ok(()),
        }
    }

    pub(crate) fn allocate(
        &self,
        caller: &Caller,
        node: NodeId,
        offset: u64,
        len: u64,
        mode: AllocateMode,
    ) -> FsResult<()> {
        let request = self.change(caller, &[node])?;
        let had_privileges = request.uid != 0 && has_privileges(&self.volume, &request, node);
        self.volume
            .allocate(&request, node.ino(), offset, len, mode)?;
        if had_privileges {
            self.refresher.tell(node);
        }
        Ok(())
    }

    /// Answers from the volume where the kernel holds nothing that the volume has not seen, else
    /// passes it on: the kernel must write pages before.
    pub(crate) fn seek(
        &self,
        caller: &Caller,
        node: NodeId,
        (offset, what): (i64, Seek),
        reply: T::Offset,
    ) {
        let refused = |error| report("lseek", &self.label(node), node, &error);
        let place = match self.place(caller, node) {
            Ok(place) => place,
            Err(error) => return reply.send(Err(refused(error))),
        };
        let Ok(offset) = u64::try_from(offset) else {
            return reply.send(Err(refused(FsError::NoSuchOffset)));
        };
        if self.opens.is_open_to_write(node) {
            self.asks.submit(Ask::Seek {
                request: place.request,
                node,
                at: (offset, what),
                reply,
            });
        } else {
            let volume = place.volume();
            let outcome = volume.seek(&place.request, node.ino(), offset, what);
            reply.send(outcome.map_err(refused));
        }
    }

    /// Bytes copied.
    pub(crate) fn copy_range(
        &self,
        caller: &Caller,
        from: (NodeId, u64),
        to: (NodeId, u64),
        len: u64,
    ) -> FsResult<u32> {
        /// The reply counts in 32 bits; whole blocks of the largest size (128 KiB), so that a next
        /// call can go on sharing them.
        const COPY_BYTES_MAX: u64 = u32::MAX as u64 & !0x1_ffff;
        let request = self.change(caller, &[from.0, to.0])?;
        let len = len.min(COPY_BYTES_MAX);
        let had_privileges = request.uid != 0 && has_privileges(&self.volume, &request, to.0);
        let copied =
            self.volume
                .copy_range(&request, (from.0.ino(), from.1), (to.0.ino(), to.1), len)?;
        if had_privileges {
            self.refresher.tell(to.0);
        }
        Ok(copied as u32)
    }
}
