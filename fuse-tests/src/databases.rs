//! Real databases, each on a data folder that the test names.

pub mod client;
pub mod engine;
pub mod graph_store;
pub mod lmdb;
pub mod mariadb;
pub mod postgres;
pub mod qdrant;
pub mod redis;
pub mod rocksdb;
pub mod sqlite;
pub mod wiredtiger;
