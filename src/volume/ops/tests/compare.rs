//! What differs is what two full walks show, and costs what differs.

use std::collections::BTreeMap;

use super::super::{Aspect, Difference, How, SetAttr, compare};
use super::states::{Chaos, Node, Tree, branch, sealed};
use super::*;
use crate::base::SplitMix64;
use crate::tree::{CountedNodes, TreeRoot};
use crate::volume::Frozen;

type Named = (Ino, Vec<u8>);

/// The difference from two states that were walked in full, content and all.
struct Plain<'a> {
    a: &'a Tree,
    b: &'a Tree,
    told: Vec<Difference>,
}

fn word(kind: FileKind) -> String {
    let word = match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "folder",
        FileKind::Symlink => "link",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice | FileKind::BlockDevice => "device",
    };
    word.to_owned()
}

fn size(node: &Node) -> u64 {
    match node.attr.kind {
        FileKind::Directory => 0,
        _ => node.attr.size,
    }
}

fn changed_bytes(a: &[u8], b: &[u8]) -> u64 {
    let end = a.len().max(b.len());
    let byte = |of: &[u8], at: usize| of.get(at).copied().unwrap_or(0);
    let differs = |from: usize, to: usize| (from..to).any(|at| byte(a, at) != byte(b, at));
    (0..end)
        .step_by(BLOCK as usize)
        .map(|from| (from, (from + BLOCK as usize).min(end)))
        .filter(|(from, to)| differs(*from, *to))
        .map(|(from, to)| (to - from) as u64)
        .sum()
}

fn aspects(a: &Node, b: &Node) -> Vec<Aspect> {
    let is_folder = b.attr.kind == FileKind::Directory;
    let owner = |node: &Node| (node.attr.uid, node.attr.gid);
    [
        (
            Aspect::Content,
            (&a.content, &a.target) != (&b.content, &b.target),
        ),
        (Aspect::Mode, a.attr.perm != b.attr.perm),
        (Aspect::Owner, owner(a) != owner(b)),
        (Aspect::Times, !is_folder && a.attr.mtime != b.attr.mtime),
        (Aspect::Attributes, a.xattrs != b.xattrs),
    ]
    .into_iter()
    .filter_map(|(aspect, is)| is.then_some(aspect))
    .collect()
}

fn stored_bytes(node: &Node) -> u64 {
    (node.attr.blocks_512 * 512).min(size(node))
}

