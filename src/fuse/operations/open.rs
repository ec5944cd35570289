//! Opening and closing files.

use std::sync::Arc;

use super::place::Place;
use super::{Answer, Caller, Operations, Transport};
use crate::fuse::errno::{Errno, report};
use crate::fuse::handles::{Handle, Opens};
use crate::fuse::node::NodeId;
use crate::fuse::notify::KernelPages;
use crate::fuse::owed::{Outcome, OwedTimes};
use crate::fuse::refresh::Refresher;
use crate::volume::ops::{Attr, NewNode};
use crate::volume::{FsError, FsResult, Request, Volume};

/// What opening a file of the live volume needs, on a reader or beside it.
pub(super) struct Opening {
    pub(super) volume: Arc<Volume>,
    pub(super) opens: Arc<Opens>,
    pub(super) refresher: Arc<Refresher>,
    pub(super) owed: Arc<OwedTimes>,
    pub(super) pages: Arc<KernelPages>,
}

/// An OPEN that waits for the kernel to tell the times of the file.
pub(super) struct WaitingOpen<T: Transport> {
    request: Request,
    node: NodeId,
    handle: Handle,
    reply: T::Opened,
}

impl Opening {
    /// Counted before the epoch is looked at: a rollback in between either finds the file open, and
    /// drops its pages before it returns, or is found here.
    fn open(&self, request: &Request, node: NodeId, handle: Handle) -> FsResult<Handle> {
        self.opens.opened(node, handle);
        match self.will_be_overstated(request, node, handle) {
            Ok(false) => Ok(handle),
            Ok(true) => {
                self.refresher.outdated(node);
                Ok(handle)
            }
            Err(error) => {
                if self.opens.released(node, handle) {
                    self.refresher.outdated(node);
                }
                Err(error)
            }
        }
    }

    /// Whether the kernel will be told more blocks than there are. Fails if it may not be opened.
    fn will_be_overstated(
        &self,
        request: &Request,
        node: NodeId,
        handle: Handle,
    ) -> FsResult<bool> {
        match request.epoch {
            Some(epoch) if epoch != self.volume.epoch() => return Err(FsError::Stale),
            _ => {}
        }
        Ok(handle.is_writable() && self.volume.getattr(request, node.ino())?.blocks_512 == 0)
    }

    fn serve<T: Transport>(&self, waiting: WaitingOpen<T>) {
        let (node, label) = (waiting.node, self.volume.label());
        let opened = self.open(&waiting.request, node, waiting.handle);
        let refused = |error| report("open", &label, node, &error);
        waiting.reply.send(opened.map_err(refused));
    }

    pub(super) fn serve_waiting<T: Transport>(&self, waiting: WaitingOpen<T>) {
        let node = waiting.node;
        let Outcome::Lost(place) = self.owed.settle(node) else {
            return self.serve(waiting);
        };
        match self.pages.drop_name(place.folder, &place.name) {
            // ESTALE makes the kernel walk the path once more, and find another inode in its end.
            Ok(()) => waiting.reply.send(Err(Errno(libc::ESTALE))),
            Err(error) => {
                log::debug!("the kernel keeps the name of {node:?}: {error}");
                self.serve(waiting);
            }
        }
    }
}

impl<T: Transport> Operations<T> {
    /// Opens a file. O_TRUNC comes as a SETATTR behind it.
    pub(crate) fn open(&self, caller: &Caller, node: NodeId, flags: i32, reply: T::Opened) {
        let handle = Handle::from_open_flags(flags);
        let place = match self.place(caller, node) {
            Ok(place) => place,
            Err(error) => {
                let refused = report("open", &self.label(node), node, &error);
                return reply.send(Err(refused));
            }
        };
        let Place { request, view, .. } = place;
        if view.is_some() {
            return reply.send(match handle.is_writable() {
                true => Err(report("open", &self.label(node), node, &FsError::ReadOnly)),
                false => Ok(handle),
            });
        }
        let waiting = WaitingOpen {
            request,
            node,
            handle,
            reply,
        };
        if self.owed.is_owed(node) {
            self.late_opens.submit(waiting);
        } else {
            self.opening.serve(waiting);
        }
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
        Ok((self.shown(attr), handle))
    }

    /// Also for nodes of an old epoch: whatever happened, the file is no longer open.
    pub(crate) fn release(&self, node: NodeId, handle: Handle) {
        let was_overstated = self.opens.released(node, handle);
        if handle.is_writable() {
            self.refresher.released(node, handle.is_direct());
        }
        if was_overstated {
            self.refresher.outdated(node);
        }
    }
}
