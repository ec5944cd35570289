//! Snapshots through the operations of a mount, without a kernel.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, Sender, bounded};
use tempfile::TempDir;

use super::*;
use crate::base::VolumeName;
use crate::fuse::MountOptions;
use crate::fuse::errno::Errno;
use crate::fuse::handles::{Handle, Opens};
use crate::fuse::node::{Lookups, VIEW_MAX};
use crate::fuse::notify::KernelPages;
use crate::fuse::operations::{Answer, Caller, Operations, ReadRange, Shared, Transport, Write};
use crate::fuse::owed::OwedTimes;
use crate::fuse::refresh::Refresher;
use crate::pool::{NewVolume, Pool, PoolOptions};
use crate::volume::ops::{AllocateMode, NewNode, RenameMode, Seek, SetAttr, WriteMode, XattrMode};

const CALLER: Caller = Caller {
    unique: 0,
    uid: 0,
    gid: 0,
};

const FILE: NewNode = NewNode {
    kind: FileKind::Regular,
    perm: 0o640,
    umask: 0,
    rdev: 0,
};

const FOLDER: NewNode = NewNode {
    kind: FileKind::Directory,
    perm: 0o750,
    ..FILE
};

/// Answers to whoever waits at the other end.
struct Channels;

impl Transport for Channels {
    type Done = Sender<Result<(), Errno>>;
    type Written = Sender<Result<u32, Errno>>;
    type Bytes = Bytes;
    type Offset = Sender<Result<u64, Errno>>;
    type Opened = Sender<Result<Handle, Errno>>;
}

impl<T: Send + 'static> Answer<T> for Sender<Result<T, Errno>> {
    fn send(self, outcome: Result<T, Errno>) {
        Sender::send(&self, outcome).unwrap();
    }
}

struct Bytes(Sender<Result<Vec<u8>, Errno>>);

impl<'a> Answer<&'a [u8]> for Bytes {
    fn send(self, outcome: Result<&'a [u8], Errno>) {
        Answer::send(self.0, outcome.map(<[u8]>::to_vec));
    }
}

/// What one asks and gets an answer to from another thread.
fn ask<T>(ask: impl FnOnce(Sender<T>)) -> T {
    let (sender, receiver): (_, Receiver<T>) = bounded(1);
    ask(sender);
    receiver.recv().unwrap()
}

/// A pool's snapshots as the daemon gives them.
struct OfPool(Arc<Pool>);

fn volume() -> VolumeName {
    "v".parse().unwrap()
}

fn named(name: &str) -> SnapshotName {
    name.parse().unwrap()
}

impl Snapshots for OfPool {
    fn count(&self) -> (usize, Option<SnapshotId>) {
        self.0.snapshot_count(&volume()).unwrap()
    }

    fn list(&self) -> Vec<Snapshot> {
        let list = self.0.snapshots(Some(&volume())).unwrap();
        list.into_iter()
            .map(|info| Snapshot {
                id: info.id,
                name: info.name,
                created: info.created,
            })
            .collect()
    }

    fn find(&self, name: &SnapshotName) -> Option<Snapshot> {
        self.list().into_iter().find(|found| found.name == *name)
    }

    fn open(&self, snapshot: &Snapshot) -> Option<Arc<Volume>> {
        self.0.open_snapshot(&volume(), &snapshot.name).ok()
    }
}

/// A volume `v` as a mount serves it.
struct Scene {
    operations: Operations<Channels>,
    browser: Arc<Browser>,
    live: Arc<Volume>,
    pool: Arc<Pool>,
    _folder: TempDir,
}