impl Plain<'_> {
    fn push(&mut self, change: How, path: String, a: Option<&Node>, b: Option<&Node>) {
        let node = b.or(a).unwrap();
        self.told.push(Difference {
            change,
            path,
            from: None,
            kind: word(node.attr.kind),
            size_before: a.map(size),
            size_after: b.map(size),
            bytes_changed: 0,
            aspects: Vec::new(),
            hard_link: false,
            replaced: false,
        });
    }

    fn with(&mut self, change: impl FnOnce(&mut Difference)) {
        change(self.told.last_mut().unwrap());
    }

    fn tell(mut self) -> Vec<Difference> {
        let (a, b) = (self.a, self.b);
        let is_same = |named: &Named, ino: &Ino, other: &Tree| {
            other.names.get(named) == Some(ino) && a.is_one(b, named.0) && a.is_one(b, *ino)
        };
        let mut lost = a.names.clone();
        lost.retain(|named, ino| !is_same(named, ino, b));
        let mut gained = b.names.clone();
        gained.retain(|named, ino| !is_same(named, ino, a));
        let mut told = [Vec::new(), Vec::new()];
        for (named, was) in lost.clone() {
            let Some(is) = gained.get(&named).copied() else {
                continue;
            };
            let (old, new) = (&a.nodes[&was], &b.nodes[&is]);
            let is_file = old.attr.kind == new.attr.kind && old.attr.kind != FileKind::Directory;
            if is_file && a.is_one(b, named.0) && !a.is_one(b, was) && !a.is_one(b, is) {
                self.push(How::Changed, b.path(&named), Some(old), Some(new));
                self.with(|it| {
                    it.replaced = true;
                    it.bytes_changed = changed_bytes(&old.content, &new.content);
                    it.aspects = aspects(old, new);
                });
                told[0].push(was);
                told[1].push(is);
                lost.remove(&named);
                gained.remove(&named);
            }
        }
        let of = |names: &BTreeMap<Named, Ino>, ino: Ino| -> Vec<Named> {
            let of = names.iter().filter(|(_, other)| **other == ino);
            of.map(|(named, _)| named.clone()).collect()
        };
        let inos = a.nodes.keys().chain(b.nodes.keys());
        let inos: std::collections::BTreeSet<Ino> = inos.copied().collect();
        for ino in inos {
            let (lost, gained) = (of(&lost, ino), of(&gained, ino));
            if a.is_one(b, ino) {
                self.kept(ino, &lost, &gained);
                continue;
            }
            for (index, named) in lost.iter().enumerate() {
                let old = &a.nodes[&ino];
                let is_more = index > 0 || told[0].contains(&ino);
                self.push(How::Removed, a.path(named), Some(old), None);
                self.with(|it| {
                    it.hard_link = is_more;
                    it.bytes_changed = if is_more { 0 } else { stored_bytes(old) };
                });
            }
            for (index, named) in gained.iter().enumerate() {
                let new = &b.nodes[&ino];
                let is_more = index > 0 || told[1].contains(&ino);
                self.push(How::Added, b.path(named), None, Some(new));
                self.with(|it| {
                    it.hard_link = is_more;
                    it.bytes_changed = if is_more { 0 } else { stored_bytes(new) };
                });
            }
        }
        self.told
    }

    fn kept(&mut self, ino: Ino, lost: &[Named], gained: &[Named]) {
        let (a, b) = (self.a, self.b);
        let (old, new) = (&a.nodes[&ino], &b.nodes[&ino]);
        let aspects = aspects(old, new);
        let bytes = changed_bytes(&old.content, &new.content);
        let pairs = lost.len().min(gained.len());
        for (index, (from, to)) in lost.iter().zip(gained).enumerate() {
            self.push(How::Renamed, b.path(to), Some(old), Some(new));
            self.with(|it| {
                it.from = Some(a.path(from));
                if index == 0 {
                    it.bytes_changed = bytes;
                    it.aspects = aspects.clone();
                }
            });
        }
        if pairs == 0 && !aspects.is_empty() {
            // Under any of its names; which one is asked of the other side below.
            self.push(How::Changed, format!("?{ino}"), Some(old), Some(new));
            self.with(|it| {
                it.bytes_changed = bytes;
                it.aspects = aspects;
            });
        }
        for named in &gained[pairs..] {
            self.push(How::Added, b.path(named), None, Some(new));
            self.with(|it| it.hard_link = true);
        }
        for named in &lost[pairs..] {
            self.push(How::Removed, a.path(named), Some(old), None);
            self.with(|it| it.hard_link = true);
        }
    }
}

fn compared(fixture: &Fixture, a: Option<TreeRoot>, b: Option<TreeRoot>) -> (Vec<Difference>, u64) {
    let nodes = CountedNodes::new(&*fixture.bench.shared.nodes);
    let (a, b) = (
        Frozen::new(&nodes, a, BLOCK as u32),
        Frozen::new(&nodes, b, BLOCK as u32),
    );
    let told = compare(&a, &b, usize::MAX).unwrap().unwrap();
    (told, nodes.count())
}

#[track_caller]
fn assert_told(seed: u64, mut told: Vec<Difference>, a: &Tree, b: &Tree) {
    let sorted = told.is_sorted_by_key(|it| it.path.clone());
    assert!(sorted, "seed {seed}: by path");
    // What only changed is told under any of its names.
    let later = b.paths();
    let plain = Plain { a, b, told: vec![] };
    let mut wanted = plain.tell();
    let rename = |it: &mut Difference| {
        if it.change == How::Changed && !it.replaced && !it.path.starts_with('?') {
            let ino = if it.path == "/" {
                Ino::ROOT
            } else {
                later[&it.path]
            };
            it.path = format!("?{ino}");
        }
    };
    told.iter_mut().for_each(rename);
    let order = |it: &Difference| (it.path.clone(), it.change, it.from.clone());
    told.sort_by_key(order);
    wanted.sort_by_key(order);
    assert_eq!(told, wanted, "seed {seed}");
}

/// Over random changes the difference is that of two full walks, both ways.
#[test]
fn random_changes_are_told_as_full_walks_show_them() {
    let mut seen = Vec::new();
    for seed in 0..40 {
        let s = Fixture::new();
        let mut chaos = Chaos(SplitMix64::new(seed));
        chaos.run(&s, 60);
        for part in 0..3 {
            let before = Tree::walk(&s);
            let (_, old) = sealed(&s, &s);
            chaos.run(&s, [3, 15, 60][part]);
            let after = Tree::walk(&s);
            let (_, new) = sealed(&s, &s);
            let told = compared(&s, old, new).0;
            seen.extend(told.iter().map(|it| (it.change, it.hard_link, it.replaced)));
            assert_told(seed, told, &before, &after);
            assert_told(seed, compared(&s, new, old).0, &after, &before);
            assert_eq!(compared(&s, new, new).0, []);
        }
    }
    for kind in [
        (How::Added, false, false),
        (How::Added, true, false),
        (How::Removed, false, false),
        (How::Removed, true, false),
        (How::Changed, false, false),
        (How::Changed, false, true),
        (How::Renamed, false, false),
    ] {
        assert!(seen.contains(&kind), "{kind:?} did not occur");
    }
}

