//! Use cases on a real pool, without mounts, in this process and through a socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::base::progress::Silent;
use crate::daemon::client::Client;
use crate::daemon::*;

fn pool() -> (TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    Pool::create(folder.path()).unwrap();
    let service = Service::open(folder.path(), Life::Stays).unwrap();
    (folder, service)
}

fn new_volume(name: &str) -> CreateVolume {
    CreateVolume {
        volume: name.parse().unwrap(),
        block_size: None,
        labels: BTreeMap::from([("app".into(), "shop".into())]),
        uid: 999,
        gid: 998,
        mode: 0o700,
        limit: None,
    }
}

fn source(volume: &str, snapshot: Option<&str>) -> Source {
    let snapshot = snapshot.map(|name| name.parse().unwrap());
    Source {
        volume: volume.parse().unwrap(),
        snapshot,
    }
}

fn cut(of: &[(&str, Option<&str>)]) -> CreateSnapshots {
    let of = of
        .iter()
        .map(|(volume, snapshot)| source(volume, *snapshot));
    CreateSnapshots {
        of: of.collect(),
        flush_ms: Some(1000),
        labels: BTreeMap::new(),
    }
}

fn list(service: &Service, volume: Option<VolumeName>) -> ServiceResult<Vec<SnapshotDetails>> {
    let call = ListSnapshots {
        volume,
        space: false,
    };
    service.snapshots(&call, &Silent)
}

fn names(volumes: &[VolumeDetails]) -> Vec<&str> {
    volumes.iter().map(|volume| volume.name.as_str()).collect()
}

/// A volume is made once, shown with its default mount point, and removed with its snapshots.
#[test]
fn volumes_come_and_go() {
    let (folder, service) = pool();
    let made = service.create_volume(&new_volume("db")).unwrap();
    let place = std::fs::canonicalize(folder.path()).unwrap().join("mnt/db");
    assert_eq!((made.mountpoint, made.mounted), (place, false));
    assert_eq!(made.labels["app"], "shop");
    assert_eq!(made.options["block-size"], "8192");
    assert!(made.created_at.ends_with('Z'));

    let again = service.create_volume(&new_volume("db")).unwrap_err();
    assert_eq!(again.kind, Kind::Exists);
    let mut odd = new_volume("odd");
    odd.block_size = Some(5000);
    assert_eq!(service.create_volume(&odd).unwrap_err().kind, Kind::Usage);

    service.create_volume(&new_volume("a")).unwrap();
    assert_eq!(names(&service.volumes()), ["a", "db"]);
    service
        .create_snapshots(&cut(&[("db", Some("v1"))]))
        .unwrap();
    let remove = RemoveVolume {
        volume: "db".parse().unwrap(),
        force: false,
        now: false,
    };
    service.remove_volume(&remove).unwrap();
    assert_eq!(names(&service.volumes()), ["a"]);
    let gone = service.remove_volume(&remove).unwrap_err();
    assert_eq!(
        (gone.kind, gone.message.as_str()),
        (Kind::NotFound, "no such volume: 'db'")
    );
}

/// Snapshots of one command are one cut, have the name that was asked for or the time, and all
/// of them or none come to be.
#[test]
fn one_command_is_one_cut() {
    let (_folder, service) = pool();
    for name in ["data", "wal"] {
        service.create_volume(&new_volume(name)).unwrap();
    }
    let made = service
        .create_snapshots(&cut(&[("data", Some("v1")), ("wal", Some("v1"))]))
        .unwrap();
    let [data, wal] = &made.snapshots[..] else {
        panic!("{made:?}")
    };
    assert_eq!(
        (data.name.as_str(), wal.name.as_str()),
        ("data@v1", "wal@v1")
    );
    assert_eq!(data.cut, wal.cut);

    let half = cut(&[("wal", Some("v2")), ("data", Some("v1"))]);
    assert_eq!(
        service.create_snapshots(&half).unwrap_err().kind,
        Kind::Exists
    );
    let unknown = cut(&[("wal", Some("v2")), ("nothing", Some("v2"))]);
    assert_eq!(
        service.create_snapshots(&unknown).unwrap_err().kind,
        Kind::NotFound
    );
    assert_eq!(list(&service, None).unwrap().len(), 2);
    assert_eq!(
        service.create_snapshots(&cut(&[])).unwrap_err().kind,
        Kind::Usage
    );

    let timed = cut(&[("data", None), ("wal", None)]);
    let first = service.create_snapshots(&timed).unwrap();
    let second = service.create_snapshots(&timed).unwrap();
    assert_eq!(first.snapshots[0].snapshot, first.snapshots[1].snapshot);
    assert_ne!(first.snapshots[0].snapshot, second.snapshots[0].snapshot);
    let inspect = InspectVolume {
        volume: "data".parse().unwrap(),
        space: false,
    };
    assert_eq!(service.volume(&inspect, &Silent).unwrap().snapshots, 3);
}

