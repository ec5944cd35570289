//! PostgreSQL 15.

mod copies;
mod crashes;
mod create_database;
mod snapshots;
mod suite;
mod tablespaces;
mod wal;
