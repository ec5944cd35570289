//! Fixed scripts that together cover every family of operations: what is there, and what is done
//! while something goes wrong.

use super::acl;
use super::change::{BLOCK, Change};
use super::steps::Done;
use super::world::World;
use crate::base::{SplitMix64, Timestamp};
use crate::volume::ops::{FileKind, XattrMode};

type Script = fn(&mut World) -> Done;

/// A script.
pub(in crate::pool::tests) struct Scene {
    pub(super) name: &'static str,
    /// Nothing goes wrong here.
    pub(super) prepare: Script,
    pub(super) act: Script,
}

/// All scripts.
pub(in crate::pool::tests) const SCENES: [Scene; 18] = [
    Scene {
        name: "names",
        prepare: some_files,
        act: names,
    },
    Scene {
        name: "content",
        prepare: some_files,
        act: content,
    },
    Scene {
        name: "attributes",
        prepare: some_files,
        act: attributes,
    },
    Scene {
        name: "copies",
        prepare: sealed_files,
        act: copies,
    },
    Scene {
        name: "volume create",
        prepare: nothing,
        act: volume_create,
    },
    Scene {
        name: "volume rm",
        prepare: two_snapshots,
        act: volume_rm,
    },
    Scene {
        name: "trash",
        prepare: two_snapshots,
        act: trash,
    },
    Scene {
        name: "checkpoint",
        prepare: dirty_files,
        act: checkpoint,
    },
    Scene {
        name: "journal recycling",
        prepare: full_journal,
        act: recycle_journal,
    },
    Scene {
        name: "segment rollover",
        prepare: dirty_files,
        act: segment_rollover,
    },
    Scene {
        name: "snapshot of three volumes",
        prepare: three_volumes,
        act: snapshot_of_three,
    },
    Scene {
        name: "snapshot rm",
        prepare: two_snapshots,
        act: snapshot_rm,
    },
    Scene {
        name: "rollback",
        prepare: two_snapshots,
        act: rollback,
    },
    Scene {
        name: "restore",
        prepare: two_snapshots,
        act: restore,
    },
    Scene {
        name: "clone",
        prepare: two_snapshots,
        act: clone_of_snapshot,
    },
    Scene {
        name: "clone of the live state",
        prepare: dirty_files,
        act: clone_of_live,
    },
    Scene {
        name: "a long journal",
        prepare: long_journal,
        act: nothing,
    },
    Scene {
        name: "half a journal",
        prepare: half_a_journal,
        act: nothing,
    },
];

/// The script of this name.
pub(in crate::pool::tests) fn scene(name: &str) -> &'static Scene {
    let found = SCENES.iter().find(|scene| scene.name == name);
    found.unwrap_or_else(|| panic!("no script '{name}'"))
}

fn path(name: &str) -> String {
    name.to_owned()
}

fn bytes(seed: u64, len: u64) -> Vec<u8> {
    SplitMix64::new(seed).bytes(len as usize)
}

/// A file of new bytes; from 16 blocks on they are sealed at once.
fn fill(world: &mut World, volume: &str, file: &str, seed: u64, len: u64) -> Done {
    if world.tree(volume).get(file).is_none() {
        world.change(volume, &Change::Create(path(file)))?;
    }
    world.change(volume, &Change::Write(path(file), 0, bytes(seed, len)))
}

fn all(world: &mut World, changes: &[Change]) -> Done {
    changes
        .iter()
        .try_for_each(|change| world.change("a", change))
}

fn nothing(_: &mut World) -> Done {
    Ok(())
}

fn some_files(world: &mut World) -> Done {
    world.create_volume("a")?;
    fill(world, "a", "f", 1, 9000)?;
    all(world, &[Change::Folder(path("d"))])?;
    fill(world, "a", "d/g", 2, 5 * BLOCK)?;
    world.sync("a")
}

fn sealed_files(world: &mut World) -> Done {
    some_files(world)?;
    world.checkpoint()
}

fn dirty_files(world: &mut World) -> Done {
    sealed_files(world)?;
    fill(world, "a", "f", 3, 10_000)?;
    fill(world, "a", "large", 4, 20 * BLOCK)?;
    all(world, &[Change::Rename(path("d/g"), path("g"))])
}

fn three_volumes(world: &mut World) -> Done {
    dirty_files(world)?;
    for volume in ["b", "c"] {
        world.create_volume(volume)?;
        fill(world, volume, "f", 5, 7000)?;
        fill(world, volume, "large", 6, 20 * BLOCK)?;
    }
    Ok(())
}

/// `s1` is sealed, `s2` is not.
fn two_snapshots(world: &mut World) -> Done {
    dirty_files(world)?;
    world.snapshot(&[path("a")])?;
    world.checkpoint()?;
    fill(world, "a", "f", 7, 3000)?;
    world.snapshot(&[path("a")])?;
    fill(world, "a", "f", 8, 6000)
}

