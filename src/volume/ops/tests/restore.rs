//! Files that are put back are what they were, whatever became of the volume meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{RestoreError, RestoreOptions, Restored, SetAttr, Unwatched, Watch, XattrMode};
use super::states::{Chaos, Node, Tree, sealed};
use super::*;
use crate::base::SplitMix64;
use crate::base::progress::{Progress, Silent};
use crate::tree::TreeRoot;
use crate::volume::Frozen;

fn options(paths: &[&str], to: Option<&str>, force: bool) -> RestoreOptions {
    RestoreOptions {
        paths: paths.iter().map(|path| path.parse().unwrap()).collect(),
        to: to.map(|to| to.parse().unwrap()),
        force,
    }
}

fn restore(
    s: &Fixture,
    root: Option<TreeRoot>,
    options: &RestoreOptions,
) -> Result<Restored, RestoreError> {
    restore_with(s, root, options, &Unwatched, &Silent)
}

fn restore_with(
    s: &Fixture,
    root: Option<TreeRoot>,
    options: &RestoreOptions,
    watch: &dyn Watch,
    progress: &dyn Progress,
) -> Result<Restored, RestoreError> {
    let source = Frozen::new(&*s.bench.shared.nodes, root, BLOCK as u32);
    let _pin = s.pin();
    s.restore(&source, options, watch, progress)
}

/// What is to be equal of an inode. Not its blocks: one of zeros may have become a hole; and not
/// the number of a folder's entries: what came later stays in it.
fn facts(node: &Node) -> impl PartialEq + std::fmt::Debug + use<> {
    let attr = &node.attr;
    let owner = (attr.kind, attr.perm, attr.uid, attr.gid, attr.mtime);
    let content = (blake3::hash(&node.content), node.target.clone());
    let size = match attr.kind {
        FileKind::Directory => 0,
        _ => attr.size,
    };
    (owner, size, content, node.xattrs.clone())
}

/// Every path of `then` is below `prefix` in `now` what it was, hard links among them.
#[track_caller]
fn assert_back(seed: u64, then: &Tree, now: &Tree, prefix: &str) {
    let (old, new) = (then.paths(), now.paths());
    let mut links: BTreeMap<Ino, BTreeSet<Ino>> = BTreeMap::new();
    for (path, ino) in &old {
        let there = new.get(&format!("{prefix}{path}"));
        let there = *there.unwrap_or_else(|| panic!("seed {seed}: {path} is missing"));
        let (old, new) = (&then.nodes[ino], &now.nodes[&there]);
        assert_eq!(facts(new), facts(old), "seed {seed}: {path}");
        links.entry(*ino).or_default().insert(there);
    }
    let made: Vec<&BTreeSet<Ino>> = links.values().collect();
    assert!(
        made.iter().all(|it| it.len() == 1),
        "seed {seed}: {links:?}"
    );
    let distinct: BTreeSet<&Ino> = made.into_iter().flatten().collect();
    assert_eq!(distinct.len(), links.len(), "seed {seed}: {links:?}");
}

fn stored_bytes(s: &Fixture) -> u64 {
    s.bench.shared.store.stats().stored_bytes
}

/// Below another folder everything comes back, shares all its blocks, and touches nothing else.
#[test]
fn everything_comes_back_below_another_folder() {
    for seed in 0..30 {
        let s = Fixture::new();
        let mut chaos = Chaos(SplitMix64::new(seed));
        chaos.run(&s, 80);
        let (_, root) = sealed(&s, &s);
        let then = Tree::walk(&s);
        chaos.run(&s, 40);
        let back = s.folder(Ino::ROOT, "back");
        let between = Tree::walk(&s);
        let stored = stored_bytes(&s);

        let told = restore(&s, root, &options(&[], Some("/back"), false)).unwrap();

        assert_eq!(stored_bytes(&s), stored, "seed {seed}: blocks are shared");
        let now = Tree::walk(&s);
        for (path, ino) in then.paths() {
            let made = now.paths()[&format!("/back{path}")];
            let blocks = |tree: &Tree, ino: Ino| tree.nodes[&ino].attr.blocks_512;
            assert_eq!(
                blocks(&now, made),
                blocks(&then, ino),
                "seed {seed}: {path}"
            );
        }
        assert_eq!(told.created, then.names.len() as u64, "seed {seed}");
        assert_back(seed, &then, &now, "/back");
        for (ino, node) in &between.nodes {
            if *ino != back {
                assert!(now.nodes[ino] == *node, "seed {seed}: inode {ino}");
            }
        }
    }
}

