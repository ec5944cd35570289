//! What the tests ask of Docker and Podman alike; their command lines agree in it.

use std::path::Path;
use std::time::Duration;

use crate::fixture::text;
use crate::image::Image;
use crate::run::{Ran, eventually};

const LIMIT: Duration = Duration::from_secs(60);

/// A container engine of the test's own.
pub trait Engine {
    /// Runs its command.
    fn command(&self, arguments: &[&str]) -> Ran;

    /// Makes an image known to it.
    #[track_caller]
    fn import(&self, image: &Image) {
        self.command(&["import", text(&image.archive()), image.name()])
            .ok();
    }

    /// Runs a command in a container that is gone afterwards. `options` are those of `run`.
    #[track_caller]
    fn once(&self, options: &[&str], image: &str, command: &[&str]) -> Ran {
        let run = ["run", "--rm", "--network=none"];
        self.command(&[&run[..], options, &[image], command].concat())
    }

    /// Starts a container that goes on by itself.
    #[track_caller]
    fn start(&self, name: &str, options: &[&str], image: &str, command: &[&str]) {
        let run = ["run", "-d", "--network=none", "--name", name];
        self.command(&[&run[..], options, &[image], command].concat())
            .ok();
    }

    /// Runs a command in a container that runs.
    #[track_caller]
    fn exec(&self, name: &str, command: &[&str]) -> Ran {
        self.command(&[&["exec", name], command].concat())
    }

    /// Waits until a command in a container succeeds with this output.
    #[track_caller]
    fn answers(&self, name: &str, command: &[&str], output: &str) {
        eventually(&format!("{name} answers"), LIMIT, || {
            let ran = self.exec(name, command);
            ran.code == 0 && ran.stdout.trim() == output
        });
    }

    /// Kills a container, whatever it does, and removes it.
    #[track_caller]
    fn destroy(&self, name: &str) {
        // Podman's `rm -f` asks politely first, for ten seconds. It may have ended by itself.
        self.command(&["kill", name]);
        self.command(&["rm", "-f", name]).ok();
    }
}

/// `FOLDER:PLACE` for the option `-v`, with what comes behind a further colon.
pub fn bind(folder: &Path, place: &str) -> String {
    format!("{}:{place}", text(folder))
}
