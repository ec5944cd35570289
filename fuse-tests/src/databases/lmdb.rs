//! LMDB through a client of our own; mdb_stat and mdb_copy check it.

use std::fs;
use std::process::Command;

use super::client::{Client, built};
use super::engine::{Site, version_of};
use crate::run::run;

/// Mode `plain` or `writemap`.
pub fn client(mode: &'static str) -> Client {
    let version = || version_of("mdb_stat", &["-V"]);
    Client::new("lmdb", version, vec![built("lmdb-client")], mode, check)
}

/// Walks every page, and copies the database both ways; the copies hold the same.
#[track_caller]
fn check(client: &Client, site: &Site, last: u64) {
    let folder = site.data.join("lmdb");
    let all = ["-a", "-e", "-f", "-r"];
    run(Command::new("mdb_stat").args(all).arg(&folder)).ok();
    let copies = tempfile::tempdir_in(&site.outside).expect("a folder of the host");
    for (name, options) in [("plain", &[][..]), ("compacted", &["-c"][..])] {
        let copy = copies.path().join(name);
        fs::create_dir_all(copy.join("lmdb")).expect("the folder is new");
        let target = copy.join("lmdb");
        run(Command::new("mdb_copy")
            .args(options)
            .args([&folder, &target]))
        .ok();
        assert_eq!(client.last_record(&copy), last, "in the {name} copy");
    }
}
