//! Podman with everything that it keeps in the test's folder.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::containers::Engine;
use crate::fixture::text;
use crate::namespace::with_own_mounts;
use crate::run::{Ran, run};

/// By itself Podman asks for more open files and processes than a machine may allow, and for
/// control groups and a place of events of the whole machine.
const SETTINGS: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"

[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
"#;

/// The normal user of [`Podman::rootless`], whom every Debian has.
pub const USER: u32 = 65534;
/// Where that user's containers have their other ids: 1 in a container is this on the host.
pub const FIRST_ID: u32 = 200_000;

/// Grants the user these ids, as /etc/subuid and /etc/subgid do, and becomes the user.
const BECOME_USER: &str = "mount --bind \"$0\" /etc/subuid; mount --bind \"$0\" /etc/subgid; \
    exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";

/// Images and containers of one test. Dropped, they are gone.
#[derive(Debug)]
pub struct Podman {
    place: PathBuf,
    rootless: bool,
}

impl Podman {
    /// Keeps everything in a new folder `pod` in `folder`: Podman takes no path of more than 50
    /// bytes for its `--runroot`.
    #[track_caller]
    pub fn new(folder: &Path) -> Podman {
        let place = folder.join("pod");
        fs::create_dir(&place).expect("the folder above exists");
        fs::write(place.join("containers.conf"), SETTINGS).expect("the folder is new");
        Podman {
            place,
            rootless: false,
        }
    }

    /// The same for a normal user, whose root in containers is the user. Such containers see the
    /// mounts that were there before the first command.
    #[track_caller]
    pub fn rootless(folder: &Path) -> Podman {
        let mut podman = Podman::new(folder);
        podman.rootless = true;
        let ids = format!("nobody:{FIRST_ID}:65536\n");
        fs::write(podman.place.join("ids"), ids).expect("the folder is new");
        chown(&podman.place, Some(USER), Some(USER)).expect("root may");
        podman
    }

    /// The program, as the user who runs it.
    fn program(&self) -> Command {
        if !self.rootless {
            return Command::new("podman");
        }
        let folder = self.place.parent().expect("it lies in the test's folder");
        let mut command = with_own_mounts(folder);
        command
            .args(["sh", "-ec", BECOME_USER])
            .arg(self.place.join("ids"))
            .arg("podman")
            .env("HOME", &self.place)
            .env("XDG_RUNTIME_DIR", &self.place)
            .env("TMPDIR", &self.place)
            .current_dir("/");
        command
    }
}

impl Engine for Podman {
    #[track_caller]
    fn command(&self, arguments: &[&str]) -> Ran {
        let under = |name: &str| text(&self.place.join(name)).to_owned();
        run(self
            .program()
            .env("CONTAINERS_CONF", under("containers.conf"))
            .args(["--root", &under("data"), "--runroot", &under("r")])
            .args(["--tmpdir", &under("tmp"), "--storage-driver=vfs"])
            .args(arguments))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.command(&["rm", "-a", "-f", "-t", "0"]);
        if self.rootless {
            // Ends the process that keeps the user's namespaces; some files belong to its ids.
            self.command(&["system", "migrate"]);
        }
        crate::mounts::detach_below(&self.place);
    }
}
