//! Operations as a transport brings them: operation in, result out. Nothing of fuser in it.
//!
//! A transport (fuser today) decodes requests, calls these methods on its readers and sends what
//! they return. Three kinds of request may be answered later and from another thread; they hand
//! over a reply object, whose type the transport names, so that nothing is boxed.

mod data;
mod names;

use std::io;
use std::sync::Arc;

pub(crate) use self::data::Write;
use self::data::{Parked, Read, WaitingWrite, Writing};
use super::errno::{Errno, report};
use super::guard::Readers;
use super::handles::WriteOpens;
use super::node::{Lookups, NodeId, common_epoch};
use super::refresh::Refresher;
use super::sync_queue::SyncQueue;
use super::workers::Workers;
use crate::volume::ops::{Attr, StatFs};
use crate::volume::{FsResult, Request, Volume};

/// Threads that read what no idle reader is left for.
const READ_WORKERS: usize = 4;
/// Threads in which writes wait for room when no idle reader is left.
const WRITE_WORKERS: usize = 4;

/// Where the answer to one request goes; once, from any thread. Dropped unsent it answers EIO.
pub(crate) trait Answer<T>: Send + 'static {
    fn send(self, outcome: Result<T, Errno>);
}

/// The reply objects of a transport that can be answered later.
pub(crate) trait Transport: 'static {
    /// Answers FSYNC and FSYNCDIR.
    type Done: Answer<()>;
    /// Answers WRITE with the number of bytes.
    type Written: Answer<u32>;
    /// Answers READ.
    type Bytes: for<'a> Answer<&'a [u8]>;
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) unique: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Caller {
    /// The request to the volume for an operation on these nodes.
    fn request(&self, nodes: &[NodeId]) -> FsResult<Request> {
        let epoch = common_epoch(nodes)?;
        Ok(Request {
            epoch,
            unique: self.unique,
            uid: self.uid,
            gid: self.gid,
        })
    }
}

/// One mount's side of a volume: what the kernel knows and holds of it, and the threads beside the
/// readers. Dropping it answers what is parked, then ends the threads.
pub(crate) struct Operations<T: Transport> {
    volume: Arc<Volume>,
    lookups: Arc<Lookups>,
    opens: Arc<WriteOpens>,
    refresher: Arc<Refresher>,
    pub(crate) readers: Readers,
    syncs: Arc<SyncQueue<Parked<T>>>,
    reads: Workers<Read<T>>,
    writing: Arc<Writing<T>>,
    writes: Workers<WaitingWrite<T>>,
    forgotten: Workers<NodeId>,
}

impl<T: Transport> Operations<T> {
    /// What messages call the volume.
    pub(crate) fn label(&self) -> &str {
        self.volume.label()
    }

    /// `readers` is how many threads of the transport will call.
    pub(crate) fn start(
        volume: Arc<Volume>,
        lookups: Arc<Lookups>,
        opens: Arc<WriteOpens>,
        refresher: Arc<Refresher>,
        readers: usize,
    ) -> io::Result<Operations<T>> {
        let syncs = Arc::new(SyncQueue::start({
            let volume = volume.clone();
            move || {
                volume
                    .sync()
                    .map_err(|error| report("sync", volume.label(), NodeId::ROOT, &error))
            }
        })?);
        let writing = Arc::new(Writing {
            volume: volume.clone(),
            refresher: refresher.clone(),
            syncs: syncs.clone(),
        });
        let writes = Workers::start("volfs-write", WRITE_WORKERS, {
            let writing = writing.clone();
            move |waiting: WaitingWrite<T>| writing.serve_waiting(waiting)
        })?;
        let reads = Workers::start("volfs-read", READ_WORKERS, {
            let volume = volume.clone();
            move |read: Read<T>| read.serve(&volume)
        })?;
        let forgotten = Workers::start("volfs-reap", 1, {
            let (volume, lookups) = (volume.clone(), lookups.clone());
            move |node| names::reap(&volume, &lookups, node)
        })?;
        let readers = Readers::new(readers);
        Ok(Operations {
            volume,
            lookups,
            opens,
            refresher,
            readers,
            syncs,
            reads,
            writing,
            writes,
            forgotten,
        })
    }

    pub(crate) fn statfs(&self) -> FsResult<StatFs> {
        self.volume.statfs()
    }

    /// Gives a reference to the node to the kernel, with the attributes that name it.
    fn remember(&self, attr: Attr) -> Attr {
        self.lookups.add(NodeId::of(&attr));
        attr
    }
}