/// A snapshot is found, removed once, and asking for what is not there names it.
#[test]
fn snapshots_come_and_go() {
    let (_folder, service) = pool();
    service.create_volume(&new_volume("db")).unwrap();
    service
        .create_snapshots(&cut(&[("db", Some("v1"))]))
        .unwrap();
    let inspect = InspectSnapshot {
        volume: "db".parse().unwrap(),
        snapshot: "v1".parse().unwrap(),
        space: false,
    };
    let found = service.snapshot(&inspect, &Silent).unwrap();
    assert_eq!(
        (found.volume.as_str(), found.snapshot.as_str()),
        ("db", "v1")
    );
    assert!(found.mountpoint.ends_with("mnt/db@v1") && !found.mounted && !found.automatic);

    let remove = RemoveSnapshot {
        volume: inspect.volume,
        snapshot: inspect.snapshot,
        force: false,
    };
    service.remove_snapshot(&remove).unwrap();
    let gone = service.remove_snapshot(&remove).unwrap_err();
    assert_eq!(
        (gone.kind, gone.message.as_str()),
        (Kind::NotFound, "no such snapshot: 'db@v1'")
    );
    let other: VolumeName = "other".parse().unwrap();
    assert_eq!(
        list(&service, Some(other)).unwrap_err().kind,
        Kind::NotFound
    );
}

/// A clone remembers where it comes from; a rollback keeps what it leaves.
#[test]
fn clones_and_rollbacks() {
    let (_folder, service) = pool();
    service.create_volume(&new_volume("db")).unwrap();
    service
        .create_snapshots(&cut(&[("db", Some("v1"))]))
        .unwrap();
    let clone = |snapshot: Option<&str>, new: &str| {
        let from = source("db", snapshot);
        service.clone_volume(&CloneVolume {
            volume: from.volume,
            snapshot: from.snapshot,
            new: new.parse().unwrap(),
            flush_ms: None,
        })
    };
    assert_eq!(
        clone(Some("v1"), "test").unwrap().volume.origin.as_deref(),
        Some("db@v1")
    );
    assert_eq!(
        clone(None, "live").unwrap().volume.origin.as_deref(),
        Some("db")
    );
    assert_eq!(clone(None, "live").unwrap_err().kind, Kind::Exists);
    assert_eq!(clone(Some("v2"), "x").unwrap_err().kind, Kind::NotFound);

    let mut back = RollbackVolume {
        volume: "db".parse().unwrap(),
        snapshot: "v1".parse().unwrap(),
        force: false,
        flush_ms: Some(1000),
    };
    let kept = service.rollback(&back).unwrap().kept;
    let kept = kept.strip_prefix("db@").unwrap();
    let inspect = InspectSnapshot {
        volume: back.volume.clone(),
        snapshot: kept.parse().unwrap(),
        space: false,
    };
    let kept = service.snapshot(&inspect, &Silent).unwrap();
    assert_eq!((kept.automatic, kept.made_by.as_str()), (true, "rollback"));
    back.snapshot = "v2".parse().unwrap();
    assert_eq!(service.rollback(&back).unwrap_err().kind, Kind::NotFound);
}

/// A file of the volume's root.
fn write(service: &Service, volume: &str, file: &str, bytes: &[u8]) {
    let volume = service.pool.open_volume(&volume.parse().unwrap()).unwrap();
    let (root, who) = (crate::base::Ino::ROOT, crate::volume::Request::default());
    let new = crate::volume::ops::NewNode {
        kind: crate::volume::ops::FileKind::Regular,
        perm: 0o644,
        umask: 0,
        rdev: 0,
    };
    let ino = match volume.lookup(&who, root, file.as_bytes()) {
        Ok(attr) => attr.ino,
        Err(_) => {
            volume
                .create(&who, root, file.as_bytes(), &new)
                .unwrap()
                .ino
        }
    };
    let mode = crate::volume::ops::WriteMode::default();
    volume.write_file(&who, ino, 0, bytes, mode).unwrap();
}

