//! Copies that MariaDB makes by its own means.

use std::path::Path;
use std::time::Duration;

use super::{MariaDb, as_user, data_folder, make_folders};
use crate::fixture::text;
use crate::run::run_for;

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(120);

/// `mariadb-backup` of a running server onto an empty volume, ready for [`MariaDb::start`].
#[track_caller]
pub fn backup(origin: &MariaDb, volume: &Path) {
    make_folders(volume);
    let target = format!("--target-dir={}", text(&data_folder(volume)));
    let mut backup = as_user("mariadb-backup");
    backup.args(["--no-defaults", "--backup", "--user=root", &target]);
    backup.arg(format!("--socket={}", text(&origin.socket)));
    run_for(&mut backup, LIMIT).ok();
    let mut prepare = as_user("mariadb-backup");
    // The default may be a folder of root's.
    let scratch = format!("--tmpdir={}", text(&volume.join("tmp")));
    prepare.args(["--no-defaults", "--prepare", &target, &scratch]);
    run_for(&mut prepare, LIMIT).ok();
}
