//! Qdrant's storage engine through a client of our own. It comes without a checker: the client
//! compares every point, and again after all segments were rewritten.

use super::client::{Client, built, script};
use super::engine::version_of;

const VERSION: &str =
    "import importlib.metadata; print(importlib.metadata.version('qdrant-edge-py'))";

fn version() -> String {
    version_of(&built("qdrant/bin/python"), &["-c", VERSION])
}

/// The engine with vectors in mapped files.
pub fn client() -> Client {
    let program = vec![built("qdrant/bin/python"), script("qdrant_client.py")];
    Client::new("qdrant", version, program, "mapped", |_, _, _| ())
}