fn operations(live: &Arc<Volume>, browser: Option<Arc<Browser>>) -> Operations<Channels> {
    let shared = Shared {
        volume: live.clone(),
        lookups: Arc::new(Lookups::new()),
        opens: Arc::new(Opens::new()),
        refresher: Arc::new(Refresher::new()),
        owed: Arc::new(OwedTimes::new(true)),
        pages: Arc::new(KernelPages::default()),
        browser,
    };
    let options = MountOptions {
        source: "v".into(),
        path: "/no/such/mount".into(),
        read_only: false,
        allow_other: false,
        suid: false,
        dev: false,
        write_through: false,
        noatime: false,
        nohandles: false,
        readers: 4,
        dirty_bytes_max: 1 << 20,
        poll_idle_cores: false,
    };
    Operations::start(shared, &options).unwrap()
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        Pool::create(folder.path()).unwrap();
        let pool = Pool::open(folder.path(), PoolOptions::default()).unwrap();
        let new = NewVolume {
            name: volume(),
            block_size: None,
            labels: BTreeMap::new(),
            uid: 5,
            gid: 6,
            mode: 0o700,
            limit_bytes: None,
        };
        pool.create_volume(&new).unwrap();
        let live = pool.open_volume(&volume()).unwrap();
        let browser = Arc::new(Browser::new(Arc::new(OfPool(pool.clone())), live.clone()));
        let operations = operations(&live, Some(browser.clone()));
        Scene {
            operations,
            browser,
            live,
            pool,
            _folder: folder,
        }
    }

    fn cut(&self, name: &str) -> SnapshotId {
        let of = [(volume(), named(name))];
        self.pool.create_snapshots(&of).unwrap()[0].id
    }

    /// As the daemon does it.
    fn remove(&self, name: &str) {
        let id = self.pool.snapshot_info(&volume(), &named(name)).unwrap().id;
        self.browser.views().close(id);
        self.pool.remove_snapshot(&volume(), &named(name)).unwrap();
        self.browser.views().close(id);
    }

    /// A new file of the live volume.
    fn put(&self, parent: NodeId, name: &str, content: &[u8]) -> NodeId {
        let made = self
            .operations
            .make(&CALLER, parent, name.as_bytes(), &FILE);
        let node = NodeId::of(&made.unwrap());
        assert_eq!(self.write(node, content), Ok(content.len() as u32));
        node
    }

    fn write(&self, node: NodeId, content: &[u8]) -> Result<u32, Errno> {
        let write = Write {
            node,
            offset: 0,
            mode: WriteMode::default(),
            durable: false,
        };
        ask(|reply| self.operations.write(&CALLER, write, content, reply))
    }

    fn read(&self, node: NodeId) -> Result<Vec<u8>, Errno> {
        let what = ReadRange {
            node,
            handle: Handle(0),
            offset: 0,
            len: 1 << 20,
            is_access: true,
        };
        ask(|reply| self.operations.read(&CALLER, what, Bytes(reply)))
    }

    fn lookup(&self, parent: NodeId, name: &str) -> FsResult<Option<Attr>> {
        self.operations.lookup(&CALLER, parent, name.as_bytes())
    }

    #[track_caller]
    fn find(&self, parent: NodeId, name: &str) -> NodeId {
        NodeId::of(&self.lookup(parent, name).unwrap().unwrap())
    }

    fn snapshots(&self) -> NodeId {
        self.find(self.find(NodeId::ROOT, ".volfs"), "snapshots")
    }

    /// The root of a snapshot.
    #[track_caller]
    fn open(&self, name: &str) -> NodeId {
        self.find(self.snapshots(), name)
    }

    /// Names and nodes behind a cookie, as many as `fit`, and the last cookie.
    fn list(&self, folder: NodeId, cookie: u64, fit: usize) -> (Vec<(String, NodeId)>, u64) {
        let (mut found, mut last) = (Vec::new(), cookie);
        let mut add = |entry: &DirEntry<'_>| {
            if found.len() == fit {
                return false;
            }
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            found.push((name, NodeId::new(entry.epoch, entry.ino)));
            last = entry.cookie;
            true
        };
        let listed = self.operations.readdir(&CALLER, folder, cookie, &mut add);
        listed.unwrap();
        (found, last)
    }

    fn names(&self, folder: NodeId) -> Vec<String> {
        let (entries, _) = self.list(folder, 0, usize::MAX);
        entries.into_iter().map(|(name, _)| name).collect()
    }
}

