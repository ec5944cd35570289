//! Snapshots, clones and rollbacks: what they hold.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::fixture::{built, text};
use fuse_tests::server::Server;
use fuse_tests::tree::{assert_same, summarize};
use fuse_tests::writers::{Mode, Writers};

const WRITE_FOR: Duration = Duration::from_secs(100);

/// A snapshot under load holds every promise made before it, and never changes afterwards.
#[test]
fn snapshot_under_load_is_stable_and_complete() {
    let (fixture, folder) = Fixture::mounted();
    let modes = [
        Mode::Fdatasync,
        Mode::Direct,
        Mode::Closed,
        Mode::Renamed,
        Mode::Msync,
    ];
    let writers = Writers::start(&folder, &modes, 11, WRITE_FOR);
    for number in 0..4 {
        writers.wait_for(100 * (number + 1));
        let before = writers.promised();
        let name = format!("data@s{number}");
        fixture.ok(&["snapshot", "create", &name]);
        let snapshot = fixture.mount(&name);
        assert_eq!(before.check(&snapshot), Ok(()), "{name}");
        let first = summarize(&snapshot).unwrap();
        writers.wait_for(100 * (number + 1) + 50);
        // Not from the kernel's cache: the daemon has to find it again.
        fixture.umount(&name);
        assert_same(&first, &summarize(&fixture.mount(&name)).unwrap());
    }
    let promises = writers.stop();
    assert_eq!(promises.check(&folder), Ok(()));
}

/// A snapshot holds what was written to files still open, since it flushes them first.
#[test]
fn snapshot_holds_open_files() {
    let (fixture, folder) = Fixture::mounted();
    let file = File::create(folder.join("open")).unwrap();
    file.write_all_at(b"not synced, not closed", 0).unwrap();
    fixture.ok(&["snapshot", "create", "data@s"]);
    file.write_all_at(b"later", 0).unwrap();
    let snapshot = fixture.mount("data@s");
    assert_eq!(
        fs::read(snapshot.join("open")).unwrap(),
        b"not synced, not closed"
    );
}

/// A snapshot survives SIGKILL of the daemon right after the command.
#[test]
fn snapshot_survives_sigkill() {
    let (fixture, folder) = Fixture::mounted();
    for number in 0..5 {
        fs::write(folder.join("file"), format!("state {number}")).unwrap();
        fixture.ok(&["snapshot", "create", &format!("data@s{number}")]);
        fs::write(folder.join("file"), "after").unwrap();
        fixture.kill_daemon();
        fixture.mount("data");
    }
    for number in 0..5 {
        let snapshot = fixture.mount(&format!("data@s{number}"));
        assert_eq!(
            fs::read_to_string(snapshot.join("file")).unwrap(),
            format!("state {number}")
        );
    }
}

/// One command cuts several volumes at one moment: who writes n to A and then to B finds in the
/// cut that B is never ahead and at most one behind.
#[test]
fn volumes_of_one_cut_are_consistent() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.ok(&["volume", "create", name]);
    }
    let [a, b] = ["a", "b"].map(|name| File::create(fixture.mount(name).join("n")).unwrap());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in (1_u64..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                for file in [&a, &b] {
                    file.write_all_at(&number.to_be_bytes(), 0).unwrap();
                    file.sync_data().unwrap();
                }
            }
        });
        let _stops = StopOnDrop(&stop);
        let read = |source: &str| {
            let bytes = fs::read(fixture.mount(source).join("n")).unwrap();
            u64::from_be_bytes(bytes.try_into().unwrap_or_default())
        };
        let mut last = 0;
        for number in 0..10 {
            let [a, b] = ["a", "b"].map(|name| format!("{name}@cut-{number}"));
            assert_eq!(
                fixture.ok(&["snapshot", "create", &a, &b]),
                format!("{a}\n{b}")
            );
            let (in_a, in_b) = (read(&a), read(&b));
            assert!(
                in_a == in_b || in_a == in_b + 1,
                "cut {number}: a is {in_a}, b is {in_b}"
            );
            assert!(in_a > last, "no progress between the cuts");
            last = in_a;
        }
    });
}

/// Ends a loop on another thread, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A clone starts as the snapshot is, is writable at once, and neither sees the other's writes.
#[test]
fn clone_is_independent() {
    let (fixture, original) = Fixture::mounted();
    fs::create_dir(original.join("folder")).unwrap();
    fs::write(original.join("folder/file"), vec![b'o'; 100_000]).unwrap();
    fixture.ok(&["snapshot", "create", "data@s"]);
    fixture.ok(&["clone", "data@s", "copy"]);
    let copy = fixture.mount("copy");
    let snapshot = fixture.mount("data@s");
    let before = summarize(&snapshot).unwrap();
    assert_same(&before, &summarize(&copy).unwrap());

    File::options()
        .write(true)
        .open(copy.join("folder/file"))
        .unwrap()
        .write_at(b"c", 5)
        .unwrap();
    fs::write(copy.join("only in the copy"), "c").unwrap();
    fs::remove_dir_all(original.join("folder")).unwrap();
    assert_eq!(fs::read(copy.join("folder/file")).unwrap()[4..7], *b"oco");
    assert!(!original.join("only in the copy").exists());
    assert_same(&before, &summarize(&snapshot).unwrap());
}

/// A clone of a live volume holds what was closed and synced before the command.
#[test]
fn live_volume_can_be_cloned() {
    let (fixture, folder) = Fixture::mounted();
    let writers = Writers::start(&folder, &[Mode::Fdatasync, Mode::Closed], 3, WRITE_FOR);
    writers.wait_for(200);
    let before = writers.promised();
    fixture.ok(&["clone", "data", "copy"]);
    assert_eq!(before.check(&fixture.mount("copy")), Ok(()));
    writers.stop();
}