/// The log stands shortly before the end of its second file, and all before is released.
fn full_journal(world: &mut World) -> Done {
    some_files(world)?;
    for round in 0..4 {
        for write in 0..20 {
            fill(world, "a", "f", round * 100 + write, 6000)?;
        }
        world.checkpoint()?;
        world.checkpoint()?;
    }
    Ok(())
}

/// Much to replay, with a cut in it, in both files of the log; the end is not synced.
fn long_journal(world: &mut World) -> Done {
    full_journal(world)?;
    for write in 0..12 {
        fill(world, "a", "f", 2000 + write, 5000)?;
        fill(world, "a", "large", 2100 + write, 17 * BLOCK)?;
        if write % 3 == 0 {
            world.sync("a")?;
        }
        if write == 5 {
            world.snapshot(&[path("a")])?;
        }
    }
    Ok(())
}

/// So much to replay that recovery publishes it.
fn half_a_journal(world: &mut World) -> Done {
    long_journal(world)?;
    let is_half = |world: &World| {
        let status = world.pool().status();
        status.journal_bytes > status.journal_capacity / 2
    };
    for write in 0.. {
        if is_half(world) {
            break;
        }
        fill(world, "a", "f", 2200 + write, 12_000)?;
    }
    Ok(())
}

fn names(world: &mut World) -> Done {
    all(
        world,
        &[
            Change::Create(path("d/new")),
            Change::Link(path("f"), path("d/h")),
            Change::Symlink(path("l"), path("d/new")),
            Change::Rename(path("d"), path("e")),
            Change::Exchange(path("f"), path("e/g")),
            Change::Remove(path("e/h")),
            Change::Folder(path("d")),
            Change::RemoveFolder(path("d")),
            Change::Special(path("e/p"), FileKind::Fifo, 0),
            Change::Special(path("v"), FileKind::BlockDevice, 0x801),
            Change::RenameNew(path("e/p"), path("p")),
            Change::RenameAway(path("e/new"), path("v")),
        ],
    )?;
    world.sync("a")?;
    all(world, &[Change::Rename(path("e/g"), path("f"))])?;
    world.checkpoint()?;
    all(world, &[Change::Remove(path("f"))])
}

fn content(world: &mut World) -> Done {
    all(
        world,
        &[
            Change::Truncate(path("f"), 4000),
            Change::Punch(path("d/g"), 3000, 9000),
            Change::Zero(path("d/g"), BLOCK, 6 * BLOCK),
            Change::Write(path("f"), 20_000, bytes(9, 700)),
            Change::Allocate(path("f"), 20_000, 2 * BLOCK),
            Change::AllocateKeepSize(path("f"), 9 * BLOCK, BLOCK),
            Change::ZeroInside(path("f"), 100, 20 * BLOCK),
        ],
    )?;
    world.sync("a")?;
    let large = Change::Write(path("d/g"), 2 * BLOCK, bytes(10, 18 * BLOCK));
    all(
        world,
        &[large, Change::Truncate(path("d/g"), 7 * BLOCK + 1)],
    )?;
    world.checkpoint()?;
    all(world, &[Change::Punch(path("d/g"), 0, 3 * BLOCK)])?;
    world.sync("a")
}

fn time(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 7 }
}

fn attributes(world: &mut World) -> Done {
    let acl = |file: &str, name: &str, grants| {
        let value = acl::acl(grants);
        Change::SetXattr(path(file), path(name), value, XattrMode::Any)
    };
    let set = |file: &str, value: &[u8], mode| {
        Change::SetXattr(path(file), path("user.x"), value.to_vec(), mode)
    };
    all(
        world,
        &[
            set("f", b"one", XattrMode::Create),
            set("f", &[7; 4000], XattrMode::Replace),
            set("d", b"two", XattrMode::Any),
            Change::Chmod(path("d"), 0o711),
            acl("d", acl::DEFAULT, [7, 5, 5, 7, 0]),
            acl("f", acl::ACCESS, [6, 4, 4, 4, 0]),
            Change::Create(path("d/heir")),
            Change::Chown(path("f"), 7, 107),
            Change::Times(path("f"), time(-1), time(1 << 33)),
        ],
    )?;
    world.checkpoint()?;
    let removed = Change::RemoveXattr(path("d"), acl::DEFAULT.to_owned());
    all(
        world,
        &[
            Change::Times(path("d"), time(5), time(6)),
            Change::Chown(path("d"), 8, 108),
            removed,
        ],
    )?;
    all(world, &[Change::RemoveXattr(path("f"), path("user.x"))])?;
    all(world, &[Change::Chmod(path("f"), 0o400)])?;
    world.sync("a")
}

