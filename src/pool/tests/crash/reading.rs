//! What a pool holds, read from its root folders on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::WHO;
use super::model::{Entry, Found, Tree};
use super::world::text;
use crate::base::Ino;
use crate::pool::Pool;
use crate::volume::Volume;
use crate::volume::ops::FileKind;

pub(super) fn read_pool(pool: &Arc<Pool>) -> Found {
    let mut found = Found::default();
    for info in pool.volumes() {
        assert_eq!(info.poisoned, None, "volume {}", info.name);
        let volume = pool.open_volume(&info.name).expect("a listed volume");
        found.volumes.insert(
            info.name.to_string(),
            read_tree(&volume, info.name.as_str()),
        );
    }
    for info in pool.snapshots(None).expect("the snapshots") {
        let opened = pool.open_snapshot(&info.volume, &info.name);
        let tree = read_tree(&opened.expect("a listed snapshot"), info.name.as_str());
        found
            .snapshots
            .insert((info.volume.to_string(), info.name.to_string()), tree);
    }
    found
}

fn read_tree(volume: &Volume, of: &str) -> Tree {
    let mut tree = BTreeMap::new();
    let mut folders = vec![(String::new(), Ino::ROOT)];
    while let Some((prefix, folder)) = folders.pop() {
        let mut entries = Vec::new();
        let listed = volume.readdir_plus(&WHO, folder, 2, &mut |entry, attr| {
            let name = String::from_utf8_lossy(entry.name).into_owned();
            entries.push((format!("{prefix}{name}"), *attr));
            true
        });
        listed.unwrap_or_else(|error| panic!("{of}: '{prefix}' cannot be listed: {}", text(error)));
        for (path, attr) in entries {
            if attr.kind == FileKind::Directory {
                folders.push((format!("{path}/"), attr.ino));
                tree.insert(path, Entry::Folder);
            } else {
                let read = volume.read_file(&WHO, attr.ino, 0, attr.size as usize);
                let data = read.unwrap_or_else(|error| {
                    panic!("{of}: '{path}' cannot be read: {}", text(error))
                });
                tree.insert(path, Entry::File(Arc::new(data)));
            }
        }
    }
    tree
}