/// Two branches of one state give out the same inode numbers, and mean other files.
#[test]
fn branches_are_told_apart_though_their_numbers_are_equal() {
    for seed in 0..40 {
        let mut s = Fixture::new();
        // The other branch's counts are its own.
        s.ends_sound = true;
        let mut chaos = Chaos(SplitMix64::new(seed));
        chaos.run(&s, 30);
        let (layer, _) = sealed(&s, &s);
        let branch = branch(&s, layer);
        let twin = Chaos(chaos.0.clone());
        chaos.run(&s, 30);
        let mut other = match seed % 2 {
            // The same changes on both: equal names of other files.
            0 => twin,
            _ => Chaos(SplitMix64::new(seed + 1000)),
        };
        other.run(&branch, 30);
        let (ours, theirs) = (Tree::walk(&s), Tree::walk(&branch));
        let ((_, a), (_, b)) = (sealed(&s, &s), sealed(&s, &branch));
        assert_told(seed, compared(&s, a, b).0, &ours, &theirs);
    }
}

/// A change in a large volume is found without reading the volume.
#[test]
fn the_cost_follows_what_differs() {
    let s = Fixture::new();
    let mut last = Ino::ROOT;
    for number in 0..100 {
        let folder = s.folder(Ino::ROOT, &format!("folder-{number}"));
        for file in 0..100 {
            last = s.file(folder, &format!("file-{file}"));
        }
    }
    let big = s.file(Ino::ROOT, "big");
    let mut random = SplitMix64::new(1);
    s.write(big, 0, &random.bytes(2000 * BLOCK as usize));
    let (_, old) = sealed(&s, &s);
    let (all, in_all) = compared(&s, None, old);
    assert_eq!(all.len(), 100 + 100 * 100 + 2);

    s.write(last, 0, b"changed");
    s.write(big, 999 * BLOCK, b"changed");
    let (_, new) = sealed(&s, &s);
    let (told, read) = compared(&s, old, new);

    let told: Vec<(&str, u64)> = told
        .iter()
        .map(|it| (it.path.as_str(), it.bytes_changed))
        .collect();
    assert_eq!(told, [("/big", BLOCK), ("/folder-99/file-99", 7)]);
    assert!(read < 100 && read * 10 < in_all, "{read} of {in_all} nodes");
}

/// More differences than somebody wants are refused early.
#[test]
fn too_many_differences_are_refused() {
    let s = Fixture::new();
    for number in 0..50 {
        s.file(Ino::ROOT, &number.to_string());
    }
    let (_, root) = sealed(&s, &s);
    let nodes = &*s.bench.shared.nodes;
    let (none, all) = (
        Frozen::new(nodes, None, BLOCK as u32),
        Frozen::new(nodes, root, BLOCK as u32),
    );
    assert_eq!(compare(&none, &all, 10).unwrap(), None);
    assert_eq!(compare(&none, &all, 51).unwrap().unwrap().len(), 51);
}

/// What most tools do to save a file is one change of it, with the blocks that differ.
#[test]
fn a_file_that_was_renamed_over_is_told_as_changed() {
    let s = Fixture::new();
    let old = s.file(Ino::ROOT, "a");
    s.write(old, 0, &[1; 3 * BLOCK as usize]);
    let (_, before) = sealed(&s, &s);
    let new = s.file(Ino::ROOT, ".a.tmp");
    s.write(new, 0, &[1; 3 * BLOCK as usize]);
    s.write(new, BLOCK, &[2; 10]);
    let set = SetAttr {
        mtime: Some(super::super::SetTime::At(s.attr(old).mtime)),
        ..SetAttr::default()
    };
    s.setattr(&ROOT, new, &set).unwrap();
    s.mv((Ino::ROOT, ".a.tmp"), (Ino::ROOT, "a"), RenameMode::Replace)
        .unwrap();
    let (_, after) = sealed(&s, &s);
    let (told, _) = compared(&s, before, after);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].replaced);
    assert_eq!(
        (told[0].change, told[0].bytes_changed),
        (How::Changed, BLOCK)
    );
    assert_eq!(told[0].aspects, [Aspect::Content]);
}
