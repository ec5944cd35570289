//! Postgres in a container with an entry point like that of the official image.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use fuse_tests::Fixture;
use fuse_tests::containers::{Engine, bind};
use fuse_tests::image::Image;
use fuse_tests::podman::{FIRST_ID, Podman, USER};

use crate::{LIMIT, with_docker, with_podman};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const LIBRARIES: &str = "/usr/lib/postgresql/15/lib";
const ENTRY_POINT: &str = include_str!("postgres-entrypoint.sh");
const USERS: &str = "root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n";
const GROUPS: &str = "root:x:0:\npostgres:x:999:\n";

fn image(folder: &Path) -> Image {
    let tools = [
        "sh", "chmod", "chown", "find", "id", "ln", "mkdir", "setpriv", "cat",
    ];
    let tools = tools.map(|tool| format!("/usr/bin/{tool}"));
    let servers = ["postgres", "initdb", "pg_ctl", "psql", "pg_isready"];
    let servers = servers.map(|program| format!("{PROGRAMS}/{program}"));
    // Not the compiler for queries, which is larger than all the rest.
    let libraries = fs::read_dir(LIBRARIES)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let libraries = libraries
        .filter(|path| path.extension().is_some_and(|end| end == "so"))
        .map(|path| path.to_str().unwrap().to_owned())
        .filter(|path| !path.contains("llvmjit"));
    let programs: Vec<String> = tools.into_iter().chain(servers).chain(libraries).collect();
    let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
    Image::new(folder, "postgres")
        .programs(&programs)
        .programs(&["/usr/sbin/gosu"])
        .tree("/usr/share/postgresql/15")
        .tree("/usr/share/zoneinfo/Etc")
        .file("/etc/passwd", USERS, 0o644)
        .file("/etc/group", GROUPS, 0o644)
        .file("/usr/bin/docker-entrypoint.sh", ENTRY_POINT, 0o755)
}

/// Starts the image as `docker run postgres` does, and waits for the server.
fn start(engine: &dyn Engine, name: &str, step_down: &str, home: &Path) {
    let path = format!("PATH={PROGRAMS}:/usr/sbin:/usr/bin");
    let step_down = format!("STEP_DOWN={step_down}");
    let volume = bind(home, "/var/lib/postgresql");
    let options = ["-e", &path, "-e", &step_down, "-v", &volume];
    let options = [
        &options[..],
        &["--stop-signal", "SIGINT", "--shm-size", "64m"],
    ]
    .concat();
    let command = ["/usr/bin/docker-entrypoint.sh", "postgres", "-D"];
    let server = [
        "/var/lib/postgresql/data",
        "-c",
        "listen_addresses=",
        "-k",
        "/tmp",
    ];
    engine.start(
        name,
        &options,
        "postgres",
        &[&command[..], &server].concat(),
    );
    // The temporary server of the entry point is gone when the process has become the server.
    let ready = [
        "/bin/sh",
        "-c",
        "read -r name < /proc/1/comm; echo $name; pg_isready -q -h /tmp",
    ];
    engine.answers(name, &ready, "postgres");
}

fn sql(engine: &dyn Engine, name: &str, statement: &str) -> String {
    let psql = format!("{PROGRAMS}/psql");
    let psql = [
        &psql,
        "-h",
        "/tmp",
        "-U",
        "postgres",
        "-Atq",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
    ];
    engine.exec(name, &[&psql[..], &[statement]].concat()).ok()
}

/// A volume that belongs to the container's root becomes the home of a cluster of uid 999, which is
/// `owner` on the host; it survives a restart and the container's end, and the next container finds
/// it and makes no new one. Both ways to step down that images use.
fn official_entry_point(engine: &dyn Engine, folder: &Path, home: &Path, owner: u32) {
    engine.import(&image(folder));
    start(engine, "first", "gosu postgres", home);
    let data = fs::metadata(home.join("data")).unwrap();
    assert_eq!(
        (data.uid(), data.permissions().mode() & 0o7777),
        (owner, 0o700)
    );
    let log = fs::read_link(home.join("log/access.log")).unwrap();
    assert_eq!(log, Path::new("/dev/stdout"));
    sql(
        engine,
        "first",
        "insert into visits select generate_series(1, 1000)",
    );
    let logs = engine.command(&["logs", "first"]).expect_code(0);
    assert!(logs.stdout.contains("the cluster is new"), "{logs:#?}");
    assert!(logs.stderr.contains("the server runs as 999"), "{logs:#?}");
    assert!(
        logs.stderr.contains("ready to accept connections"),
        "{logs:#?}"
    );

    engine.command(&["restart", "-t", "30", "first"]).ok();
    engine.answers("first", &["/bin/sh", "-c", "pg_isready -q -h /tmp"], "");
    assert_eq!(sql(engine, "first", "select count(*) from visits"), "1000");
    // Killed: the next server has to recover.
    engine.destroy("first");

    let step_down = "setpriv --reuid=postgres --regid=postgres --clear-groups --";
    start(engine, "second", step_down, home);
    assert_eq!(
        sql(engine, "second", "select sum(number) from visits"),
        "500500"
    );
    let logs = engine.command(&["logs", "second"]).expect_code(0);
    assert!(!logs.stdout.contains("the cluster is new"), "{logs:#?}");
    engine.command(&["stop", "-t", "30", "second"]).ok();
    let state = engine
        .command(&["inspect", "-f", "{{.State.ExitCode}}", "second"])
        .ok();
    assert_eq!(state, "0", "a clean stop");
    engine.destroy("second");
}

fn as_root(fixture: &Fixture, engine: &dyn Engine) {
    fixture.ok(&["volume", "create", "pg"]);
    let home = fixture.mount("pg");
    official_entry_point(engine, fixture.folder(), &home, 999);
}

#[test]
fn docker_runs_an_official_entry_point() {
    with_docker(as_root);
}

#[test]
fn podman_runs_an_official_entry_point() {
    with_podman(as_root);
}

/// The same for a normal user who has no rights on the host, on a volume that root has mounted.
#[test]
fn rootless_podman_runs_an_official_entry_point() {
    let fixture = Fixture::with_limit(LIMIT);
    let owner = format!("{USER}:{USER}");
    fixture.ok(&["volume", "create", "pg", "--owner", &owner]);
    let home = fixture.mount("pg");
    let podman = Podman::rootless(fixture.folder());
    official_entry_point(&podman, fixture.folder(), &home, FIRST_ID + 998);
}