/// Differences and restores are answered with the kinds that scripts look at.
#[test]
fn earlier_states_are_compared_and_put_back() {
    let (_folder, service) = pool();
    service.create_volume(&new_volume("db")).unwrap();
    write(&service, "db", "file", b"old");
    service
        .create_snapshots(&cut(&[("db", Some("v1"))]))
        .unwrap();
    write(&service, "db", "file", b"new");

    let compare = CompareSnapshot {
        volume: "db".parse().unwrap(),
        snapshot: "v1".parse().unwrap(),
        with: None,
        flush_ms: Some(1000),
    };
    let told = service.compare(&compare).unwrap().report;
    assert_eq!((told.changed, told.differences.len()), (1, 1));
    let mut other = compare.clone();
    other.with = Some(source("none", None));
    assert_eq!(service.compare(&other).unwrap_err().kind, Kind::NotFound);
    other.with = Some(source("db", Some("v2")));
    assert_eq!(service.compare(&other).unwrap_err().kind, Kind::NotFound);

    let restore = |paths: &[&str], to: Option<&str>, force| {
        let call = RestoreFiles {
            volume: "db".parse().unwrap(),
            snapshot: "v1".parse().unwrap(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            to: to.map(str::to_owned),
            force,
            flush_ms: None,
        };
        service.restore(&call, &crate::base::progress::Silent)
    };
    let refused = |paths: &[&str], to| restore(paths, to, false).unwrap_err();
    let exists = refused(&["file"], None);
    assert_eq!(exists.kind, Kind::Exists);
    assert!(exists.message.contains("'/file'"), "{exists}");
    assert!(exists.hints[0].contains("--force"), "{exists:?}");
    assert_eq!(refused(&["none"], None).kind, Kind::NotFound);
    assert_eq!(refused(&["file"], Some("/none")).kind, Kind::NotFound);
    assert_eq!(refused(&["../file"], None).kind, Kind::Usage);
    assert_eq!(refused(&["file"], Some("/file")).kind, Kind::Failed);
    assert_eq!(restore(&["file"], None, true).unwrap().restored.changed, 1);
    assert_eq!(service.compare(&compare).unwrap().report.changed, 0);
}

/// What is not mounted cannot be unmounted, and is told apart from what does not exist.
#[test]
fn unmounting_nothing_is_not_found() {
    let (folder, service) = pool();
    service.create_volume(&new_volume("db")).unwrap();
    let unmount = |target| {
        service
            .unmount(&Unmount {
                target,
                lazy: false,
            })
            .unwrap_err()
    };
    let error = unmount(UnmountTarget::Source(source("db", None)));
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::NotFound, "'db' is not mounted")
    );
    let error = unmount(UnmountTarget::Source(source("other", None)));
    assert_eq!(error.message, "no such volume: 'other'");
    for path in [folder.path().to_owned(), folder.path().join("no/where")] {
        let error = unmount(UnmountTarget::Path(path));
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.message.ends_with("is not mounted"), "{error}");
    }
    assert_eq!(service.mount_all().unwrap(), AllMounted::default());
}

/// A sound pool has no violations.
#[test]
fn a_new_pool_is_sound() {
    let (_folder, service) = pool();
    service.create_volume(&new_volume("db")).unwrap();
    let silent = &Silent;
    let request = CheckPool { read_data: true };
    let checked = service.check(&request, silent).unwrap();
    assert_eq!((checked.volumes, checked.violations.len()), (1, 0));
    let request = ScrubPool {
        volumes: Vec::new(),
        bytes_per_second: 0,
    };
    let scrubbed = service.scrub(&request, silent).unwrap();
    assert_eq!((scrubbed.volumes, scrubbed.violations.len()), (1, 0));
}

