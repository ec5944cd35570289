//! A Docker daemon of the test's own: data, socket and process ids lie in the test's folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::containers::Engine;
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
            docker.command(&["version"]).code == 0
        });
        docker
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

impl Engine for Docker {
    #[track_caller]
    fn command(&self, arguments: &[&str]) -> Ran {
        let host = format!("unix://{}", text(&self.place.join("sock")));
        // A place for the client's settings, so that it does not read the user's.
        let settings = self.place.join("client");
        run(Command::new("docker")
            .args(["--config", text(&settings), "-H", &host])
            .args(arguments))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::bind;
    use crate::image::Image;

    /// An imported image runs its programs, on a bind-mounted folder of the host.
    #[test]
    fn imported_programs_run_on_a_bind_mount() {
        let fixture = crate::Fixture::new();
        let data = fixture.folder().join("data");
        fs::create_dir(&data).unwrap();
        let docker = Docker::start(fixture.folder());
        docker.import(&Image::new(fixture.folder(), "tools").programs(&["/bin/sh"]));
        let command = ["/bin/sh", "-c", "echo inside > /data/file"];
        docker
            .once(&["-v", &bind(&data, "/data")], "tools", &command)
            .ok();
        assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "inside\n");
    }
}
