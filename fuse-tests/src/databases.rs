//! Real databases, each on a data folder that the test names.

pub mod postgres;
pub mod redis;
pub mod sqlite;
