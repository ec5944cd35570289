//! Random operations on a volume and on the model: equal outcomes, equal trees.

use proptest::prelude::*;

use super::super::{AllocateMode, SetAttr, XattrMode};
use super::model::{Model, Outcome};
use super::*;
use crate::volume::BlockState;

/// An operation; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Op {
    Create(u8, u8, FileKind),
    Symlink(u8, u8, u16),
    Link(u8, u8, u8),
    Unlink(u8, u8),
    Rmdir(u8, u8),
    Rename((u8, u8), (u8, u8), RenameMode),
    Write(u8, u32, u32, u8),
    Truncate(u8, u32, bool),
    Punch(u8, u32, u32),
    Zero(u8, u32, u32, bool),
    Allocate(u8, u32, u32),
    Copy((u8, u32), (u8, u32), u32),
    SetXattr(u8, u8, u16, XattrMode),
    RemoveXattr(u8, u8),
    Chmod(u8, u16),
    Chown(u8, u8),
    Forget(u8),
    Freeze,
    Checkpoint,
    Snapshot,
    Compare,
}

/// Offsets and lengths: often near a block's border.
fn bytes() -> impl Strategy<Value = u32> {
    prop_oneof![
        0u32..200_000,
        (0u32..24, 0u32..3).prop_map(|(block, off)| (block * 8192 + off).saturating_sub(1)),
        (0u32..24).prop_map(|block| block * 8192),
    ]
}

fn kind() -> impl Strategy<Value = FileKind> {
    use FileKind::{Directory, Fifo, Regular};
    prop_oneof![4 => Just(Regular), 3 => Just(Directory), 1 => Just(Fifo)]
}

fn rename_mode() -> impl Strategy<Value = RenameMode> {
    use RenameMode::{Exchange, NoReplace, Replace};
    prop_oneof![3 => Just(Replace), 1 => Just(NoReplace), 2 => Just(Exchange)]
}

fn xattr_mode() -> impl Strategy<Value = XattrMode> {
    use XattrMode::{Any, Create, Replace};
    prop_oneof![2 => Just(Any), 1 => Just(Create), 1 => Just(Replace)]
}

fn op() -> impl Strategy<Value = Op> {
    let n = any::<u8>;
    let spot = || (n(), bytes());
    prop_oneof![
        12 => (n(), n(), kind()).prop_map(|(dir, name, kind)| Op::Create(dir, name, kind)),
        2 => (n(), n(), 0u16..4100).prop_map(|(dir, name, len)| Op::Symlink(dir, name, len)),
        4 => (n(), n(), n()).prop_map(|(node, dir, name)| Op::Link(node, dir, name)),
        5 => (n(), n()).prop_map(|(dir, name)| Op::Unlink(dir, name)),
        3 => (n(), n()).prop_map(|(dir, name)| Op::Rmdir(dir, name)),
        8 => ((n(), n()), (n(), n()), rename_mode())
            .prop_map(|(from, to, mode)| Op::Rename(from, to, mode)),
        16 => (n(), bytes(), bytes(), 0u8..4)
            .prop_map(|(file, offset, len, fill)| Op::Write(file, offset, len, fill)),
        5 => (n(), bytes(), any::<bool>()).prop_map(|(file, size, user)| {
            Op::Truncate(file, size, user)
        }),
        4 => (n(), bytes(), bytes()).prop_map(|(file, offset, len)| Op::Punch(file, offset, len)),
        3 => (n(), bytes(), bytes(), any::<bool>())
            .prop_map(|(file, offset, len, keep)| Op::Zero(file, offset, len, keep)),
        2 => (n(), bytes(), bytes())
            .prop_map(|(file, offset, len)| Op::Allocate(file, offset, len)),
        6 => (spot(), spot(), bytes()).prop_map(|(from, to, len)| Op::Copy(from, to, len)),
        4 => (n(), n(), 0u16..9000, xattr_mode())
            .prop_map(|(node, name, len, mode)| Op::SetXattr(node, name, len, mode)),
        2 => (n(), n()).prop_map(|(node, name)| Op::RemoveXattr(node, name)),
        2 => (n(), 0u16..0o10000).prop_map(|(node, perm)| Op::Chmod(node, perm)),
        2 => (n(), n()).prop_map(|(node, owner)| Op::Chown(node, owner)),
        4 => n().prop_map(Op::Forget),
        4 => Just(Op::Freeze),
        4 => Just(Op::Checkpoint),
        1 => Just(Op::Snapshot),
        2 => Just(Op::Compare),
    ]
}

/// One name of twelve; about one of ten cannot be.
fn name(number: u8) -> Vec<u8> {
    match number {
        0..=3 => b"..".to_vec(),
        4..=7 => b".".to_vec(),
        8..=11 => b"a/b".to_vec(),
        12..=15 => vec![b'x'; 256],
        16..=19 => Vec::new(),
        20..=39 => vec![b'y'; 255],
        _ => format!("n{}", number % 11).into_bytes(),
    }
}

