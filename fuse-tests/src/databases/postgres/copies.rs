//! Copies that Postgres makes of a cluster by its own means.

use std::path::Path;
use std::time::Duration;

use super::{Postgres, as_user, give};
use crate::fixture::text;
use crate::run::{run, run_for};

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(120);

/// `pg_basebackup` of a running server into the empty folder `target`, with further arguments,
/// and `pg_verifybackup` of it.
#[track_caller]
pub fn base_backup(origin: &Postgres, target: &Path, more: &[&str]) {
    give(target);
    let mut backup = as_user("pg_basebackup");
    backup.args(["-h", origin.host(), "-D", text(target)]);
    backup.args(["--checkpoint=fast", "--wal-method=stream"]);
    run_for(backup.args(more), LIMIT).ok();
    run(as_user("pg_verifybackup").arg(target)).ok();
}

/// `pg_rewind`: makes the stopped cluster `target` a standby of `origin`, from which its history
/// has parted.
#[track_caller]
pub fn rewind(target: &Path, origin: &Postgres) {
    let source = format!("host={} dbname=postgres", origin.host());
    let mut rewind = as_user("pg_rewind");
    rewind.args(["--target-pgdata", text(target), "--source-server", &source]);
    run_for(rewind.arg("--write-recovery-conf"), LIMIT).ok();
}