/// Volumes, snapshots and clones are removed in any order; what is left stays whole.
#[test]
fn removal_in_any_order_harms_nothing() {
    let (fixture, folder) = Fixture::mounted();
    let content = |number: u8| vec![number; 300_000];
    for number in 0..4 {
        fs::write(folder.join("file"), content(number)).unwrap();
        fixture.ok(&["snapshot", "create", &format!("data@s{number}")]);
    }
    fixture.ok(&["clone", "data@s1", "one"]);
    fixture.ok(&["clone", "data@s3", "three"]);
    fixture.ok(&["snapshot", "create", "three@of-clone"]);

    fixture.ok(&["snapshot", "rm", "data@s1"]);
    fixture.ok(&["snapshot", "rm", "data@s0"]);
    let read = |source: &str| fs::read(fixture.mount(source).join("file")).unwrap();
    assert!(read("data@s2") == content(2) && read("one") == content(1));
    fixture.umount("data@s2");
    fixture.umount("data");
    fixture.ok(&["volume", "rm", "--force", "data"]);
    fixture.ok(&["daemon", "stop"]);
    assert!(read("one") == content(1) && read("three") == content(3));
    assert!(read("three@of-clone") == content(3));
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "one\nthree");
}

/// A rollback brings the snapshot back, keeps newer snapshots and the state it leaves, and can
/// itself be undone.
#[test]
fn rollback_keeps_what_it_leaves() {
    let (fixture, folder) = Fixture::mounted();
    let write = |text: &str| fs::write(folder.join("file"), text).unwrap();
    write("one");
    fixture.ok(&["snapshot", "create", "data@one"]);
    write("two");
    fixture.ok(&["snapshot", "create", "data@two"]);
    write("three");
    fs::write(folder.join("new"), "new").unwrap();
    fixture.ok(&["rollback", "data@one"]);
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"one");
    assert!(!folder.join("new").exists());

    let listed = fixture.json(&["snapshot", "ls", "data"]);
    let kept = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|snapshot| snapshot["Automatic"] == true);
    let kept = kept.expect("the state that was left is a snapshot")["Name"]
        .as_str()
        .unwrap();
    assert_eq!(fs::read(fixture.mount(kept).join("new")).unwrap(), b"new");
    assert_eq!(
        fs::read(fixture.mount("data@two").join("file")).unwrap(),
        b"two"
    );

    write("four");
    fixture.ok(&["rollback", kept]);
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"three");
    fixture.umount("data");
    fixture.ok(&["rollback", "data@two"]);
    assert_eq!(
        fs::read(fixture.mount("data").join("file")).unwrap(),
        b"two"
    );
}

/// While programs write through mappings, buffered and O_DIRECT handles, a forced rollback lets
/// no byte of theirs into the new state, not then and not after a remount.
#[test]
fn forced_rollback_lets_no_old_byte_through() {
    let (fixture, folder) = Fixture::mounted();
    let ways = ["mapping", "buffered", "direct"];
    for way in ways {
        fs::write(folder.join(way), vec![b's'; 4 << 20]).unwrap();
    }
    fixture.ok(&["snapshot", "create", "data@s"]);
    for round in 0..3 {
        let scribblers = ways.map(|way| scribble(&fixture, way, &folder.join(way), round));
        for scribbler in &scribblers {
            let what = "the scribbler writes";
            fuse_tests::run::eventually(what, Duration::from_secs(20), || {
                scribbler.log().contains("writing")
            });
        }
        fixture.ok(&["rollback", "--force", "data@s"]);
        assert_untouched(&folder, &ways);
        // Long enough for the kernel to write back what it held of the old state.
        thread::sleep(Duration::from_secs(2));
        assert_untouched(&folder, &ways);
        drop(scribblers);
        assert_untouched(&folder, &ways);

        fs::write(folder.join("new"), "the new state is writable").unwrap();
        fixture.umount("data");
        fixture.mount("data");
        assert_untouched(&folder, &ways);
        assert_eq!(
            fs::read(folder.join("new")).unwrap(),
            b"the new state is writable"
        );
        fs::remove_file(folder.join("new")).unwrap();
    }
}

/// Handles from before a rollback answer ESTALE; new ones see the new state.
#[test]
fn old_handles_are_stale_after_a_rollback() {
    let (fixture, folder) = Fixture::mounted();
    fs::write(folder.join("file"), "old").unwrap();
    fixture.ok(&["snapshot", "create", "data@s"]);
    fs::write(folder.join("file"), "newer").unwrap();
    let open = File::options()
        .read(true)
        .write(true)
        .open(folder.join("file"))
        .unwrap();
    fixture.ok(&["rollback", "--force", "data@s"]);

    let stale = rustix::io::Errno::STALE.raw_os_error();
    assert_eq!(open.sync_all().unwrap_err().raw_os_error(), Some(stale));
    assert_eq!(open.set_len(0).unwrap_err().raw_os_error(), Some(stale));
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"old");
}

fn scribble(fixture: &Fixture, way: &str, file: &Path, round: u32) -> Server {
    let log = fixture.folder().join(format!("{way}-{round}.log"));
    Server::start(
        None,
        &built("volfs-test-scribbler"),
        &[way, text(file)],
        log,
    )
}

#[track_caller]
fn assert_untouched(folder: &Path, names: &[&str]) {
    for name in names {
        let content = fs::read(folder.join(name)).unwrap();
        assert_eq!(content.len(), 4 << 20, "{name}");
        let old = content.iter().position(|byte| *byte != b's');
        assert_eq!(old, None, "a byte of the old state in '{name}'");
    }
}
