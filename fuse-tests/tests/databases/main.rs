//! Databases as clients of a volume, each with a checker of its own. What happens to them in an
//! outage is in `outages/`.
//!
//! `VOLFS_TEST_ROUNDS`, `VOLFS_TEST_SEED`, `VOLFS_TEST_RECORDS` and the variables named in a file
//! make them longer.

mod canaries;
mod common;
mod full_disk;
mod graph_store;
mod lmdb;
mod mariadb;
mod o_tmpfile;
mod page_writes;
mod postgres;
mod qdrant;
mod redis;
mod rocksdb;
mod sqlite;
mod trials;
mod warnings;
mod wiredtiger;
