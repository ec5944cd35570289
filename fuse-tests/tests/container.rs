//! A container whose data lies on a volume.

use std::fs;
use std::time::Duration;

use fuse_tests::docker::Docker;
use fuse_tests::fixture::text;
use fuse_tests::run::eventually;
use fuse_tests::{Fixture, Ran};

const LIMIT: Duration = Duration::from_secs(60);

/// A Redis container that was destroyed with its image's last trace and made anew finds its data;
/// so does the host, and a clone feeds a second container beside the first.
#[test]
fn container_data_outlives_the_container() {
    let fixture = Fixture::with_limit(Duration::from_secs(240));
    fixture.ok(&["volume", "create", "redis"]);
    let data = fixture.mount("redis");
    let docker = Docker::start(fixture.folder());
    docker.import(
        "redis",
        &["/usr/bin/redis-server", "/usr/bin/redis-cli", "/bin/sh"],
    );
    let ask = |name: &str, command: &[&str]| -> Ran {
        docker.docker(&[&["exec", name, "/usr/bin/redis-cli"], command].concat())
    };
    let start = |name: &str, folder: &str| {
        let bind = format!("{folder}:/data");
        let server = [
            "/usr/bin/redis-server",
            "--dir",
            "/data",
            "--appendonly",
            "yes",
        ];
        let server = [&server[..], &["--appendfsync", "always", "--save", ""]].concat();
        let run = [
            "run",
            "-d",
            "--name",
            name,
            "--network=none",
            "-v",
            &bind,
            "redis",
        ];
        docker.docker(&[&run[..], &server].concat()).ok();
        eventually("Redis answers", LIMIT, || {
            ask(name, &["PING"]).stdout.trim() == "PONG"
        });
    };

    start("first", text(&data));
    for number in 0..20 {
        assert_eq!(
            ask("first", &["SET", &format!("k{number}"), "kept"]).ok(),
            "OK"
        );
    }
    docker.docker(&["rm", "-f", "first"]).ok();
    assert!(
        fs::read_dir(&data).unwrap().count() > 0,
        "the data lies on the volume"
    );

    start("second", text(&data));
    assert_eq!(ask("second", &["DBSIZE"]).ok(), "20");
    fixture.ok(&["clone", "redis", "copy"]);
    start("beside", text(&fixture.mount("copy")));
    ask("beside", &["FLUSHALL"]).ok();
    assert_eq!(ask("beside", &["DBSIZE"]).ok(), "0");
    assert_eq!(ask("second", &["GET", "k7"]).ok(), "kept");
    docker.docker(&["rm", "-f", "second", "beside"]).ok();
}