/// The way in is in no listing; what it leads to is the snapshot's state under nodes of its own,
/// and nothing is left of it when the kernel has forgotten them.
#[test]
fn a_snapshot_is_seen_beside_the_live_state() {
    let scene = Scene::new();
    let made = scene
        .operations
        .make(&CALLER, NodeId::ROOT, b"d", &FOLDER)
        .unwrap();
    let folder = NodeId::of(&made);
    let file = scene.put(folder, "f", b"before");
    scene.cut("s");
    scene.write(file, b"later!").unwrap();

    assert_eq!(scene.names(NodeId::ROOT), [".", "..", "d"]);
    let entrance = scene.find(NodeId::ROOT, ".volfs");
    assert_eq!(scene.names(entrance), [".", "..", "snapshots"]);
    assert_eq!(scene.names(scene.snapshots()), [".", "..", "s"]);
    let root = scene.open("s");
    let attr = scene.operations.getattr(&CALLER, root).unwrap();
    assert_eq!((attr.perm, attr.uid, attr.gid), (0o700, 5, 6));
    let taken = scene.pool.snapshot_info(&volume(), &named("s")).unwrap();
    assert_eq!(attr.mtime, taken.created);
    let (entries, _) = scene.list(root, 0, 9);
    assert_eq!(entries[0], (".".to_owned(), root));
    assert_eq!(entries[1], ("..".to_owned(), scene.snapshots()));

    let old_folder = scene.find(root, "d");
    let old = scene.find(old_folder, "f");
    assert_eq!(entries[2], ("d".to_owned(), old_folder));
    assert_eq!((old.ino(), old.realm()), (file.ino(), root.realm()));
    assert_ne!(old, file);
    assert_eq!(scene.read(old).unwrap(), b"before");
    assert_eq!(scene.read(file).unwrap(), b"later!");
    assert!(scene.lookup(root, "no").unwrap().is_none());
    let synced = ask(|reply| scene.operations.sync(&CALLER, old, reply));
    assert_eq!(synced, Ok(()));
    let data = ask(|reply| {
        let at = (0, Seek::Data);
        scene.operations.seek(&CALLER, old, at, reply);
    });
    assert_eq!(data, Ok(0));

    // In the order in which a kernel may do it: parents go last.
    for (node, references) in [(old, 1), (old_folder, 1), (root, 1)] {
        assert_eq!(scene.browser.views().len(), 1, "before {node:?}");
        scene.operations.forget(node, references);
    }
    assert_eq!(scene.browser.views().len(), 0);
    assert!(matches!(
        scene.operations.getattr(&CALLER, old),
        Err(FsError::Stale)
    ));
    assert_eq!(scene.open("s"), root, "it bears the same number again");
}

