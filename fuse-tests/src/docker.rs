//! A Docker daemon of the test's own: data, socket and process ids lie in the test's folder.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::text;
use crate::run::{Ran, eventually, exits_within, run};
use crate::server::Server;

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running Docker daemon. Dropped, it and the containerd that it started are stopped.
#[derive(Debug)]
pub struct Docker {
    server: Option<Server>,
    place: PathBuf,
}

impl Docker {
    /// Starts a daemon that keeps everything in a new folder `docker` in `folder`.
    ///
    /// No network of its own, so that it changes no firewall rules and no interfaces.
    #[track_caller]
    pub fn start(folder: &Path) -> Docker {
        let place = folder.join("docker");
        fs::create_dir(&place).expect("the folder above exists");
        let under = |name: &str| text(&place.join(name)).to_owned();
        let (host, data) = (format!("unix://{}", under("sock")), under("data"));
        let (exec, pid_file) = (under("exec"), under("pid"));
        let arguments = [
            "-H",
            &host,
            "--data-root",
            &data,
            "--exec-root",
            &exec,
            "-p",
            &pid_file,
        ];
        let isolation = ["--storage-driver=vfs", "--bridge=none", "--iptables=false"];
        let arguments = [&arguments[..], &isolation].concat();
        let program = Path::new("/usr/sbin/dockerd");
        let server = Server::start(None, program, &arguments, place.join("log"));
        let mut docker = Docker {
            server: Some(server),
            place,
        };
        eventually("dockerd answers", START_LIMIT, || {
            let server = docker.server.as_mut().expect("set above");
            assert!(server.is_running(), "dockerd ended:\n{}", server.log());
            docker.docker(&["version"]).code == 0
        });
        docker
    }

    /// Runs the `docker` command against this daemon.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Ran {
        let host = format!("unix://{}", text(&self.place.join("sock")));
        // A place for the client's settings, so that it does not read the user's.
        let settings = self.place.join("client");
        run(Command::new("docker")
            .args(["--config", text(&settings), "-H", &host])
            .args(arguments))
    }

    /// Imports an image made of installed programs and the libraries that they load.
    #[track_caller]
    pub fn import(&self, image: &str, programs: &[&str]) {
        let root = self.place.join(image);
        fs::create_dir(&root).expect("image names are used once");
        for file in programs
            .iter()
            .flat_map(|program| with_libraries(Path::new(program)))
        {
            let copy = root.join(file.strip_prefix("/").expect("absolute"));
            fs::create_dir_all(copy.parent().expect("below the root")).expect("a new folder");
            fs::copy(&file, &copy).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        fs::create_dir_all(root.join("tmp")).expect("a new folder");
        // Libraries are named by paths through /lib64 or /lib, which are links on Debian.
        for name in ["bin", "lib", "lib64"] {
            if !root.join(name).exists() && root.join("usr").join(name).exists() {
                symlink(format!("usr/{name}"), root.join(name)).expect("a free name");
            }
        }
        let archive = self.place.join(format!("{image}.tar"));
        run(Command::new("tar").args(["-C", text(&root), "-cf", text(&archive), "."])).ok();
        self.docker(&["import", text(&archive), image]).ok();
    }

    /// Stops the daemon and what it started.
    fn stop(&mut self) {
        let containerd = fs::read_to_string(self.place.join("exec/containerd/containerd.pid"));
        let containerd = containerd
            .ok()
            .and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        if let Some(server) = self.server.take() {
            let _ = kill_process(server.pid(), Signal::TERM);
            exits_within(server.pid(), Duration::from_secs(20));
        }
        if let Some(pid) = containerd {
            let _ = kill_process(pid, Signal::TERM);
            exits_within(pid, Duration::from_secs(10));
        }
        crate::mounts::detach_below(&self.place);
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A program and the shared libraries that the loader takes for it.
fn with_libraries(program: &Path) -> BTreeSet<PathBuf> {
    let listed = run(Command::new("ldd").arg(program)).ok();
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux… (0x…)`
    let libraries = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    libraries
        .map(PathBuf::from)
        .chain([program.to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An imported image runs its programs, on a bind-mounted folder of the host.
    #[test]
    fn imported_programs_run_on_a_bind_mount() {
        let fixture = crate::Fixture::new();
        let data = fixture.folder().join("data");
        fs::create_dir(&data).unwrap();
        let docker = Docker::start(fixture.folder());
        docker.import("tools", &["/bin/sh", "/bin/cat"]);
        let bind = format!("{}:/data", text(&data));
        let arguments = [
            "run",
            "--rm",
            "--network=none",
            "-v",
            &bind,
            "tools",
            "/bin/sh",
            "-c",
        ];
        docker
            .docker(&[&arguments[..], &["echo inside > /data/file"]].concat())
            .ok();
        assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "inside\n");
    }
}
