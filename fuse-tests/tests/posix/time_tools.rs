//! make, rsync and tar, which go by times.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuse_tests::{Place, run};

use crate::times::{TICK, open};

/// A tree that make builds: it builds what is older than its sources, nothing twice, and after a
/// remount nothing at all.
#[test]
fn make_builds_what_is_old() {
    const MAKEFILE: &str = "all: out/a out/b\nout/%: src/%\n\tmkdir -p out && tr a-z A-Z <$< >$@\n";
    let place = Place::new();
    fs::create_dir(place.path("src")).unwrap();
    place.file("Makefile", MAKEFILE);
    for name in ["a", "b"] {
        place.file(&format!("src/{name}"), name);
    }
    let make = || {
        let ran = run(Command::new("make")
            .args(["-s", "--trace"])
            .current_dir(place.root()))
        .ok();
        ran.lines()
            .filter(|line| line.contains("update target"))
            .count()
    };
    thread::sleep(TICK);
    assert_eq!(make(), 2, "{MAKEFILE}");
    assert_eq!(make(), 0);
    thread::sleep(TICK);
    place.file("src/a", "new");
    assert_eq!(make(), 1);
    place.remount();
    assert_eq!(make(), 0, "after a remount");
    thread::sleep(TICK);
    let file = open(&place.path("src/b")).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    thread::sleep(TICK);
    assert_eq!(
        make(),
        1,
        "a source that is still open, with pages that only the kernel has"
    );
    drop(file);
    assert_eq!(make(), 0, "its pages written back since");
    place.remount();
    assert_eq!(make(), 0);
}

/// rsync and tar copy what has changed, and no more: to the volume, from it, and after remounts.
#[test]
fn rsync_and_tar_see_what_changed() {
    let place = Place::new();
    let host = place.fixture().folder().join("host");
    let back = place.fixture().folder().join("back");
    for path in [&host, &back] {
        fs::create_dir(path).unwrap();
    }
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for number in 0..50 {
        let path = host.join(format!("f{number}"));
        fs::write(&path, vec![number; 3000]).unwrap();
        // rsync goes by size and whole seconds: a file of now could not be told from a later one.
        open(&path).unwrap().set_modified(hour_ago).unwrap();
    }
    fs::hard_link(host.join("f1"), host.join("hard")).unwrap();
    symlink("f2", host.join("soft")).unwrap();
    let old = UNIX_EPOCH - Duration::from_nanos(1_500_000_000);
    open(&host.join("f3")).unwrap().set_modified(old).unwrap();
    let transferred = |from: &Path, to: &Path| {
        let source = format!("{}/", from.display());
        let options = ["-aHAX", "--itemize-changes", &source];
        let ran = run(Command::new("rsync").args(options).arg(to)).ok();
        ran.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    assert!(transferred(&host, place.root()).len() >= 52);
    assert_eq!(transferred(&host, place.root()), [""; 0]);
    place.remount();
    assert_eq!(transferred(&host, place.root()), [""; 0], "after a remount");
    fs::write(place.path("f7"), vec![8; 3000]).unwrap();
    let changed = transferred(&host, place.root());
    assert!(
        changed.len() == 1 && changed[0].ends_with(" f7"),
        "{changed:?}"
    );
    transferred(place.root(), &back);
    place.remount();
    assert_eq!(transferred(place.root(), &back), [""; 0]);

    let list = place.fixture().folder().join("list");
    let files = || {
        let archive = ["-C", ".", "-cf", "/dev/null", "-v"];
        let ran = run(Command::new("tar")
            .args(archive)
            // Each mount has a device number of its own, as docs/semantics.md says.
            .args(["--no-check-device", "-g"])
            .arg(&list)
            .arg(".")
            .current_dir(place.root()));
        let names = ran.ok();
        names
            .lines()
            .filter(|name| !name.ends_with('/'))
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    assert_eq!(files().len(), 52);
    thread::sleep(TICK);
    fs::write(place.path("f9"), "other").unwrap();
    assert_eq!(files(), ["./f9"]);
    fs::rename(place.path("f11"), place.path("moved")).unwrap();
    place.remount();
    assert_eq!(files(), ["./moved"], "after a remount");
    place.remount();
    assert_eq!(files(), [""; 0], "after another");
}
