//! A cluster with a tablespace on a second volume.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::databases::postgres::{self, Postgres, copies};
use fuse_tests::fixture::text;
use fuse_tests::run::eventually;

use crate::common::LIMIT;

/// A server whose pgbench tables lie half on the volume `db`, half on the volume `space`.
fn server() -> (Fixture, Postgres, [PathBuf; 2]) {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    for name in ["db", "space"] {
        fixture.ok(&["volume", "create", name]);
    }
    let (data, space) = (fixture.mount("db"), fixture.mount("space"));
    postgres::initdb(&data);
    postgres::give(&space);
    let server = Postgres::start(&data, fixture.folder(), "pg");
    server.query(&format!(
        "create tablespace second location '{}'",
        text(&space)
    ));
    server.fill(1);
    server.query("alter table pgbench_accounts set tablespace second");
    server.query("alter index pgbench_branches_pkey set tablespace second");
    // Recovery that replays the making of a tablespace sets its link back to where it was made: the
    // clone of a cluster would work on the origin's tablespace.
    server.query("checkpoint");
    (fixture, server, [data, space])
}

/// The link of the one tablespace, which names its folder by an absolute path.
fn link(data: &Path) -> PathBuf {
    let links = fs::read_dir(data.join("pg_tblspc")).unwrap().flatten();
    let links: Vec<PathBuf> = links.map(|entry| entry.path()).collect();
    assert_eq!(links.len(), 1, "{links:?}");
    links[0].clone()
}

/// One snapshot command cuts both volumes at one moment under load: the clones start as one
/// database beside the first, and its sums of balances, half of which lie on each, agree.
#[test]
fn a_cut_through_both_volumes_starts() {
    let (fixture, server, [data, _]) = server();
    let load = server.load(120);
    eventually("transactions are committed", LIMIT, || {
        server.transactions() > 300
    });
    let before = server.transactions();
    fixture.ok(&["snapshot", "create", "db@cut", "space@cut"]);
    let after = server.transactions();
    fixture.ok(&["clone", "db@cut", "db-copy"]);
    fixture.ok(&["clone", "space@cut", "space-copy"]);
    let (copy, space) = (fixture.mount("db-copy"), fixture.mount("space-copy"));
    let place = link(&copy);
    fs::remove_file(&place).unwrap();
    symlink(&space, &place).unwrap();

    let clone = Postgres::start_copy(&copy, fixture.folder(), "copy");
    assert_eq!(fs::read_link(&place).unwrap(), space);
    clone.check();
    let found = clone.transactions();
    assert!(
        (before..=after).contains(&found),
        "{found} is not in {before}..={after}"
    );
    clone.work(1);
    clone.check();
    clone.stop();
    postgres::check_pages(&copy);
    server.crash();
    load.finish(LIMIT);
    let server = Postgres::start(&data, fixture.folder(), "pg");
    server.check();
    server.stop();
}

/// A base backup takes the tablespace along to another volume; a table and its indexes move from
/// one volume to the other, and dropping the tablespace leaves its volume empty.
#[test]
fn tablespaces_are_copied_moved_and_dropped() {
    let (fixture, server, [data, space]) = server();
    for name in ["db-copy", "space-copy"] {
        fixture.ok(&["volume", "create", name]);
    }
    let (copy, space_copy) = (fixture.mount("db-copy"), fixture.mount("space-copy"));
    postgres::give(&space_copy);
    let mapping = format!("{}={}", text(&space), text(&space_copy));
    copies::base_backup(&server, &copy, &["--tablespace-mapping", &mapping]);
    assert_eq!(fs::read_link(link(&copy)).unwrap(), space_copy);
    let second = Postgres::start(&copy, fixture.folder(), "copy");
    second.check();
    second.stop();
    postgres::check_pages(&copy);

    server.query("alter table all in tablespace second set tablespace pg_default");
    server.query("alter index all in tablespace second set tablespace pg_default");
    server.check();
    server.query("drop tablespace second");
    server.stop();
    assert_eq!(fs::read_dir(&space).unwrap().count(), 0);
    postgres::check_pages(&data);
}