fn copies(world: &mut World) -> Done {
    let (f, g) = (path("f"), path("d/g"));
    all(
        world,
        &[
            Change::Copy((g.clone(), 0), (f.clone(), 4 * BLOCK), 3 * BLOCK),
            Change::Write(g.clone(), BLOCK, bytes(11, 100)),
            Change::Copy((g.clone(), 0), (f.clone(), 0), 4 * BLOCK),
            Change::Copy((f, 10), (g, 20 * BLOCK + 3), 3000),
        ],
    )?;
    world.sync("a")?;
    world.checkpoint()
}

fn volume_create(world: &mut World) -> Done {
    world.create_volume("b")
}

fn volume_rm(world: &mut World) -> Done {
    world.remove_volume("a")?;
    world.checkpoint()
}

fn trash(world: &mut World) -> Done {
    world.keep(&(path("a"), path("s1")))?;
    world.trash_and_undelete("a")?;
    world.checkpoint()?;
    world.trash_and_undelete("a")?;
    world.trash_and_rename("a")
}

fn checkpoint(world: &mut World) -> Done {
    world.checkpoint()
}

fn recycle_journal(world: &mut World) -> Done {
    for write in 0..20 {
        fill(world, "a", "f", 1000 + write, 6000)?;
        if write % 5 == 4 {
            world.sync("a")?;
        }
    }
    Ok(())
}

fn segment_rollover(world: &mut World) -> Done {
    for file in 0..10 {
        fill(world, "a", &format!("r{file}"), 20 + file, 24 * BLOCK)?;
    }
    world.sync("a")?;
    world.checkpoint()
}

fn snapshot_of_three(world: &mut World) -> Done {
    world.snapshot(&[path("a"), path("b"), path("c")])
}

fn snapshot_rm(world: &mut World) -> Done {
    world.remove_snapshot(&(path("a"), path("s1")))?;
    world.remove_snapshot(&(path("a"), path("s2")))?;
    world.checkpoint()
}

fn rollback(world: &mut World) -> Done {
    world.rollback(&(path("a"), path("s1")))?;
    fill(world, "a", "f", 9, 2000)?;
    world.rollback(&(path("a"), path("s2")))
}

/// Of a sealed snapshot, and of one that has to be sealed first; new files, and one in place.
fn restore(world: &mut World) -> Done {
    let (sealed, fresh) = ((path("a"), path("s1")), (path("a"), path("s2")));
    all(
        world,
        &[Change::Remove(path("large")), Change::Remove(path("g"))],
    )?;
    world.restore(&sealed, "large")?;
    world.restore(&sealed, "f")?;
    all(world, &[Change::Chmod(path("f"), 0o600)])?;
    world.restore(&fresh, "g")?;
    world.restore(&fresh, "f")
}

fn clone_of_snapshot(world: &mut World) -> Done {
    world.clone_volume("a", Some(&(path("a"), path("s1"))))?;
    world.clone_volume("a", Some(&(path("a"), path("s2"))))
}

fn clone_of_live(world: &mut World) -> Done {
    world.clone_volume("a", None)
}

/// Whatever can be asked of files, volumes and the pool happens in some script while something goes
/// wrong: each kind of change and of command, by what is told of it.
#[test]
fn the_scripts_cover_every_family() {
    let mut missing = vec![
        "a: create d/new",
        "mkdir",
        "symlink",
        "a: link",
        "unlink",
        "rmdir",
        "rename d to e",
        "rename e/p to new",
        ", whiteout",
        "exchange",
        "mknod e/p Fifo",
        "mknod v BlockDevice",
        "a: write",
        "truncate",
        "punch",
        "zero d/g",
        "zero inside",
        "allocate f, 8192",
        ", same size",
        "copy",
        "Create",
        "Replace",
        "removexattr f",
        "setxattr f system.posix_acl_access",
        "setxattr d system.posix_acl_default",
        "removexattr d system.posix_acl_default",
        "chmod",
        "chown",
        "utimens",
        "a: sync",
        "checkpoint",
        "create volume",
        "remove volume",
        "trash a",
        "undelete a",
        "undelete a as ",
        "keep (\"a\", \"s1\")",
        "snapshot [\"a\", \"b\", \"c\"]",
        "remove snapshot",
        "rollback",
        "restore large of (\"a\", \"s1\")",
        "restore f of (\"a\", \"s2\")",
        "clone a (Some",
        "clone a (None)",
    ];
    for scene in &SCENES {
        let mut world = World::started(0);
        let prepared = (scene.prepare)(&mut world);
        prepared.unwrap_or_else(|failed| panic!("{}: {}", scene.name, failed.text));
        world.forget_told();
        let done = (scene.act)(&mut world);
        done.unwrap_or_else(|failed| panic!("{}: {}", scene.name, failed.text));
        missing.retain(|told| !world.has_told(told));
    }
    assert_eq!(missing, Vec::<&str>::new());
}