/// Nothing in a snapshot can be changed, whatever the way; what would join two states says that
/// they are two.
#[test]
fn changes_are_refused_by_kind() {
    let scene = Scene::new();
    let file = scene.put(NodeId::ROOT, "f", b"x");
    for name in ["s", "t"] {
        scene.cut(name);
    }
    let (root, other) = (scene.open("s"), scene.open("t"));
    let old = scene.find(root, "f");
    let entrance = scene.find(NodeId::ROOT, ".volfs");
    let operations = &scene.operations;
    let snapshots = scene.snapshots();

    for folder in [root, entrance, snapshots] {
        let replace = RenameMode::Replace;
        let outcomes = [
            operations.make(&CALLER, folder, b"n", &FILE).map(drop),
            operations.make(&CALLER, folder, b"n", &FOLDER).map(drop),
            operations.symlink(&CALLER, folder, b"n", b"to").map(drop),
            operations.unlink(&CALLER, folder, b"f"),
            operations.rmdir(&CALLER, folder, b"s"),
            operations.rename(&CALLER, (folder, b"f"), (folder, b"g"), replace),
            operations
                .setattr(&CALLER, folder, &SetAttr::default())
                .map(drop),
            operations.setxattr(&CALLER, folder, b"user.a", b"v", XattrMode::Any),
            operations.removexattr(&CALLER, folder, b"user.a"),
        ];
        for (number, outcome) in outcomes.iter().enumerate() {
            let refused = matches!(outcome, Err(FsError::ReadOnly));
            assert!(refused, "{number} in {folder:?}: {outcome:?}");
        }
        let joined = [
            operations.link(&CALLER, file, folder, b"n").map(drop),
            operations.rename(&CALLER, (NodeId::ROOT, b"f"), (folder, b"n"), replace),
            operations.rename(&CALLER, (folder, b"f"), (NodeId::ROOT, b"n"), replace),
        ];
        for (number, outcome) in joined.iter().enumerate() {
            let refused = matches!(outcome, Err(FsError::OtherVolume));
            assert!(refused, "{number} with {folder:?}: {outcome:?}");
        }
    }
    let between = [
        operations.link(&CALLER, old, NodeId::ROOT, b"n").map(drop),
        operations.link(&CALLER, old, other, b"n").map(drop),
        operations
            .copy_range(&CALLER, (old, 0), (file, 0), 1)
            .map(drop),
        operations
            .copy_range(&CALLER, (file, 0), (old, 0), 1)
            .map(drop),
    ];
    for outcome in &between {
        assert!(matches!(outcome, Err(FsError::OtherVolume)), "{outcome:?}");
    }
    for flags in [libc::O_WRONLY, libc::O_RDWR | libc::O_DIRECT] {
        let opened = ask(|reply| operations.open(&CALLER, old, flags, reply));
        assert_eq!(opened, Err(Errno(libc::EROFS)));
    }
    ask(|reply| operations.open(&CALLER, old, libc::O_RDONLY, reply)).unwrap();
    assert_eq!(scene.write(old, b"y"), Err(Errno(libc::EROFS)));
    let allocated = operations.allocate(&CALLER, old, 0, 9, AllocateMode::Allocate);
    assert!(matches!(allocated, Err(FsError::ReadOnly)));
    assert!(matches!(
        operations.getxattr(&CALLER, snapshots, b"system.posix_acl_access"),
        Err(FsError::NoAttribute)
    ));
    assert!(operations.listxattr(&CALLER, snapshots).unwrap().is_empty());
}

/// The name is taken in the root, and only there; a file that a volume has under it goes first,
/// and gives way when it goes.
#[test]
fn the_name_belongs_to_the_mount_or_to_the_volume() {
    let scene = Scene::new();
    let operations = &scene.operations;
    let replace = RenameMode::Replace;
    let root = NodeId::ROOT;
    let file = scene.put(root, "f", b"x");
    let made = [
        operations.make(&CALLER, root, b".volfs", &FILE).map(drop),
        operations
            .symlink(&CALLER, root, b".volfs", b"to")
            .map(drop),
        operations.link(&CALLER, file, root, b".volfs").map(drop),
        operations.rename(&CALLER, (root, b"f"), (root, b".volfs"), replace),
    ];
    for outcome in &made {
        assert!(matches!(outcome, Err(FsError::Exists)), "{outcome:?}");
    }
    let taken = [
        operations.rmdir(&CALLER, root, b".volfs"),
        operations.unlink(&CALLER, root, b".volfs"),
        operations.rename(&CALLER, (root, b".volfs"), (root, b"g"), replace),
        operations.rename(
            &CALLER,
            (root, b".volfs"),
            (root, b"f"),
            RenameMode::Exchange,
        ),
    ];
    for outcome in &taken {
        assert!(matches!(outcome, Err(FsError::NotPermitted)), "{outcome:?}");
    }
    let folder = operations.make(&CALLER, root, b"d", &FOLDER).unwrap();
    scene.put(NodeId::of(&folder), ".volfs", b"anywhere else");

    // A volume of before there was such a name.
    let made = scene
        .live
        .create(&Request::default(), Ino::ROOT, b".volfs", &FILE);
    let own = NodeId::of(&made.unwrap());
    assert_eq!(scene.find(root, ".volfs"), own);
    operations
        .rename(&CALLER, (root, b"f"), (root, b".volfs"), replace)
        .unwrap();
    assert_eq!(scene.find(root, ".volfs"), file);
    operations
        .rename(&CALLER, (root, b".volfs"), (root, b"old"), replace)
        .unwrap();
    assert_eq!(scene.find(root, ".volfs"), Folder::Entrance.node());
}

