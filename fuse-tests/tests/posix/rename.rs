//! Renames of every kind, on a volume as on ext4.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use fuse_tests::{Beside, Seen, User};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

fn rename(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, flags)?)
}

/// What stands at a name: kind, links, and a file's content.
fn what_is(path: &Path) -> io::Result<(char, u64, String)> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let shown = match kind {
        kind if kind.is_dir() => 'd',
        kind if kind.is_symlink() => 'l',
        kind if kind.is_fifo() => 'p',
        kind if kind.is_char_device() => 'c',
        _ => 'f',
    };
    let content = match shown {
        'f' => fs::read_to_string(path)?,
        'l' => fs::read_link(path)?.to_string_lossy().into_owned(),
        'c' => format!("{} {:o}", metadata.rdev(), metadata.mode() & 0o7777),
        _ => String::new(),
    };
    Ok((shown, metadata.nlink(), content))
}

const NAMES: [&str; 8] = [
    "file", "other", "empty", "full", "full/sub", "link", "pipe", "missing",
];

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

/// A folder with one of everything.
fn fill(root: &Path) {
    fs::create_dir(root).unwrap();
    fs::write(root.join("file"), "file").unwrap();
    fs::write(root.join("other"), "other").unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::create_dir_all(root.join("full/sub")).unwrap();
    fs::write(root.join("full/inner"), "inner").unwrap();
    symlink("file", root.join("link")).unwrap();
    mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
}

/// Everything over everything, with every flag: the errors, and what stands where afterwards.
#[test]
fn everything_is_renamed_over_everything() {
    let flags = [
        ("plain", RenameFlags::empty()),
        ("noreplace", RenameFlags::NOREPLACE),
        ("exchange", RenameFlags::EXCHANGE),
        ("whiteout", RenameFlags::WHITEOUT),
        (
            "whiteout-noreplace",
            RenameFlags::WHITEOUT | RenameFlags::NOREPLACE,
        ),
        (
            "whiteout-exchange",
            RenameFlags::WHITEOUT | RenameFlags::EXCHANGE,
        ),
        ("all", RenameFlags::all()),
        ("unknown", RenameFlags::from_bits_retain(8)),
    ];
    let beside = Beside::new();
    let each = |root: &Path, look: &mut dyn FnMut(&Path, &str, &str, RenameFlags)| {
        for (how, flags) in flags {
            for from in NAMES {
                for to in NAMES.iter().copied().chain(["full/sub/deep", "."]) {
                    let folder = root.join(format!("{how}-{from}-{to}").replace('/', "+"));
                    look(&folder, from, to, flags);
                }
            }
        }
    };
    let look = |folder: &Path, seen: &mut Seen| {
        let name = name_of(folder);
        for entry in NAMES {
            seen.value(format!("{name}: {entry}"), what_is(&folder.join(entry)));
        }
        seen.value(
            format!("{name}: links"),
            fs::metadata(folder).map(|it| it.nlink()),
        );
        let parent = fs::metadata(folder.join("full/..")).map(|it| it.ino());
        let own = fs::metadata(folder).map(|it| it.ino());
        seen.fact(format!("{name}: the parent"), parent.ok() == own.ok());
    };
    beside.compare(|root, seen| {
        each(root, &mut |folder, from, to, flags| {
            fill(folder);
            let renamed = rename(&folder.join(from), &folder.join(to), flags);
            seen.call(format!("{}: the call", name_of(folder)), renamed);
            look(folder, seen);
        });
    });
    beside.remount();
    beside.compare(|root, seen| each(root, &mut |folder, _, _, _| look(folder, seen)));
}

/// A whiteout is a device that only who may make devices leaves; rename over an open file, and of
/// an open one, leaves both readable.
#[test]
fn whiteouts_and_open_files() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        fill(&root.join("a"));
        let (file, other) = (root.join("a/file"), root.join("a/other"));
        fs::set_permissions(
            root.join("a"),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )
        .unwrap();
        User::new(1000).run(|| {
            let whiteout = rename(
                &root.join("a/link"),
                &root.join("a/new"),
                RenameFlags::WHITEOUT,
            );
            seen.call("a whiteout by a normal user", whiteout);
            let device = mknodat(
                CWD,
                root.join("a/own"),
                FileType::CharacterDevice,
                Mode::empty(),
                0,
            );
            seen.call("device 0:0 by a normal user", device);
            let zero = rustix::fs::makedev(1, 5);
            let device = mknodat(
                CWD,
                root.join("a/zero"),
                FileType::CharacterDevice,
                Mode::empty(),
                zero,
            );
            seen.call("another device by a normal user", device);
        });
        let (mut from, mut over) = (File::open(&file).unwrap(), File::open(&other).unwrap());
        seen.call("over an open file", fs::rename(&file, &other));
        for (what, file) in [("the moved", &mut from), ("the replaced", &mut over)] {
            let mut content = String::new();
            seen.call(format!("read {what}"), file.read_to_string(&mut content));
            seen.fact(what, (content, file.metadata().unwrap().nlink()));
        }
        let (one, two) = (root.join("a/empty"), root.join("a/full"));
        seen.call(
            "a folder into its child",
            fs::rename(&two, two.join("sub/x")),
        );
        seen.call(
            "exchange with its child",
            rename(&two, &two.join("sub"), RenameFlags::EXCHANGE),
        );
        seen.call("over its parent", fs::rename(two.join("sub"), &two));
        seen.call("onto itself", fs::rename(&two, &two));
        seen.call("to dot dot", fs::rename(&two, root.join("a/..")));
        seen.call("from dot", fs::rename(two.join("."), &one));
        seen.call(
            "a file with a slash",
            fs::rename(&other, root.join("a/dest/")),
        );
        seen.call(
            "a folder with a slash",
            fs::rename(&one, root.join("a/dest/")),
        );
        seen.call("a hard link", fs::hard_link(&other, root.join("a/second")));
        seen.call(
            "over another name of it",
            fs::rename(&other, root.join("a/second")),
        );
        seen.value("both stay", what_is(&other));
        seen.call(
            "out of the filesystem",
            fs::rename(&other, std::env::temp_dir().join("volfs-x")),
        );
    });
}
