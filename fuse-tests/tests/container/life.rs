//! Containers come and go, the data stays.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fuse_tests::Fixture;
use fuse_tests::containers::{Engine, bind};
use fuse_tests::image::Image;
use fuse_tests::run::Ran;

use crate::{with_docker, with_podman};

/// The user of most official database images.
const USER: &str = "999:999";
const IDLE: [&str; 2] = ["/bin/sleep", "600"];
const CLI: &str = "/usr/bin/redis-cli";

fn image(folder: &Path) -> Image {
    Image::new(folder, "redis").programs(&[
        "/usr/bin/redis-server",
        CLI,
        "/bin/sh",
        "/bin/cat",
        "/bin/rm",
        "/bin/touch",
        "/bin/sleep",
    ])
}

/// A Redis that syncs every write.
fn start(engine: &dyn Engine, name: &str, user: &str, data: &Path) {
    let server = ["/usr/bin/redis-server", "--dir", "/data", "--save", ""];
    let server = [
        &server[..],
        &["--appendonly", "yes", "--appendfsync", "always"],
    ]
    .concat();
    let options = ["--user", user, "-v", &bind(data, "/data")];
    engine.start(name, &options, "redis", &server);
    engine.answers(name, &[CLI, "PING"], "PONG");
}

fn ask(engine: &dyn Engine, name: &str, command: &[&str]) -> Ran {
    engine.exec(name, &[&[CLI], command].concat())
}

/// As root and as uid 999: what a container has written is there after its restart, for the host,
/// and for another container after the first one was destroyed; a clone feeds a third one beside.
fn data_outlives_containers(fixture: &Fixture, engine: &dyn Engine) {
    engine.import(&image(fixture.folder()));
    for user in ["0:0", USER] {
        let volume = format!("redis-{}", &user[..1]);
        fixture.ok(&[
            "volume", "create", &volume, "--owner", user, "--mode", "0700",
        ]);
        let data = fixture.mount(&volume);
        start(engine, "first", user, &data);
        for number in 0..20 {
            let set = ["SET", &format!("k{number}"), "kept"];
            assert_eq!(ask(engine, "first", &set).ok(), "OK");
        }
        engine.command(&["restart", "-t", "5", "first"]).ok();
        engine.answers("first", &[CLI, "DBSIZE"], "20");
        engine.destroy("first");
        let owner = fs::metadata(data.join("appendonlydir")).unwrap().uid();
        assert_eq!(owner.to_string(), user.split_once(':').unwrap().0);

        start(engine, "second", user, &data);
        assert_eq!(ask(engine, "second", &["DBSIZE"]).ok(), "20");
        // A snapshot shows through the bind mount of a container that runs.
        fixture.ok(&["snapshot", "create", &volume, "then"]);
        let manifest = "/data/.volfs/snapshots/then/appendonlydir/appendonly.aof.manifest";
        let read = engine.exec("second", &["/bin/cat", manifest]).ok();
        assert!(read.contains("appendonly.aof"), "{read}");
        let copy = format!("{volume}-copy");
        fixture.ok(&["clone", &volume, &copy]);
        start(engine, "beside", user, &fixture.mount(&copy));
        assert_eq!(ask(engine, "beside", &["FLUSHALL"]).ok(), "OK");
        assert_eq!(ask(engine, "beside", &["DBSIZE"]).ok(), "0");
        assert_eq!(ask(engine, "second", &["GET", "k7"]).ok(), "kept");
        engine.destroy("second");
        engine.destroy("beside");
    }
}

/// A second container reads what the first one writes, as it is written, and can change nothing;
/// nor can one whose user owns nothing there.
fn shared_read_only(fixture: &Fixture, engine: &dyn Engine) {
    engine.import(&image(fixture.folder()));
    fixture.ok(&[
        "volume", "create", "data", "--owner", USER, "--mode", "0755",
    ]);
    let data = fixture.mount("data");
    let writable = ["--user", USER, "-v", &bind(&data, "/data")];
    let read_only = ["--user", USER, "-v", &bind(&data, "/data:ro")];
    let stranger = ["--user", "998:998", "-v", &bind(&data, "/data")];
    engine.start("writer", &writable, "redis", &IDLE);
    engine.start("reader", &read_only, "redis", &IDLE);
    for round in 0..3 {
        let write = format!("echo {round} > /data/file");
        engine.exec("writer", &["/bin/sh", "-c", &write]).ok();
        let read = engine.exec("reader", &["/bin/cat", "/data/file"]).ok();
        assert_eq!(read, round.to_string());
    }
    for change in [&["/bin/touch", "/data/new"][..], &["/bin/rm", "/data/file"]] {
        let refused = engine.exec("reader", change);
        assert!(refused.code != 0, "{refused:#?}");
        assert!(
            refused.stderr.contains("Read-only file system"),
            "{refused:#?}"
        );
        let refused = engine.once(&stranger, "redis", change);
        assert!(refused.code != 0, "{refused:#?}");
        assert!(refused.stderr.contains("Permission denied"), "{refused:#?}");
    }
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "2\n");
    engine.destroy("writer");
    engine.destroy("reader");
}

#[test]
fn docker_data_outlives_containers() {
    with_docker(data_outlives_containers);
}

#[test]
fn podman_data_outlives_containers() {
    with_podman(data_outlives_containers);
}

#[test]
fn docker_shares_a_volume_read_only() {
    with_docker(shared_read_only);
}

#[test]
fn podman_shares_a_volume_read_only() {
    with_podman(shared_read_only);
}