/// A snapshot that comes is there at once, one that goes is stale at once, and its name can be
/// another's while the kernel still knows nodes of it.
#[test]
fn snapshots_come_and_go_at_once() {
    let scene = Scene::new();
    let file = scene.put(NodeId::ROOT, "f", b"one");
    let snapshots = scene.snapshots();
    let changed = || scene.operations.getattr(&CALLER, snapshots).unwrap().mtime;
    let mut times = vec![changed()];
    for missing in ["s", ".volfs", "a/b", "\u{fffd}", ".."] {
        let found = scene.lookup(snapshots, missing);
        assert!(matches!(found, Err(FsError::NotFound)), "{missing}");
    }
    scene.cut("s");
    times.push(changed());
    let first = scene.open("s");
    let old = scene.find(first, "f");
    assert!(matches!(scene.lookup(first, ".."), Err(FsError::NotFound)));
    scene.remove("s");
    times.push(changed());
    let is_stale = |outcome: FsResult<()>| matches!(outcome, Err(FsError::Stale));
    assert!(is_stale(scene.operations.getattr(&CALLER, old).map(drop)));
    assert!(is_stale(scene.lookup(first, "f").map(drop)));
    assert!(is_stale(scene.operations.unlink(&CALLER, first, b"f")));
    assert_eq!(scene.read(old), Err(Errno(libc::ESTALE)));
    assert!(scene.lookup(snapshots, "s").is_err());

    scene.write(file, b"two").unwrap();
    scene.cut("s");
    times.push(changed());
    let second = scene.open("s");
    assert_ne!(first.realm(), second.realm());
    let new = scene.find(second, "f");
    assert_eq!(scene.read(new).unwrap(), b"two");
    assert_eq!(scene.read(old), Err(Errno(libc::ESTALE)));
    assert_eq!(scene.browser.views().len(), 2);
    for node in [old, first] {
        scene.operations.forget(node, 9);
    }
    assert_eq!(scene.browser.views().len(), 1);
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    assert_eq!(times[3], changed());
}

/// A rollback of the live volume leaves what is seen of snapshots alone.
#[test]
fn a_rollback_is_not_noticed() {
    let scene = Scene::new();
    let file = scene.put(NodeId::ROOT, "f", b"one");
    scene.cut("s");
    scene.write(file, b"two").unwrap();
    let root = scene.open("s");
    let old = scene.find(root, "f");
    scene.pool.rollback(&volume(), &named("s")).unwrap();
    assert!(scene.operations.getattr(&CALLER, file).is_err());
    assert_eq!(scene.find(root, "f"), old);
    assert_eq!(scene.read(old).unwrap(), b"one");
    let names = scene.names(scene.snapshots());
    assert_eq!(names.len(), 4);
    assert!(names[3].starts_with("before-rollback-"), "{names:?}");
    let kept = scene.open(&names[3]);
    assert_eq!(scene.read(scene.find(kept, "f")).unwrap(), b"two");
}