/// In its place everything comes back but for what would have to be removed, and what came later
/// stays; where a folder is in the way nothing is changed at all.
#[test]
fn everything_comes_back_in_its_place() {
    let (mut done, mut refused) = (0, 0);
    for seed in 0..60 {
        let s = Fixture::new();
        let mut chaos = Chaos(SplitMix64::new(seed));
        chaos.run(&s, 60);
        let (_, root) = sealed(&s, &s);
        let then = Tree::walk(&s);
        chaos.run(&s, 15);
        // What exists only in memory counts as different; here some does and some does not.
        if seed % 2 == 0 {
            s.checkpoint();
        }
        let between = Tree::walk(&s);
        let told = restore(&s, root, &options(&[], None, true));
        let now = Tree::walk(&s);
        match told {
            Ok(_) => {
                done += 1;
                assert_back(seed, &then, &now, "");
                let paths = now.paths();
                for path in between.paths().keys() {
                    assert!(paths.contains_key(path), "seed {seed}: {path} is lost");
                }
                let again = restore(&s, root, &options(&[], None, true)).unwrap();
                let expected = Restored {
                    same: again.same,
                    compared_bytes: again.compared_bytes,
                    ..Restored::default()
                };
                if seed % 2 == 0 {
                    assert_eq!(again, expected, "seed {seed}");
                }
            }
            Err(RestoreError::IsFolder { .. } | RestoreError::NotFolder { .. }) => {
                refused += 1;
                assert!(
                    now.nodes == between.nodes,
                    "seed {seed}: refused, but changed"
                );
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
        s.assert_sound();
    }
    assert!(done > 5 && refused > 0, "{done} done, {refused} refused");
}

/// A file of many blocks and with many attributes takes several transactions, and appears whole.
#[test]
fn a_large_file_appears_whole_or_not_at_all() {
    let s = Fixture::new();
    let file = s.file(Ino::ROOT, "large");
    let content = SplitMix64::new(7).bytes(3000 * BLOCK as usize + 77);
    s.write(file, 0, &content);
    s.write(file, 20_000 * BLOCK, b"behind a hole");
    for number in 0..8 {
        let name = format!("user.{number}");
        let value = vec![number; 60_000];
        s.setxattr(&ROOT, file, name.as_bytes(), &value, XattrMode::Any)
            .unwrap();
    }
    let then = Tree::walk(&s);
    let (_, root) = sealed(&s, &s);
    s.unlink(&ROOT, Ino::ROOT, b"large").unwrap();
    s.forget(0, file).unwrap();
    s.assert_sound();
    let inodes = s.counts().inodes;

    let all = options(&["large"], None, false);
    for after in 1..5 {
        let progress = Impatient::new(after);
        let broken = restore_with(&s, root, &all, &Unwatched, &progress).unwrap_err();
        assert!(matches!(broken, RestoreError::BrokenOff), "{broken}");
        assert_eq!(s.counts().inodes, inodes, "after {after}");
        assert!(s.find(Ino::ROOT, "large").is_err());
        s.assert_sound();
    }
    let told = restore(&s, root, &all).unwrap();
    assert_eq!((told.created, told.created_bytes), (1, 3002 * BLOCK));
    assert_back(0, &then, &Tree::walk(&s), "");
}

/// Nobody waits any more after so many steps.
struct Impatient {
    steps: AtomicU64,
}

impl Impatient {
    fn new(steps: u64) -> Impatient {
        Impatient {
            steps: AtomicU64::new(steps),
        }
    }
}

impl Progress for Impatient {
    fn update(&self, done: u64, total: u64) {
        assert!(done <= total, "{done} of {total}");
        self.steps.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.steps.load(Ordering::Relaxed) == 0
    }
}

/// Of a file that exists only the blocks that differ are changed, and it is told how many.
#[test]
fn what_exists_is_changed_where_it_differs() {
    let s = Fixture::new();
    let file = s.file(Ino::ROOT, "file");
    s.write(file, 0, &SplitMix64::new(1).bytes(2500 * BLOCK as usize));
    let then = Tree::walk(&s);
    let (_, root) = sealed(&s, &s);
    let forced = options(&["file"], None, true);
    let back = |changed: u64, compared: u64| {
        s.checkpoint();
        let told = restore(&s, root, &forced).unwrap();
        assert_eq!(
            (told.changed_bytes, told.compared_bytes, told.created),
            (changed, compared, 0)
        );
        let now = Tree::walk(&s);
        assert_eq!(now.names[&(Ino::ROOT, b"file".to_vec())], file, "in place");
        assert_back(0, &then, &now, "");
        s.assert_sound();
    };
    back(0, 2500 * BLOCK);
    s.write(file, 3, b"x");
    s.write(file, 2000 * BLOCK + 5, b"x");
    back(2 * BLOCK, 2500 * BLOCK);
    // Longer, shorter, holes.
    s.write(file, 2500 * BLOCK + 100, b"longer");
    back(106, 2500 * BLOCK + 106);
    let size = |size| SetAttr {
        size: Some(size),
        ..SetAttr::default()
    };
    s.setattr(&ROOT, file, &size(2490 * BLOCK + 1)).unwrap();
    back(10 * BLOCK, 2500 * BLOCK);
    s.allocate(
        &ROOT,
        file,
        0,
        7 * BLOCK,
        super::super::AllocateMode::PunchHole,
    )
    .unwrap();
    back(7 * BLOCK, 2500 * BLOCK);
    // Only attributes.
    let chmod = SetAttr {
        perm: Some(0o600),
        ..SetAttr::default()
    };
    s.setattr(&ROOT, file, &chmod).unwrap();
    back(0, 2500 * BLOCK);
}

/// A file that ends within a block is put back with zeros behind its end.
#[test]
fn bytes_behind_the_end_do_not_come_back() {
    let s = Fixture::new();
    let file = s.file(Ino::ROOT, "file");
    s.write(file, 0, &[1; 100]);
    let (_, root) = sealed(&s, &s);
    s.write(file, 0, &[2; 5000]);
    restore(&s, root, &options(&["file"], None, true)).unwrap();
    assert_eq!(s.content(file), [1; 100]);
    let grow = SetAttr {
        size: Some(5000),
        ..SetAttr::default()
    };
    s.setattr(&ROOT, file, &grow).unwrap();
    assert_eq!(s.content(file)[100..], [0; 4900]);
}

/// Wrong paths and what is in the way are told by name, before anything is changed.
#[test]
fn what_cannot_be_put_back_is_refused_first() {
    let s = Fixture::new();
    let folder = s.folder(Ino::ROOT, "folder");
    for number in 0..7 {
        s.file(folder, &format!("f{number}"));
    }
    s.file(Ino::ROOT, "missing-later");
    s.symlink(&ROOT, Ino::ROOT, b"link", b"folder").unwrap();
    let (_, root) = sealed(&s, &s);
    s.unlink(&ROOT, Ino::ROOT, b"missing-later").unwrap();
    let before = Tree::walk(&s);
    let refused = |paths: &[&str], to, force| {
        let error = restore(&s, root, &options(paths, to, force)).unwrap_err();
        let now = Tree::walk(&s);
        assert!(
            now.nodes == before.nodes && now.names == before.names,
            "{error}"
        );
        error.to_string()
    };
    let first = first_five(&s, folder);
    assert_eq!(
        refused(&["missing-later", "folder"], None, false),
        format!("in the volume there is already {first}, and 2 more")
    );
    assert_eq!(
        refused(&["missing-later", "none"], None, true),
        "the snapshot has no '/none'"
    );
    for path in ["folder/none", "none/f0", "folder/f0/deeper", "link/f0"] {
        let told = refused(&[path], None, true);
        assert_eq!(told, format!("the snapshot has no '/{path}'"));
    }
    assert_eq!(
        refused(&["folder"], Some("/nowhere/else"), false),
        "the volume has no folder '/nowhere/else'"
    );
    assert_eq!(
        refused(&["folder"], Some("/link"), false),
        "'/link' exists in the volume and is no folder"
    );

    s.folder(Ino::ROOT, "missing-later");
    for number in 0..7 {
        s.unlink(&ROOT, folder, format!("f{number}").as_bytes())
            .unwrap();
    }
    s.rmdir(&ROOT, Ino::ROOT, b"folder").unwrap();
    s.file(Ino::ROOT, "folder");
    let told = |path| {
        restore(&s, root, &options(&[path], None, true))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        told("missing-later"),
        "'/missing-later' is a folder in the volume, and none in the snapshot"
    );
    assert_eq!(
        told("folder/f1"),
        "'/folder' exists in the volume and is no folder"
    );
}

/// The first names of a folder in its own order, as messages have them.
fn first_five(s: &Fixture, folder: Ino) -> String {
    let names = super::states::names(s, folder);
    let named = names.iter().take(5);
    let named = named.map(|(name, _, _)| format!("'/folder/{}'", String::from_utf8_lossy(name)));
    named.collect::<Vec<_>>().join(", ")
}

/// Somebody has everything open.
struct InUse;

impl Watch for InUse {
    fn lets_go(&self, _folder: Ino, _name: &[u8], _ino: Ino) -> bool {
        false
    }

    fn name_changed(&self, _folder: Ino, _name: &[u8]) {}

    fn inode_changed(&self, _ino: Ino) {}
}

/// A file in use is changed as long as it keeps its size: another one would not be seen.
#[test]
fn the_size_of_a_file_in_use_stays() {
    let s = Fixture::new();
    let file = s.file(Ino::ROOT, "file");
    s.write(file, 0, &[1; 3 * BLOCK as usize]);
    let (_, root) = sealed(&s, &s);
    s.write(file, BLOCK, &[2; 10]);
    let forced = options(&["file"], None, true);
    restore_with(&s, root, &forced, &InUse, &Silent).unwrap();
    assert_eq!(s.content(file), [1; 3 * BLOCK as usize]);

    s.write(file, 3 * BLOCK, b"longer");
    let error = restore_with(&s, root, &forced, &InUse, &Silent).unwrap_err();
    assert!(matches!(error, RestoreError::InUse { .. }), "{error}");
    assert_eq!(s.content(file).len(), 3 * BLOCK as usize + 6);
}

/// Folders on the way are made as they were, and a path that lies in another one counts once.
#[test]
fn folders_on_the_way_are_made() {
    let s = Fixture::new();
    let outer = s.folder(Ino::ROOT, "outer");
    let inner = s.folder(outer, "inner");
    s.file(inner, "wanted");
    s.file(inner, "unwanted");
    s.file(outer, "unwanted");
    let chmod = SetAttr {
        perm: Some(0o2750),
        uid: Some(7),
        ..SetAttr::default()
    };
    s.setattr(&ROOT, outer, &chmod).unwrap();
    let (_, root) = sealed(&s, &s);
    s.mv(
        (Ino::ROOT, "outer"),
        (Ino::ROOT, "away"),
        RenameMode::Replace,
    )
    .unwrap();

    let wanted = options(
        &["outer/inner/wanted", "/outer/./inner", "outer/inner/wanted"],
        None,
        false,
    );
    let told = restore(&s, root, &wanted).unwrap();

    assert_eq!(told.created, 4);
    let made = s.find(Ino::ROOT, "outer").unwrap();
    assert_ne!(made, outer);
    assert_eq!((s.attr(made).perm, s.attr(made).uid), (0o2750, 7));
    assert_eq!(s.names(made), ["inner"]);
    let made = s.find(made, "inner").unwrap();
    assert_eq!(s.names(made), ["unwanted", "wanted"]);
}