fn attribute(number: u8) -> Vec<u8> {
    format!("user.x{}", number % 5).into_bytes()
}

fn filled(len: usize, fill: u8) -> Vec<u8> {
    match fill {
        0 => vec![0; len],
        // Runs of zeros longer than a block between the bytes.
        1 => (0..len).map(|at| u8::from(at % 30_000 < 9000)).collect(),
        _ => (0..len).map(|at| (at / 3) as u8 ^ fill).collect(),
    }
}

struct Run {
    fs: Fixture,
    model: Model,
    snapshots: Vec<(std::sync::Arc<Volume>, Model)>,
}

impl Run {
    fn new(block: u32) -> Run {
        Run {
            fs: Fixture::with_block_size(block),
            model: Model::new(block as usize),
            snapshots: Vec::new(),
        }
    }

    fn node(&self, number: u8) -> Ino {
        let nodes: Vec<Ino> = self.model.nodes.keys().copied().collect();
        nodes[usize::from(number) % nodes.len()]
    }

    fn of_kind(&self, number: u8, kind: FileKind) -> Ino {
        let nodes = self
            .model
            .nodes
            .iter()
            .filter(|(_, node)| node.kind == kind);
        let nodes: Vec<Ino> = nodes.map(|(ino, _)| *ino).collect();
        // One of sixteen is of any kind.
        if nodes.is_empty() || number >= 240 {
            return self.node(number);
        }
        nodes[usize::from(number) % nodes.len()]
    }

    fn dir(&self, number: u8) -> Ino {
        self.of_kind(number, FileKind::Directory)
    }

