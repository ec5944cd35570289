//! What must hold of `mounts.json` with any bytes.

use std::path::Path;

use super::saved;

/// A list is refused, or means the same once it was written.
pub(crate) fn mounts(bytes: &[u8]) {
    let path = Path::new("mounts.json");
    let Ok(mounts) = saved::parse(bytes, path) else {
        return;
    };
    let json = saved::to_json(&mounts).expect("what was read can be written");
    assert_eq!(saved::parse(&json, path), Ok(mounts));
}

/// Two lines.
#[cfg(test)]
pub(crate) fn mounts_seeds() -> Vec<(&'static str, Vec<u8>)> {
    use super::saved::SavedMount;
    use crate::daemon::{MountFlags, Source};

    let line = |source, path: &str, immutable| SavedMount {
        source,
        path: path.into(),
        flags: MountFlags {
            allow_other: Some(immutable),
            ..MountFlags::default()
        },
        immutable,
    };
    let volume = Source::live("db".parse().expect("a name"));
    let snapshot = Source {
        snapshot: Some("before".parse().expect("a name")),
        ..volume.clone()
    };
    let mounts = vec![line(volume, "/mnt/a", true), line(snapshot, "/b", false)];
    vec![("two", saved::to_json(&mounts).expect("it can be written"))]
}
