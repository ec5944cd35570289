//! What a tree of files holds, in a form that two moments can be compared by.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One line per path below the root: type, mode, owner, links, times, size, content.
pub type TreeSummary = BTreeMap<PathBuf, String>;

/// Reads every byte below `root` and summarizes it. Access and change times are left out, the
/// former because reading moves them, the latter because nobody can set them back.
pub fn summarize(root: &Path) -> io::Result<TreeSummary> {
    let mut summary = TreeSummary::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        summary.insert(relative(&folder, root), describe(&folder)?);
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if fs::symlink_metadata(&path)?.is_dir() {
                folders.push(path);
            } else {
                summary.insert(relative(&path, root), describe(&path)?);
            }
        }
    }
    Ok(summary)
}

/// Fails the test with the paths that differ.
#[track_caller]
pub fn assert_same(before: &TreeSummary, after: &TreeSummary) {
    let missing = before.keys().filter(|path| !after.contains_key(*path));
    let differing = before.keys().filter(|path| after.contains_key(*path));
    let differing = differing.filter(|path| before[*path] != after[*path]);
    let new = after.keys().filter(|path| !before.contains_key(*path));
    let lines: Vec<String> = missing
        .map(|path| format!("missing {}", path.display()))
        .chain(new.map(|path| format!("new {}", path.display())))
        .chain(differing.map(|path| {
            format!(
                "{}\n  was {}\n  is  {}",
                path.display(),
                before[path],
                after[path]
            )
        }))
        .take(20)
        .collect();
    assert!(lines.is_empty(), "the trees differ:\n{}", lines.join("\n"));
}

fn relative(path: &Path, root: &Path) -> PathBuf {
    path.strip_prefix(root)
        .expect("found below the root")
        .to_owned()
}

fn describe(path: &Path) -> io::Result<String> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let (kind, content) = if kind.is_file() {
        ("file", format!("{} {}", metadata.size(), digest(path)?))
    } else if kind.is_dir() {
        ("folder", String::new())
    } else if kind.is_symlink() {
        ("symlink", fs::read_link(path)?.display().to_string())
    } else if kind.is_fifo() {
        ("fifo", String::new())
    } else if kind.is_socket() {
        ("socket", String::new())
    } else {
        ("device", metadata.rdev().to_string())
    };
    Ok(format!(
        "{kind} {:o} {}:{} links {} mtime {}.{:09} {content}",
        metadata.mode() & 0o7777,
        metadata.uid(),
        metadata.gid(),
        metadata.nlink(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ))
}

/// The BLAKE3 checksum of a file's content.
pub fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, mode, a new name and a missing one are all seen.
    #[test]
    fn every_kind_of_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/a"), "one").unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("sub/link")).unwrap();
        let before = summarize(folder.path()).unwrap();
        assert_eq!(before.len(), 4);
        assert_same(&before, &summarize(folder.path()).unwrap());

        fs::write(folder.path().join("sub/a"), "two").unwrap();
        let after = summarize(folder.path()).unwrap();
        let caught = std::panic::catch_unwind(|| assert_same(&before, &after));
        assert!(caught.is_err());
    }
}
