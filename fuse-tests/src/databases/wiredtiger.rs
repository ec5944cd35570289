//! WiredTiger, MongoDB's storage engine, through a client of our own; `wt` checks it.
//!
//! Debian's by default. `VOLFS_TEST_WIREDTIGER` names a folder with the programs of another build:
//! see `scripts/wiredtiger.sh`.

use std::env;
use std::process::Command;

use super::client::{Client, built};
use super::engine::{Site, version_of};
use crate::run::run;

/// Mode `buffered` or `direct`.
pub fn client(mode: &'static str) -> Client {
    let version = || version_of(&wt(), &["-V"]);
    let name = "wiredtiger-client";
    let program = of_another_build(name).unwrap_or_else(|| built(name));
    // `__log_wait_for_earlier_slot` and `__wt_log_force_sync` of its src/log/log.c wait for what
    // another thread writes to the log without asking whether that thread has given up.
    Client::new("wiredtiger", version, vec![program], mode, check).with_deadlocks()
}

fn of_another_build(name: &str) -> Option<String> {
    let folder = env::var("VOLFS_TEST_WIREDTIGER").ok()?;
    Some(format!("{folder}/{name}"))
}

fn wt() -> String {
    of_another_build("wt").unwrap_or_else(|| "wt".to_owned())
}

/// Verifies every page of each table.
#[track_caller]
fn check(_: &Client, site: &Site, _: u64) {
    let home = site.data.join("wiredtiger");
    for table in ["table:records", "table:totals"] {
        let mut command = Command::new(wt());
        command.args(["-R", "-h"]).arg(&home);
        run(command.args(["verify", table])).ok();
    }
}
