//! What a container sees of a volume that is mounted, or mounted again, while it runs: decided by
//! the propagation of the bind mount. docs/containers.md tells it to users.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fuse_tests::containers::{Engine, bind};
use fuse_tests::fixture::text;
use fuse_tests::image::Image;
use fuse_tests::run::{eventually, run};
use fuse_tests::{Fixture, mounts};

use crate::{with_docker, with_podman};

const IDLE: [&str; 2] = ["/bin/sleep", "600"];
const READ: [&str; 2] = ["/bin/cat", "/volumes/data/file"];
const WRITE: [&str; 2] = ["/bin/touch", "/volumes/data/new"];
const ENDED: Duration = Duration::from_secs(20);

fn import(fixture: &Fixture, engine: &dyn Engine) {
    let programs = ["/bin/sleep", "/bin/cat", "/bin/touch"];
    engine.import(&Image::new(fixture.folder(), "tools").programs(&programs));
}

/// A folder for mount points that shares its mounts, as `/` does where systemd starts a machine.
struct Shared {
    path: PathBuf,
}

impl Shared {
    #[track_caller]
    fn new(fixture: &Fixture) -> Shared {
        let path = fixture.folder().join("volumes");
        fs::create_dir_all(path.join("data")).unwrap();
        let shared = Shared { path };
        run(Command::new("mount")
            .arg("--bind")
            .args([&shared.path, &shared.path]))
        .ok();
        run(Command::new("mount").arg("--make-shared").arg(&shared.path)).ok();
        shared
    }

    fn place(&self) -> PathBuf {
        self.path.join("data")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        mounts::detach_below(&self.path);
        mounts::make_removable(&self.path);
    }
}

#[track_caller]
fn mount(fixture: &Fixture, place: &Path) {
    fixture.ok(&["mount", "data", text(place)]);
}

/// A volume mounted after the container has started is seen through a bind of the folder above
/// with rslave or rshared, and so are its end and a new mount after the daemon was killed. With
/// the engines' default, private, the container sees the bare folder, and cannot fill it.
fn late_mounts_need_propagation(fixture: &Fixture, engine: &dyn Engine) {
    import(fixture, engine);
    fixture.ok(&["volume", "create", "data"]);
    let shared = Shared::new(fixture);
    let modes = ["rslave", "rshared", "rprivate"];
    for mode in modes {
        let option = bind(&shared.path, &format!("/volumes:{mode}"));
        engine.start(mode, &["-v", &option], "tools", &IDLE);
    }
    mount(fixture, &shared.place());
    fs::write(shared.place().join("file"), "late").unwrap();
    let propagating = &modes[..2];
    for mode in propagating {
        assert_eq!(engine.exec(mode, &READ).ok(), "late", "{mode}");
    }
    let bare = engine.exec("rprivate", &READ);
    assert!(bare.stderr.contains("No such file"), "{bare:#?}");
    let bare = engine.exec("rprivate", &WRITE);
    assert!(bare.stderr.contains("Operation not permitted"), "{bare:#?}");

    fixture.kill_daemon();
    for mode in propagating {
        let dead = engine.exec(mode, &READ);
        assert!(dead.stderr.contains("not connected"), "{mode}: {dead:#?}");
    }
    mount(fixture, &shared.place());
    for mode in propagating {
        assert_eq!(engine.exec(mode, &READ).ok(), "late", "{mode}");
    }
    // No container keeps a mount that follows the host's, so that nothing hinders its end.
    fixture.umount("data");
    for mode in modes {
        let gone = engine.exec(mode, &READ);
        assert!(gone.stderr.contains("No such file"), "{mode}: {gone:#?}");
        engine.destroy(mode);
    }
    drop(shared);
}

/// A container that binds the volume itself keeps it mounted: `volfs umount` refuses and names
/// it. When the daemon was killed, it finds the volume again when it is restarted.
fn a_direct_bind_holds_the_volume(fixture: &Fixture, engine: &dyn Engine) {
    import(fixture, engine);
    fixture.ok(&["volume", "create", "data"]);
    let place = fixture.mount("data");
    fs::write(place.join("file"), "early").unwrap();
    let option = bind(&place, "/volumes/data");
    engine.start("holder", &["-v", &option], "tools", &IDLE);
    assert_eq!(engine.exec("holder", &READ).ok(), "early");
    let refused = fixture.fails(4, &["umount", "data"]);
    assert!(refused.contains("sleep"), "{refused}");
    assert_eq!(engine.exec("holder", &READ).ok(), "early");

    fixture.kill_daemon();
    mount(fixture, &place);
    let dead = engine.exec("holder", &READ);
    assert!(dead.stderr.contains("not connected"), "{dead:#?}");
    engine.command(&["restart", "-t", "0", "holder"]).ok();
    assert_eq!(engine.exec("holder", &READ).ok(), "early");
    engine.destroy("holder");
    eventually("the volume is free", ENDED, || {
        fixture.volfs(&["umount", "data"]).code == 0
    });
}

#[test]
fn docker_sees_late_mounts_by_propagation() {
    with_docker(late_mounts_need_propagation);
}

#[test]
fn podman_sees_late_mounts_by_propagation() {
    with_podman(late_mounts_need_propagation);
}

#[test]
fn docker_holds_a_volume_that_it_binds() {
    with_docker(a_direct_bind_holds_the_volume);
}

#[test]
fn podman_holds_a_volume_that_it_binds() {
    with_podman(a_direct_bind_holds_the_volume);
}
