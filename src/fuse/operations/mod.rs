//! Operations as a transport brings them: operation in, result out. Nothing of fuser in it.
//!
//! A transport (fuser today) decodes requests, calls these methods on its readers and sends what
//! they return. Five kinds of request may be answered later and from another thread; they hand
//! over a reply object, whose type the transport names, so that nothing is boxed.

mod data;
mod names;
mod open;
mod place;

use std::io;
use std::sync::Arc;

use self::data::{Ask, Parked, Read, Reading, WaitingWrite, Writing};
pub(crate) use self::data::{ReadRange, Write};
use self::open::{Opening, WaitingOpen};
use super::browse::Browser;
use super::errno::{Errno, report};
use super::guard::Readers;
use super::handles::{Handle, Opens};
use super::node::{Lookups, NodeId, Realm, common_epoch};
use super::notify::KernelPages;
use super::owed::OwedTimes;
use super::refresh::Refresher;
use super::sync_queue::SyncQueue;
use super::workers::Workers;
use crate::fuse::MountOptions;
use crate::volume::ops::{Attr, FileKind, StatFs};
use crate::volume::{FsResult, Request, Volume};

/// Threads that read what no idle reader is left for.
const READ_WORKERS: usize = 4;
/// Threads in which writes wait for room when no idle reader is left.
const WRITE_WORKERS: usize = 4;
/// Threads that ask the kernel for pages that it holds.
const ASK_WORKERS: usize = 2;
/// Threads in which openings wait for the kernel to tell times.
const OPEN_WORKERS: usize = 2;

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
    /// Answers LSEEK with an offset.
    type Offset: Answer<u64>;
    /// Answers OPEN.
    type Opened: Answer<Handle>;
}

/// What a mount's operations share with its session.
pub(crate) struct Shared {
    pub(crate) volume: Arc<Volume>,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) opens: Arc<Opens>,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) owed: Arc<OwedTimes>,
    pub(crate) pages: Arc<KernelPages>,
    /// None: the mount shows no snapshots.
    pub(crate) browser: Option<Arc<Browser>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) unique: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Caller {
    /// The request to the live volume for an operation on these nodes of it.
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
    browser: Option<Arc<Browser>>,
    /// Of the live volume's nodes.
    lookups: Arc<Lookups>,
    opens: Arc<Opens>,
    refresher: Arc<Refresher>,
    owed: Arc<OwedTimes>,
    /// Reads move access times.
    counts_accesses: bool,
    pub(crate) readers: Readers,
    syncs: Arc<SyncQueue<Parked<T>>>,
    reads: Workers<Read<T>>,
    writing: Arc<Writing<T>>,
    writes: Workers<WaitingWrite<T>>,
    reading: Arc<Reading<T>>,
    asks: Arc<Workers<Ask<T>>>,
    opening: Arc<Opening>,
    late_opens: Workers<WaitingOpen<T>>,
    forgotten: Workers<NodeId>,
}

impl<T: Transport> Operations<T> {
    /// What messages call the volume or snapshot that a node is of.
    pub(crate) fn label(&self, node: NodeId) -> Arc<str> {
        let view = match (node.realm(), &self.browser) {
            (Realm::View(number), Some(browser)) => browser.views().get(number).ok(),
            _ => None,
        };
        match view {
            Some(view) => view.volume().label(),
            None => self.volume.label(),
        }
    }

    /// As many threads of the transport will call as the options say.
    pub(crate) fn start(shared: Shared, options: &MountOptions) -> io::Result<Operations<T>> {
        let Shared {
            volume,
            lookups,
            opens,
            refresher,
            owed,
            pages,
            browser,
        } = shared;
        let syncs = Arc::new(SyncQueue::start({
            let volume = volume.clone();
            move || {
                volume
                    .sync()
                    .map_err(|error| report("sync", &volume.label(), NodeId::ROOT, &error))
            }
        })?);
        let writing = Arc::new(Writing {
            volume: volume.clone(),
            refresher: refresher.clone(),
            owed: owed.clone(),
            syncs: syncs.clone(),
        });
        let opening = Arc::new(Opening {
            volume: volume.clone(),
            opens: opens.clone(),
            refresher: refresher.clone(),
            owed: owed.clone(),
            pages: pages.clone(),
        });
        let late_opens = Workers::start("volfs-open", OPEN_WORKERS, {
            let opening = opening.clone();
            move |waiting: WaitingOpen<T>| opening.serve_waiting(waiting)
        })?;
        let writes = Workers::start("volfs-write", WRITE_WORKERS, {
            let writing = writing.clone();
            move |waiting: WaitingWrite<T>| writing.serve_waiting(waiting)
        })?;
        let asks = Arc::new(Workers::start("volfs-ask", ASK_WORKERS, {
            let volume = volume.clone();
            move |ask: Ask<T>| ask.serve(&volume, &pages)
        })?);
        let reading = Arc::new(Reading {
            volume: volume.clone(),
            opens: opens.clone(),
            asks: asks.clone(),
        });
        let reads = Workers::start("volfs-read", READ_WORKERS, {
            let reading = reading.clone();
            move |read: Read<T>| reading.serve(read)
        })?;
        let forgotten = Workers::start("volfs-reap", 1, {
            let (volume, lookups) = (volume.clone(), lookups.clone());
            move |node| names::reap(&volume, &lookups, node)
        })?;
        let readers = Readers::new(options.readers);
        Ok(Operations {
            volume,
            browser,
            lookups,
            opens,
            refresher,
            owed,
            counts_accesses: !options.noatime,
            readers,
            syncs,
            reads,
            writing,
            writes,
            reading,
            asks,
            opening,
            late_opens,
            forgotten,
        })
    }

    pub(crate) fn statfs(&self) -> FsResult<StatFs> {
        self.volume.statfs()
    }

    /// Gives a reference to the node to the kernel, with the attributes that name it.
    fn remember(&self, attr: Attr) -> Attr {
        self.lookups.add(NodeId::of(&attr), attr.kind);
        self.shown(attr)
    }

    /// The attributes as the kernel is told them. It may hold pages of a file that is open for
    /// writing, and programs such as tar take a file with a size and no blocks for one hole: such a
    /// file shows a block at least, until it is closed.
    fn shown(&self, mut attr: Attr) -> Attr {
        if attr.kind == FileKind::Regular
            && attr.blocks_512 == 0
            && self.opens.overstate(NodeId::of(&attr))
        {
            attr.blocks_512 = u64::from(attr.block_size) / 512;
        }
        attr
    }
}