    fn file(&self, number: u8) -> Ino {
        self.of_kind(number, FileKind::Regular)
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Create(..) | Op::Symlink(..) => self.make(op),
            Op::Link(..) | Op::Unlink(..) | Op::Rmdir(..) | Op::Rename(..) => self.names(op),
            Op::Write(..) | Op::Truncate(..) | Op::Punch(..) | Op::Zero(..) | Op::Allocate(..) => {
                self.content(op);
            }
            Op::Copy(from, to, len) => self.copy(from, to, len),
            Op::SetXattr(..) | Op::RemoveXattr(..) | Op::Chmod(..) | Op::Chown(..) => {
                self.attributes(op);
            }
            Op::Forget(number) => {
                let ino = self.node(number);
                self.fs.forget(0, ino).unwrap();
                self.model.forget(ino);
            }
            Op::Freeze => drop(self.fs.bench.freeze()),
            Op::Checkpoint => self.fs.checkpoint(),
            Op::Snapshot => {
                let snapshot = self.fs.bench.snapshot(self.fs.bench.freeze());
                self.snapshots.push((snapshot, self.model.clone()));
            }
            Op::Compare => {
                compare(&self.fs, &self.model);
                self.fs.assert_sound();
            }
        }
    }

    fn make(&mut self, op: &Op) {
        let (parent, name, made, kind, perm) = match *op {
            Op::Create(dir, number, kind) => {
                let (parent, name) = (self.dir(dir), name(number));
                let new = NewNode {
                    kind,
                    perm: 0o2777,
                    umask: 0o022,
                    rdev: 0,
                };
                let made = self.fs.create(&ROOT, parent, &name, &new);
                (parent, name, made, kind, 0o2755)
            }
            Op::Symlink(dir, number, len) => {
                let (parent, name) = (self.dir(dir), name(number));
                let target = vec![b't'; usize::from(len.max(1)).min(4095)];
                let made = self.fs.symlink(&ROOT, parent, &name, &target);
                (parent, name, made, FileKind::Symlink, 0o777)
            }
            _ => unreachable!("only what makes inodes comes here"),
        };
        let expected = self.model.check_new(parent, &name);
        let ino = same(made.map(|attr| attr.ino), expected);
        if let Some(ino) = ino {
            self.model.add(parent, &name, ino, kind, perm);
            if kind == FileKind::Symlink {
                let target = self.fs.readlink(&ROOT, ino).unwrap();
                self.model.nodes.get_mut(&ino).unwrap().data = target;
            }
        }
    }

    fn names(&mut self, op: &Op) {
        let (done, expected) = match *op {
            Op::Link(node, dir, number) => {
                let (ino, parent, name) = (self.node(node), self.dir(dir), name(number));
                let done = self.fs.link(&ROOT, ino, parent, &name).map(|_| ());
                (done, self.model.link(ino, parent, &name))
            }
            Op::Unlink(dir, number) => {
                let (parent, name) = (self.dir(dir), name(number));
                (
                    self.fs.unlink(&ROOT, parent, &name),
                    self.model.unlink(parent, &name),
                )
            }
            Op::Rmdir(dir, number) => {
                let (parent, name) = (self.dir(dir), name(number));
                (
                    self.fs.rmdir(&ROOT, parent, &name),
                    self.model.rmdir(parent, &name),
                )
            }
            Op::Rename(from, to, mode) => {
                let (from_name, to_name) = (name(from.1), name(to.1));
                let (from, to) = ((self.dir(from.0), &*from_name), (self.dir(to.0), &*to_name));
                (
                    self.fs.rename(&ROOT, from, to, mode),
                    self.model.rename(from, to, mode),
                )
            }
            _ => unreachable!("only what changes names comes here"),
        };
        same(done, expected);
    }

    fn content(&mut self, op: &Op) {
        let fs = &self.fs;
        let (done, expected) = match *op {
            Op::Write(file, offset, len, fill) => {
                let (ino, data) = (self.file(file), filled(len as usize + 1, fill));
                let mode = WriteMode::default();
                let done = fs.write_file(&ROOT, ino, u64::from(offset), &data, mode);
                (done, self.model.write(ino, offset as usize, &data))
            }
            Op::Truncate(file, size, is_user) => {
                let ino = self.file(file);
                let request = if is_user { USER } else { ROOT };
                let set = SetAttr {
                    size: Some(u64::from(size)),
                    ..SetAttr::default()
                };
                let done = fs.setattr(&request, ino, &set).map(|_| ());
                (done, self.model.truncate(ino, size as usize, is_user))
            }
            Op::Punch(file, offset, len) => {
                let (ino, mode) = (self.file(file), AllocateMode::PunchHole);
                let done = allocate(fs, ino, offset, len, mode);
                (
                    done,
                    self.model
                        .punch(ino, offset as usize, len as usize + 1, false),
                )
            }
            Op::Zero(file, offset, len, keep_size) => {
                let (ino, mode) = (self.file(file), AllocateMode::ZeroRange { keep_size });
                let done = allocate(fs, ino, offset, len, mode);
                (
                    done,
                    self.model
                        .punch(ino, offset as usize, len as usize + 1, !keep_size),
                )
            }
            Op::Allocate(file, offset, len) => {
                let (ino, mode) = (self.file(file), AllocateMode::Allocate);
                let done = allocate(fs, ino, offset, len, mode);
                let end = offset as usize + len as usize + 1;
                // Allocation is punching beyond all that is there: it only grows.
                (done, self.model.punch(ino, end, 0, true))
            }
            _ => unreachable!("only what changes contents comes here"),
        };
        same(done, expected);
    }

    fn copy(&mut self, from: (u8, u32), to: (u8, u32), len: u32) {
        let (from, to) = ((self.file(from.0), from.1), (self.file(to.0), to.1));
        let (from_spot, to_spot) = ((from.0, u64::from(from.1)), (to.0, u64::from(to.1)));
        let done = self
            .fs
            .copy_range(&ROOT, from_spot, to_spot, u64::from(len));
        let (from, to) = ((from.0, from.1 as usize), (to.0, to.1 as usize));
        let expected = self.model.copy(from, to, len as usize);
        let copied = expected.map(|len| len as u64);
        if same(done, copied.map(|_| ())).is_some_and(|done| done > 0) {
            assert!(copied.is_ok());
            self.take_over_blocks(to.0);
        }
    }

    /// Zeros that were allocated in memory may be shared as such, or become holes.
    fn take_over_blocks(&mut self, ino: Ino) {
        let block = self.model.block;
        let node = self.model.nodes.get_mut(&ino).unwrap();
        for (index, content) in node.data.chunks(block).enumerate() {
            let index = index as u64;
            let state = self.fs.read(&ROOT, |view| view.block(ino, index)).unwrap();
            if state == BlockState::Hole {
                assert!(content.iter().all(|byte| *byte == 0));
                node.blocks.remove(&index);
            } else {
                node.blocks.insert(index);
            }
        }
    }

    fn attributes(&mut self, op: &Op) {
        let fs = &self.fs;
        let (done, expected) = match *op {
            Op::SetXattr(node, number, len, mode) => {
                let (ino, name) = (self.node(node), attribute(number));
                let value = filled(usize::from(len), number);
                let done = fs.setxattr(&ROOT, ino, &name, &value, mode);
                (done, self.model.setxattr(ino, &name, &value, mode))
            }
            Op::RemoveXattr(node, number) => {
                let (ino, name) = (self.node(node), attribute(number));
                (
                    fs.removexattr(&ROOT, ino, &name),
                    self.model.removexattr(ino, &name),
                )
            }
            Op::Chmod(node, perm) => {
                let ino = self.node(node);
                let set = SetAttr {
                    perm: Some(perm),
                    ..SetAttr::default()
                };
                (
                    fs.setattr(&ROOT, ino, &set).map(|_| ()),
                    self.model.chmod(ino, perm),
                )
            }
            Op::Chown(node, owner) => {
                let (ino, owner) = (self.node(node), u32::from(owner));
                let set = SetAttr {
                    uid: Some(owner),
                    gid: Some(owner + 1),
                    ..SetAttr::default()
                };
                let done = fs.setattr(&ROOT, ino, &set).map(|_| ());
                (done, self.model.chown(ino, (owner, owner + 1)))
            }
            _ => unreachable!("only what changes attributes comes here"),
        };
        same(done, expected);
    }
}

