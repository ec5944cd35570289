//! Files used as Neo4j does: preallocation, a log that is forced and rotated, a mapped store, and
//! a lock file.

use fuse_tests::databases::engine::Engine;
use fuse_tests::databases::graph_store::{self, LOCKED};

use crate::common::fixture;
use crate::trials::{reach, site, snapshot_and_clone, survive_kills};

/// Every commit whose log was forced is there after each kind of death, in both stores.
#[test]
fn graph_store_survives_kills() {
    survive_kills(&graph_store::client());
}

/// A snapshot under load recovers from its log; its clone works beside the origin.
#[test]
fn graph_store_snapshot_under_load_is_sound() {
    snapshot_and_clone(&graph_store::client());
}

/// The lock file keeps a second program out as long as the first lives, and no longer.
#[test]
fn graph_store_is_opened_once() {
    let fixture = fixture();
    let site = site(&fixture, "db");
    let client = graph_store::client();
    let mut writing = client.start(&site);
    reach(writing.as_mut(), 1);
    client.content(&site.data).expect_code(LOCKED);
    writing.progress();
    let promised = writing.kill();
    assert!(client.check(&site) >= promised.written);
}
