//! Operations on open files.

use std::sync::Arc;

use super::{Answer, Caller, Operations, Transport};
use crate::fuse::errno::{Errno, report};
use crate::fuse::handles::Handle;
use crate::fuse::node::NodeId;
use crate::fuse::refresh::Refresher;
use crate::fuse::sync_queue::{Durable, SyncQueue};
use crate::volume::ops::{AllocateMode, Attr, NewNode, Seek, WriteMode};
use crate::volume::{FsError, FsResult, Request, Volume};

/// A READ, wherever it is served.
pub(super) struct Read<T: Transport> {
    request: Request,
    node: NodeId,
    offset: u64,
    len: usize,
    reply: T::Bytes,
}

impl<T: Transport> Read<T> {
    pub(super) fn serve(self, volume: &Volume) {
        match volume.read_file(&self.request, self.node.ino(), self.offset, self.len) {
            Ok(bytes) => self.reply.send(Ok(&bytes)),
            Err(error) => self
                .reply
                .send(Err(report("read", volume.label(), self.node, &error))),
        }
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
        if let Err(error) = self
            .volume
            .write_file(request, ino, offset, data, write.mode)
        {
            return reply.send(Err(report(
                "write",
                self.volume.label(),
                write.node,
                &error,
            )));
        }
        self.refresher.written(write.node);
        // A WRITE is at most 1 MiB.
        let bytes = data.len() as u32;
        if write.durable {
            self.syncs.submit(Parked::Written(reply, bytes));
        } else {
            reply.send(Ok(bytes));
        }
    }
}

impl<T: Transport> Operations<T> {
    /// Opens a file, and truncates it if the flags say so.
    pub(crate) fn open(&self, caller: &Caller, node: NodeId, flags: i32) -> FsResult<Handle> {
        let request = caller.request(&[node])?;
        self.refuse_stale(&request)?;
        if flags & libc::O_TRUNC != 0 {
            self.volume.truncate_on_open(&request, node.ino())?;
        }
        let handle = Handle::from_open_flags(flags);
        self.opens.opened(node, handle);
        Ok(handle)
    }

    /// Makes a file and opens it.
    pub(crate) fn create(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        new: &NewNode,
        flags: i32,
    ) -> FsResult<(Attr, Handle)> {
        let attr = self.make(caller, parent, name, new)?;
        let handle = Handle::from_open_flags(flags);
        self.opens.opened(NodeId::of(&attr), handle);
        Ok((attr, handle))
    }

    /// Also for nodes of an old epoch: whatever happened, the file is no longer open.
    pub(crate) fn release(&self, node: NodeId, handle: Handle) {
        self.opens.released(node, handle);
        if handle.is_writable() {
            self.refresher.released(node);
        }
    }

    /// Reads here, or passes it on when no other reader is left for the requests behind it: the
    /// blocks may have to come from the disk.
    pub(crate) fn read(
        &self,
        caller: &Caller,
        node: NodeId,
        offset: u64,
        len: usize,
        reply: T::Bytes,
    ) {
        let request = match caller.request(&[node]) {
            Ok(request) => request,
            Err(error) => {
                return reply.send(Err(report("read", self.volume.label(), node, &error)));
            }
        };
        let read = Read {
            request,
            node,
            offset,
            len,
            reply,
        };
        if self.readers.none_idle() {
            self.reads.submit(read);
        } else {
            read.serve(&self.volume);
        }
    }

    /// Under back-pressure this waits in the volume until a checkpoint has made room. When no other
    /// reader would be left for the requests behind it, the data is copied out of the reader's
    /// buffer and a thread of its own waits; the kernel has at most 64 such requests under way.
    pub(crate) fn write(&self, caller: &Caller, write: Write, data: &[u8], reply: T::Written) {
        let request = match caller.request(&[write.node]) {
            Ok(request) => request,
            Err(error) => {
                return reply.send(Err(report(
                    "write",
                    self.volume.label(),
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
        match caller
            .request(&[node])
            .and_then(|request| self.refuse_stale(&request))
        {
            Ok(()) => self.syncs.submit(Parked::Done(reply)),
            Err(error) => reply.send(Err(report("fsync", self.volume.label(), node, &error))),
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
        self.volume
            .allocate(&caller.request(&[node])?, node.ino(), offset, len, mode)
    }

    pub(crate) fn seek(
        &self,
        caller: &Caller,
        node: NodeId,
        offset: i64,
        what: Seek,
    ) -> FsResult<u64> {
        let request = caller.request(&[node])?;
        let offset = u64::try_from(offset).map_err(|_| FsError::NoSuchOffset)?;
        self.volume.seek(&request, node.ino(), offset, what)
    }

    /// Bytes copied.
    pub(crate) fn copy_range(
        &self,
        caller: &Caller,
        from: (NodeId, u64),
        to: (NodeId, u64),
        len: u64,
    ) -> FsResult<u32> {
        /// The reply counts in 32 bits; whole pages, so that a next call can go on sharing blocks.
        const COPY_BYTES_MAX: u64 = u32::MAX as u64 & !4095;
        let request = caller.request(&[from.0, to.0])?;
        let len = len.min(COPY_BYTES_MAX);
        let copied =
            self.volume
                .copy_range(&request, (from.0.ino(), from.1), (to.0.ino(), to.1), len)?;
        Ok(copied as u32)
    }
}