/// Every call gives the same through the socket as in this process: answers, errors, progress;
/// and a daemon that is told to end does so and leaves no socket.
#[test]
fn the_api_carries_every_call() {
    let folder = tempfile::tempdir().unwrap();
    Pool::create(folder.path()).unwrap();
    let service = Arc::new(Service::open(folder.path(), Life::Stays).unwrap());
    let daemon = {
        let (service, path) = (service.clone(), folder.path().to_owned());
        let listener = socket::listen(&path).unwrap();
        thread::spawn(move || server::serve_until_stopped(&service, listener, &path))
    };
    let mut client = Client::connect(folder.path()).unwrap().unwrap();
    assert_eq!(client.daemon(), &service.introduce());

    let silent = &crate::base::progress::Silent;
    let made = client.call(&new_volume("db"), silent).unwrap();
    for space in [false, true] {
        let inspect = InspectVolume {
            volume: "db".parse().unwrap(),
            space,
        };
        let found = client.call(&inspect, silent).unwrap();
        assert_eq!(found, service.volume(&inspect, silent).unwrap());
        assert_eq!(found.space.is_some(), space);
        assert_eq!(found.name, made.name);
    }
    let error = client.call(&new_volume("db"), silent).unwrap_err();
    assert_eq!(error, service.create_volume(&new_volume("db")).unwrap_err());
    let cuts = cut(&[("db", Some("v1"))]);
    assert_eq!(
        client.call(&cuts, silent).unwrap().snapshots[0].name,
        "db@v1"
    );
    let listed = client
        .call(
            &ListSnapshots {
                volume: None,
                space: false,
            },
            silent,
        )
        .unwrap();
    assert_eq!(listed, list(&service, None).unwrap());
    let to = tempfile::tempdir().unwrap();
    let mut export = ExportFiles {
        volume: "db".parse().unwrap(),
        snapshot: "v1".parse().unwrap(),
        paths: Vec::new(),
        to: std::fs::canonicalize(to.path()).unwrap(),
        identity: None,
        force: false,
    };
    let exported = client.call(&export, silent).unwrap();
    assert_eq!(exported, Exported::default());
    export.identity = Some((0, 1));
    let elsewhere = client.call(&export, silent).unwrap_err();
    assert!(elsewhere.message.contains("another folder"), "{elsewhere}");
    export.to = "relative".into();
    let relative = client.call(&export, silent).unwrap_err();
    assert_eq!(relative.kind, Kind::Usage);
    let remove = RemoveSnapshot {
        volume: "db".parse().unwrap(),
        snapshot: "v1".parse().unwrap(),
        force: true,
    };
    client.call(&remove, silent).unwrap();
    assert_eq!(
        client.call(&remove, silent).unwrap_err().kind,
        Kind::NotFound
    );
    let checked = client
        .call(&CheckPool { read_data: false }, silent)
        .unwrap();
    assert_eq!(
        checked,
        service
            .check(&CheckPool { read_data: false }, silent)
            .unwrap()
    );
    assert_eq!((checked.volumes, checked.is_sound()), (1, true));
    let status = client.call(&DaemonStatus {}, silent).unwrap();
    assert_eq!((status.pid, status.stays), (std::process::id(), true));
    assert_eq!(status.pool, std::fs::canonicalize(folder.path()).unwrap());

    let mut late = Client::connect(folder.path()).unwrap().unwrap();
    client.call(&StopDaemon { force: false }, silent).unwrap();
    let told = late
        .call(&ListVolumes {}, silent)
        .map_err(|error| error.kind);
    assert!(
        matches!(told, Err(Kind::Stopping | Kind::Unreachable)),
        "{told:?}"
    );
    daemon.join().unwrap().unwrap();
    assert!(Client::connect(folder.path()).unwrap().is_none());
    service.close().unwrap();
}

/// A socket behind which nobody answers is told as such, an absent daemon is not an error.
#[test]
fn absent_daemons_are_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Client::connect(folder.path()).unwrap().is_none());
    assert!(Client::connect(Path::new("/dev/null")).unwrap().is_none());
    drop(socket::listen(folder.path()).unwrap());
    assert!(Client::connect(folder.path()).unwrap().is_none());

    let listener = socket::listen(folder.path()).unwrap();
    let hangs_up = thread::spawn(move || drop(listener.accept().unwrap()));
    let error = Client::connect(folder.path()).err().unwrap();
    assert_eq!(error.kind, Kind::Unreachable);
    hangs_up.join().unwrap();
}

/// A clock that stands still.
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Two runs of a policy within one instant make two snapshots. Those of an older volfs, whose names
/// end with the second, are the policy's like the others, and what only looks like them is not.
#[test]
fn runs_of_a_policy_do_not_collide() {
    let (_folder, mut service) = pool();
    service.create_volume(&new_volume("db")).unwrap();
    let volume: VolumeName = "db".parse().unwrap();
    let make = |service: &Service, name: &str, made_by| {
        let of = [(volume.clone(), name.parse().unwrap())];
        let new = crate::pool::NewSnapshot {
            made_by,
            ..Default::default()
        };
        service.pool.create_snapshots_as(&of, &new).unwrap();
    };
    make(
        &service,
        "auto-20260101T000000Z",
        crate::pool::MadeBy::Policy,
    );
    make(&service, "auto-20260101T000001Z", crate::pool::MadeBy::User);
    service.clock = Box::new(Still(service.clock.now()));
    let policy = crate::pool::Policy {
        every: 3600,
        keep_last: 2,
        ..Default::default()
    };
    let set = SetPolicy {
        volume: volume.clone(),
        policy: Some(policy),
    };
    service.set_policy(&set).unwrap();
    let run = RunPolicy {
        volume: volume.clone(),
        dry_run: false,
    };
    let first = service.run_policy(&run).unwrap();
    assert_eq!(first.removed, Vec::<String>::new());
    let second = service.run_policy(&run).unwrap();
    assert_eq!(second.removed, ["db@auto-20260101T000000Z"]);
    assert_ne!(first.created, second.created);
    let names = list(&service, Some(volume)).unwrap();
    let names: Vec<&str> = names.iter().map(|one| one.name.as_str()).collect();
    let made = [first.created.unwrap(), second.created.unwrap()];
    assert_eq!(names, ["db@auto-20260101T000001Z", &made[0], &made[1]]);
    assert!(made[0].len() > "db@auto-20260101T000000Z".len(), "{made:?}");
}
