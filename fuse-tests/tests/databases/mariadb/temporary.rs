//! Temporary files, for which MariaDB asks for O_TMPFILE first.

use std::fs;
use std::path::Path;

use fuse_tests::databases::mariadb::{self, MariaDb};
use fuse_tests::open_files::open_files;

use crate::common::fixture;

/// Names of the unlinked files in `tmp` that a server has open.
fn temporary_files(server: &MariaDb, volume: &Path) -> Vec<String> {
    let tmp = volume.join("tmp");
    let files = open_files(server.pid()).into_iter();
    let names = files.filter_map(|file| {
        let name = file.path.strip_prefix(&tmp).ok()?.to_string_lossy();
        name.strip_suffix(" (deleted)").map(str::to_owned)
    });
    names.collect()
}

/// Sorts and groups more than fits into memory, and names what it found.
fn sort(server: &MariaDb) -> String {
    let result = server.query(
        "select sum(crc32(concat(place, text))) from \
         (select row_number() over (order by md5(seq)) as place, repeat(md5(seq), 4) as text \
         from mysql.seq_1_to_60000) as sorted; \
         select count(*), sum(n) from \
         (select md5(seq % 20000) as part, count(*) as n \
         from mysql.seq_1_to_60000 group by part) as g",
    );
    assert!(
        server.status("Created_tmp_disk_tables") > 0,
        "no table went to disk"
    );
    assert!(
        server.status("Sort_merge_passes") > 0,
        "no sort went to disk"
    );
    result
}

/// With its folder of temporary files on a volume, which has no O_TMPFILE, it makes them by name
/// and unlinks them; sorts that go through them find what they find on the host's filesystem,
/// where the files never had a name.
#[test]
fn temporary_files_work_without_o_tmpfile() {
    let fixture = fixture();
    let volume = fixture.mount("db");
    let plain = fixture.folder().join("plain");
    fs::create_dir(&plain).unwrap();
    let results = [(&volume, "on-volume"), (&plain, "on-host")].map(|(place, name)| {
        mariadb::install(place);
        let server = MariaDb::start(place, fixture.folder(), name);
        let result = sort(&server);
        let files = temporary_files(&server, place);
        let does_without = server.log().contains("O_TMPFILE is not supported");
        server.stop();
        (result, files, does_without)
    });
    let [(on_volume, named, true), (on_host, unnamed, false)] = results else {
        panic!("O_TMPFILE is not what differs: {results:?}");
    };
    assert_eq!(on_volume, on_host);
    // The kernel calls a file without a name after its inode number.
    assert!(
        !named.is_empty() && named.iter().all(|name| !name.starts_with('#')),
        "{named:?}"
    );
    assert!(
        unnamed.iter().any(|name| name.starts_with('#')),
        "{unnamed:?}"
    );
    assert_eq!(fs::read_dir(volume.join("tmp")).unwrap().count(), 0);
}
