//! Files used as Neo4j does, by a Java program of our own, which checks them as it opens them.

use std::path::Path;

use super::client::{Client, built};
use super::engine::version_of;

/// The program's exit code when another one has the store.
pub const LOCKED: i32 = 3;

/// Four threads commit; each may have appended a record, or told of it late.
const UNDER_WAY: u64 = 8;

/// The store.
pub fn client() -> Client {
    let class = built("GraphStore.class");
    let folder = Path::new(&class).parent().expect("it lies in a folder");
    let java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"];
    let program = java
        .into_iter()
        .chain([crate::fixture::text(folder), "GraphStore"]);
    let program = program.map(str::to_owned).collect();
    let version = || version_of("java", &["--version"]);
    Client::new("graph", version, program, "store", |_, _, _| ()).with_in_flight(UNDER_WAY)
}
