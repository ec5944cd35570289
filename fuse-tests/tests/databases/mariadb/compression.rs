//! Page compression: InnoDB writes a page short, so that the rest of it stays a hole, and punches
//! holes where deletes have freed pages. (It does not punch where a page that was written long is
//! written short: not on ext4 either.)

use std::path::Path;

use fuse_tests::Fixture;
use fuse_tests::databases::mariadb::{self, MariaDb, pages};
use fuse_tests::open_files::{DIRECT, open_files};
use fuse_tests::run::eventually;

use crate::common::LIMIT;

/// 16 KiB pages that shrink to less than 4 KiB.
const FILL: &str = "select seq, concat(repeat(md5(seq), 20)), seq * 7 from pages.seq_1_to_30000";

/// Makes and fills a table, and changes a third of its rows.
fn make_table(server: &MariaDb, name: &str, option: &str) {
    server.query(&format!(
        "create table pages.{name}(n int primary key, text text, other int, key(other)) \
         engine=innodb {option}; insert into pages.{name} {FILL}; \
         update pages.{name} set other = other + 1 where n % 3 = 0"
    ));
}

/// Each table has the rows of the first.
#[track_caller]
fn assert_equal(server: &MariaDb, names: &[&str]) {
    let columns = "count(*), sum(crc32(concat(n, text, other)))";
    let contents = names
        .iter()
        .map(|name| server.query(&format!("select {columns} from pages.{name}")));
    let contents: Vec<String> = contents.collect();
    assert!(contents.iter().all(|it| *it == contents[0]), "{contents:?}");
}

/// The tables that a server has open are open with O_DIRECT.
#[track_caller]
fn assert_direct(server: &MariaDb) {
    let mut files = open_files(server.pid());
    files.retain(|file| file.path.extension().is_some_and(|end| end == "ibd"));
    let direct = files.iter().filter(|file| file.flags & DIRECT != 0);
    assert!(
        direct.count() == files.len() && files.len() > 3,
        "{files:?}"
    );
}

/// No more than this share of the length of a table's file is allocated.
#[track_caller]
fn assert_holes(volume: &Path, table: &str, share: f64) {
    let (length, allocated) = pages::table_file(volume, "pages", table);
    println!("{table}: {allocated} of {length} bytes are allocated");
    let is_short = allocated as f64 <= length as f64 * share;
    assert!(is_short, "{table}: {allocated} of {length} bytes");
}

/// Deletes most rows: the pages that this frees are punched, and their space is given back.
#[track_caller]
fn assert_punched(server: &MariaDb, volume: &Path, table: &str) {
    let allocated = || pages::table_file(volume, "pages", table).1;
    let before = allocated();
    server.query(&format!(
        "delete from pages.{table} where n > 1000; set global innodb_max_purge_lag_wait = 0; \
         flush tables pages.{table} for export; unlock tables"
    ));
    eventually("space is given back", LIMIT, || allocated() < before / 4);
    let left = server.number(&format!("select count(*) from pages.{table}"));
    assert_eq!(left, 1000);
    server.check_tables();
    println!("{before} bytes became {}", allocated());
}

/// On a volume with this block size a compressed table's file takes no more than this share of
/// its length, whether the table or the server asks for it, also when it was made anew and the
/// volume was mounted anew; its rows are those of a plain table. Deletes give space back.
fn holes_release_space(block_size: &str, share: f64) {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "--block-size", block_size, "db"]);
    let volume = fixture.mount("db");
    mariadb::install(&volume);
    let start = |default: &str| {
        let default = format!("--innodb-compression-default={default}");
        let options = [&default, "--innodb-compression-algorithm=zlib"];
        MariaDb::start_with(&volume, fixture.folder(), "db", &options)
    };
    let server = start("OFF");
    server.query("create database pages");
    make_table(&server, "plain", "");
    make_table(&server, "asked", "page_compressed=1");
    server.check_tables();
    assert_equal(&server, &["plain", "asked"]);
    assert_direct(&server);
    server.stop();
    pages::check_pages(&volume);
    fixture.umount("db");
    fixture.mount("db");
    assert_holes(&volume, "asked", share);
    let (length, allocated) = pages::table_file(&volume, "pages", "plain");
    assert!(allocated > length / 2, "the plain table has no holes");

    let server = start("ON");
    assert_equal(&server, &["plain", "asked"]);
    make_table(&server, "by_default", "");
    server.query("optimize table pages.asked; alter table pages.plain page_compressed=1, force");
    let all = ["plain", "asked", "by_default"];
    assert_equal(&server, &all);
    server.check_tables();
    server.stop();
    pages::check_pages(&volume);
    for table in all {
        assert_holes(&volume, table, share);
    }

    let server = start("ON");
    assert_punched(&server, &volume, "by_default");
    server.stop();
    pages::check_pages(&volume);
}

/// Blocks of 8 KiB, the default: a hole of half a page.
#[test]
fn punched_pages_release_space_on_blocks_of_8_kib() {
    holes_release_space("8K", 0.65);
}

/// Blocks of 4 KiB: of a page that shrinks to less than that, three quarters are a hole.
#[test]
fn punched_pages_release_space_on_blocks_of_4_kib() {
    holes_release_space("4K", 0.40);
}
