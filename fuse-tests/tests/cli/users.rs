//! A normal user with fusermount3.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use fuse_tests::fixture::{binary, text};
use fuse_tests::{Fixture, Ran, run};

use crate::{USAGE, assert_says};

const USER: u32 = 65534;

/// Gives the user the device as udev would, in a mount namespace of its own, and becomes the user.
const BECOME_USER: &str = "mount --bind \"$0/fuse\" /dev/fuse && \
    exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -e -c \"$1\"";

/// A folder that belongs to a normal user, with a copy of the program that it may run.
struct Home {
    fixture: Fixture,
    path: PathBuf,
}

impl Home {
    fn new() -> Home {
        let fixture = Fixture::new();
        let path = fixture.folder().join("home");
        for folder in [path.clone(), path.join("mnt")] {
            fs::create_dir(&folder).unwrap();
            chown(&folder, Some(USER), Some(USER)).unwrap();
        }
        let program = fixture.folder().join("volfs");
        fs::copy(binary(), &program).unwrap();
        fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
        let device = fixture.folder().join("fuse");
        run(Command::new("mknod").args(["-m", "666", text(&device), "c", "10", "229"])).ok();
        Home { fixture, path }
    }

    /// Runs a script as the user. Its mounts are seen by this script only, and its daemon has to
    /// be stopped by it, which `trap` does when the script fails.
    fn shell(&self, script: &str) -> Ran {
        let script =
            format!("trap 'volfs daemon stop --force >/dev/null 2>&1 || true' EXIT; {script}");
        run(Command::new("unshare")
            .args([
                "--mount",
                "sh",
                "-c",
                BECOME_USER,
                text(self.fixture.folder()),
                &script,
            ])
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.fixture.folder().display()),
            )
            .env("HOME", &self.path)
            .env_remove("XDG_DATA_HOME")
            .current_dir("/"))
    }
}

/// A normal user mounts through fusermount3, in a pool in the user's data folder, and is told
/// what to add to /etc/fuse.conf so that containers see the mount.
#[test]
fn normal_user_mounts_a_volume() {
    let home = Home::new();
    let ran = home.shell(
        "volfs volume create data; volfs mount data ~/mnt; grep \" $HOME/mnt \" /proc/mounts; \
         echo mine > ~/mnt/file; volfs umount data; ls -A ~/mnt; \
         volfs mount data ~/mnt; cat ~/mnt/file; volfs umount data; stat -c %u ~/.local/share/volfs",
    );
    let (stdout, stderr) = (ran.clone().ok(), ran.stderr);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{stdout}");
    assert!(lines[1].starts_with(&format!("data {}/mnt fuse.volfs ", text(&home.path))));
    assert_eq!((lines[0], lines[2], lines[3]), ("data", "mine", "65534"));
    let allowed = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    if !allowed
        .lines()
        .any(|line| line.trim() == "user_allow_other")
    {
        assert_says(
            &stderr,
            &["user_allow_other", "/etc/fuse.conf", "containers"],
        );
    }
}

/// suid and dev mounts are for root.
#[test]
fn normal_user_cannot_mount_with_suid() {
    let home = Home::new();
    let ran = home.shell("volfs volume create data; volfs mount -o suid data ~/mnt");
    assert_eq!(ran.code, USAGE, "{ran:?}");
    assert_says(&ran.stderr, &["root"]);
}

/// A pool that belongs to somebody else is not opened.
#[test]
fn foreign_pool_is_refused() {
    let home = Home::new();
    home.fixture.ok(&["volume", "create", "data"]);
    let ran = home.shell(&format!(
        "volfs --pool {} volume ls",
        text(home.fixture.pool())
    ));
    assert_ne!(ran.code, 0);
    assert_says(&ran.stderr, &[text(home.fixture.pool()), "ermission"]);
}