/// A listing goes on behind any of its entries, whatever comes and goes meanwhile; with attributes
/// it gives references.
#[test]
fn listings_go_on_where_they_were() {
    let scene = Scene::new();
    for name in ["c", "b", "a"] {
        scene.cut(name);
    }
    let snapshots = scene.snapshots();
    let (first, cookie) = scene.list(snapshots, 0, 3);
    assert_eq!(first[2].0, "c");
    scene.remove("c");
    scene.cut("d");
    let (rest, cookie) = scene.list(snapshots, cookie, 9);
    let names: Vec<&str> = rest.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "a", "d"]);
    assert_eq!(scene.list(snapshots, cookie, 9).0, []);
    assert_eq!(scene.browser.views().len(), 0, "names alone open nothing");

    let mut found = Vec::new();
    let mut add = |entry: &DirEntry<'_>, attr: &Attr| {
        let fits = found.len() < 4;
        if fits {
            assert_eq!(NodeId::new(entry.epoch, entry.ino), NodeId::of(attr));
            found.push((entry.name.to_vec(), NodeId::of(attr)));
        }
        fits
    };
    let operations = &scene.operations;
    operations
        .readdir_plus(&CALLER, snapshots, 0, &mut add)
        .unwrap();
    assert_eq!(found[2].0, b"b");
    assert_eq!(found[2].1, rest[0].1, "the number was foretold");
    assert_eq!(scene.browser.views().len(), 2);
    assert_eq!(
        (found[0].1, found[1].1),
        (snapshots, Folder::Entrance.node())
    );
    operations.forget(found[2].1, 1);
    operations.forget(found[3].1, 1);
    assert_eq!(scene.browser.views().len(), 0);

    let mut names = Vec::new();
    let entrance = scene.find(NodeId::ROOT, ".volfs");
    let mut add = |entry: &DirEntry<'_>, _: &Attr| {
        names.push(entry.name.to_vec());
        true
    };
    operations
        .readdir_plus(&CALLER, entrance, 0, &mut add)
        .unwrap();
    assert_eq!(names, [&b"."[..], b"..", b"snapshots"]);
}

/// Snapshots whose numbers meet get different ones; when all are taken nobody more can look in, and
/// one number that is free again is found.
#[test]
fn numbers_are_never_shared() {
    let scene = Scene::new();
    let views = Views::default();
    let admit = |id| {
        let snapshot = Snapshot {
            id: SnapshotId(id),
            name: named("s"),
            created: Timestamp::default(),
        };
        views.admit(&snapshot, scene.live.clone())
    };
    let most = u64::from(VIEW_MAX);
    let number = |id| admit(id).unwrap().number();
    assert_eq!((number(1), number(most + 1), number(2)), (2, 3, 4));
    assert_eq!(number(1), 2, "it is open");
    let mut numbers: Vec<u16> = (4..=most).map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers.first(), Some(&1));
    assert_eq!(numbers.last(), Some(&VIEW_MAX));
    numbers.dedup();
    assert_eq!(numbers.len() as u64, most - 3);
    let full = admit(most * 7).map(|view| view.number());
    assert!(matches!(full, Err(FsError::Busy)), "{full:?}");
    views.close(SnapshotId(most + 1));
    assert!(admit(most * 7).is_err(), "the kernel has nodes of it");
    views.forget(3, Ino::ROOT, 1);
    assert_eq!(number(most * 7), 3);
}

/// A mount of a snapshot has no such name, and its volume's nodes are all that it knows.
#[test]
fn without_snapshots_there_is_no_way_in() {
    let mut scene = Scene::new();
    scene.cut("s");
    let root = scene.open("s");
    scene.operations = operations(&scene.live, None);
    assert!(scene.lookup(NodeId::ROOT, ".volfs").unwrap().is_none());
    assert!(matches!(
        scene.operations.getattr(&CALLER, root),
        Err(FsError::Stale)
    ));
    scene.put(NodeId::ROOT, ".volfs", b"a file like any other");
}
