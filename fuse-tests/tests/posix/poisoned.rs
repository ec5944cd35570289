//! A volume whose host disk fails beside an ext4 that fails in the same way: what is answered.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use fuse_tests::beside::{Difference, compare_roots};
use fuse_tests::promises::Page;
use fuse_tests::{Fixture, HostDisk, HostFs, Seen};
use rustix::fs::{XattrFlags, getxattr, listxattr, lsetxattr, setxattr};

/// What was there before the last mount: content that nobody has in memory, and a folder.
fn fill_cold(root: &Path) {
    fs::create_dir_all(root.join("old folder/sub")).unwrap();
    fs::write(root.join("cold"), [1; 65_536]).unwrap();
}

/// What is written before it fails and synced: the daemon has it, or the kernel.
fn fill(root: &Path) {
    fs::write(root.join("file"), "content").unwrap();
    fs::write(root.join("direct"), [2; 4096]).unwrap();
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/inner"), "").unwrap();
    for name in ["file", "direct", "folder"] {
        File::open(root.join(name)).unwrap().sync_all().unwrap();
    }
    lsetxattr(root.join("file"), "user.b", b"value", XattrFlags::empty()).unwrap();
}

/// The name of the first entry that a listing finds besides the dots.
fn list(root: &Path) -> io::Result<Option<OsString>> {
    let entry = fs::read_dir(root)?.next().transpose()?;
    Ok(entry.map(|entry| entry.file_name()))
}

/// One page past the page cache.
fn read_direct(file: &File) -> io::Result<(usize, u8)> {
    let mut page = Page([0; 4096]);
    Ok((file.read_at(&mut page.0, 0)?, page.0[4095]))
}

/// After the disk below has failed, every change and every fsync answers EIO, once and for all;
/// what the kernel or the daemon has in memory can still be read, and what lies on the disk only
/// cannot.
#[test]
fn a_poisoned_volume_answers_as_a_failed_ext4() {
    let fixture = Fixture::on_disk(HostFs::Ext4, Duration::from_secs(120));
    fixture.ok(&["volume", "create", "data"]);
    let volume = fixture.mount("data");
    let beside = fixture.folder().join("beside");
    fs::create_dir(&beside).unwrap();
    let disk = HostDisk::new(&beside, HostFs::Ext4);
    let roots = [volume.join("t"), disk.path().join("t")];
    for root in &roots {
        fill_cold(root);
    }
    // With the mount the daemon ends, and with it its cache.
    fixture.umount("data");
    fixture.mount("data");
    disk.restart();
    for root in &roots {
        fill(root);
    }
    let open_direct = |root: &Path, name: &str| {
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_DIRECT);
        options.open(root.join(name)).unwrap()
    };
    let [cold, direct] = ["cold", "direct"].map(|name| {
        let roots = roots.clone();
        roots.map(|root| open_direct(&root, name))
    });
    let held = roots.clone().map(|root| {
        File::options()
            .read(true)
            .write(true)
            .open(root.join("file"))
            .unwrap()
    });
    let unsynced = roots
        .clone()
        .map(|root| File::create(root.join("unsynced")).unwrap());
    for file in &unsynced {
        file.write_all_at(b"lost", 0).unwrap();
    }
    fixture.disk().lose_power();
    disk.lose_power();

    let of = |files: &'static str, root: &Path| -> &File {
        let side = usize::from(root != roots[0]);
        match files {
            "held" => &held[side],
            "cold" => &cold[side],
            "direct" => &direct[side],
            _ => &unsynced[side],
        }
    };
    let row = "a failed disk";
    let differs = |call, ext4, volfs| Difference {
        row,
        call,
        ext4,
        volfs,
    };
    let differences = [
        differs("write to an open file", "EIO", "ok"),
        differs("read what is cached", "EIO", "true"),
        differs("open to read", "EIO", "ok"),
        differs("read O_DIRECT what was just written", "EIO", "(4096, 2)"),
        differs("getxattr", "EIO", "5"),
    ];
    compare_roots(&roots, &differences, |root, seen: &mut Seen| {
        let path = |name: &str| root.join(name);
        seen.call("fsync what was written", of("unsynced", root).sync_all());
        seen.call("fsync it again", of("unsynced", root).sync_all());
        seen.call(
            "write to an open file",
            of("held", root).write_all_at(b"x", 0),
        );
        seen.call("fsync that", of("held", root).sync_all());
        seen.call("fdatasync that", of("held", root).sync_data());
        seen.call("truncate", of("held", root).set_len(2));
        seen.call("create", File::create(path("new")));
        seen.call("mkdir", fs::create_dir(path("sub")));
        seen.call("unlink", fs::remove_file(path("file")));
        seen.call("rmdir", fs::remove_dir(path("folder")));
        seen.call("rename", fs::rename(path("file"), path("moved")));
        seen.call("link", fs::hard_link(path("file"), path("second")));
        seen.call("symlink", std::os::unix::fs::symlink("x", path("link")));
        seen.call(
            "chmod",
            fs::set_permissions(path("folder"), Permissions::from_mode(0o700)),
        );
        seen.call(
            "setxattr",
            setxattr(path("folder"), "user.a", b"v", XattrFlags::empty()),
        );
        seen.call(
            "fsync a folder",
            File::open(root).and_then(|folder| folder.sync_all()),
        );
        seen.value(
            "stat",
            fs::metadata(path("folder")).map(|folder| folder.is_dir()),
        );
        let mut content = [0; 7];
        let read = of("held", root).read_at(&mut content, 0);
        seen.value("read what is cached", read.map(|length| length == 7));
        let opened: io::Result<File> = File::open(path("file"));
        seen.call("open to read", opened);
        seen.value(
            "read O_DIRECT what was just written",
            read_direct(of("direct", root)),
        );
        seen.value(
            "read O_DIRECT what is on the disk",
            read_direct(of("cold", root)),
        );
        seen.value("list a new folder", list(&path("folder")));
        seen.value("list a folder from before", list(&path("old folder")));
        let mut names = [0; 64];
        seen.value("listxattr", listxattr(path("file"), &mut names));
        let mut value = [0; 64];
        seen.value("getxattr", getxattr(path("file"), "user.b", &mut value));
        seen.call("look up in it", fs::metadata(path("old folder/sub")));
        seen.call("look up what is not there", fs::metadata(path("none")));
        let usage = rustix::fs::statfs(root);
        seen.call("statfs", usage);
    });
    drop((held, unsynced, cold, direct));
}