fn allocate(fs: &Fixture, ino: Ino, offset: u32, len: u32, mode: AllocateMode) -> FsResult<()> {
    fs.allocate(&ROOT, ino, u64::from(offset), u64::from(len) + 1, mode)
}

/// Both succeed, or both fail with the same variant.
fn same<T>(done: FsResult<T>, expected: Outcome<()>) -> Option<T> {
    match (done, expected) {
        (Ok(value), Ok(())) => Some(value),
        (Err(error), Err(expected)) if variant(&error) == expected => None,
        (done, expected) => {
            panic!(
                "{:?} where {expected:?} was expected",
                done.map(|_| ()).map_err(|e| variant(&e))
            )
        }
    }
}

/// The volume shows what the model has, from every side.
fn compare(volume: &Volume, model: &Model) {
    assert_eq!(volume.counts().inodes, model.nodes.len() as u64);
    for (ino, node) in &model.nodes {
        let attr = volume.getattr(&ROOT, *ino).unwrap();
        let owner = (attr.uid, attr.gid);
        assert_eq!(
            (attr.kind, attr.perm, owner),
            (node.kind, node.perm, node.owner),
            "{ino}"
        );
        assert_eq!(attr.nlink, node.nlink, "names of inode {ino}");
        let blocks = attr.blocks_512 * 512 / model.block as u64;
        assert_eq!(blocks, node.blocks.len() as u64, "blocks of inode {ino}");
        match node.kind {
            FileKind::Regular => {
                assert_eq!(attr.size, node.data.len() as u64, "size of inode {ino}");
                let content = volume.read_file(&ROOT, *ino, 0, usize::MAX).unwrap();
                assert!(content == node.data, "content of inode {ino}");
            }
            FileKind::Symlink => assert_eq!(volume.readlink(&ROOT, *ino).unwrap(), node.data),
            FileKind::Directory if node.nlink > 0 => compare_folder(volume, *ino, node),
            _ => {}
        }
        let list = volume.listxattr(&ROOT, *ino).unwrap();
        let mut names: Vec<&[u8]> = list.split_inclusive(|byte| *byte == 0).collect();
        names.sort();
        let expected: Vec<Vec<u8>> = node
            .xattrs
            .keys()
            .map(|name| [name, b"\0".as_slice()].concat())
            .collect();
        assert_eq!(names, expected);
        for (name, value) in &node.xattrs {
            assert!(volume.getxattr(&ROOT, *ino, name).unwrap() == *value);
        }
    }
}

fn compare_folder(volume: &Volume, ino: Ino, node: &super::model::Node) {
    let mut listed = Vec::new();
    volume
        .readdir_plus(&ROOT, ino, 0, &mut |entry, attr| {
            assert_eq!((entry.ino, entry.kind), (attr.ino, attr.kind));
            listed.push((entry.name.to_vec(), entry.ino));
            true
        })
        .unwrap();
    let mut expected = vec![(b".".to_vec(), ino), (b"..".to_vec(), node.parent)];
    assert_eq!(listed[..2], expected);
    expected = node
        .entries
        .iter()
        .map(|(name, ino)| (name.clone(), *ino))
        .collect();
    let mut entries = listed.split_off(2);
    entries.sort();
    assert_eq!(entries, expected);
    for (name, found) in &expected {
        assert_eq!(volume.lookup(&ROOT, ino, name).unwrap().ino, *found);
    }
    assert_eq!(volume.lookup(&ROOT, ino, b"..").unwrap().ino, node.parent);
}

fn run(block: u32, ops: &[Op]) {
    let mut run = Run::new(block);
    for op in ops {
        run.apply(op);
    }
    compare(&run.fs, &run.model);
    run.fs.checkpoint();
    compare(&run.fs, &run.model);
    for (snapshot, model) in &run.snapshots {
        compare(snapshot, model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Random operations on a volume with small blocks do what they do in the model.
    #[test]
    fn model_with_blocks_of_4_kib(ops in prop::collection::vec(op(), 1..150)) {
        run(4096, &ops);
    }

    /// And with the default block size.
    #[test]
    fn model_with_blocks_of_8_kib(ops in prop::collection::vec(op(), 1..150)) {
        run(8192, &ops);
    }
}
