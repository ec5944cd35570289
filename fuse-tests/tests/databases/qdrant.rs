//! Qdrant's storage engine: a log and vectors in mapped files.

use fuse_tests::databases::qdrant;

use crate::trials::{snapshot_and_clone, survive_kills};

/// Every point that was updated survives the engine's death, every point that was flushed the
/// daemon's; vectors, payloads, counts and searches fit, also after all segments are rewritten.
#[test]
fn qdrant_survives_kills() {
    survive_kills(&qdrant::client());
}

/// A snapshot under load opens with every flushed point; its clone works beside the origin.
#[test]
fn qdrant_snapshot_under_load_is_sound() {
    snapshot_and_clone(&qdrant::client());
}
