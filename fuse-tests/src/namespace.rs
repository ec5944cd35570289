//! Mount namespaces for programs that need mounts of their own.

use std::path::Path;
use std::process::Command;

/// A new namespace has copies of all mounts, also of those of tests beside this one, whose daemons
/// then count as used for as long as it lives. It needs only those below the folder.
const DETACH_OTHERS: &str = r#"
    awk -v own="$0/" '$3 == "fuse.volfs" && index($2, own) != 1 { print $2 }' /proc/mounts |
        while read -r other; do umount -l "$other" || true; done
    exec "$@"
"#;

/// The start of a command line: what is appended to it runs in a mount namespace of its own, with
/// the volumes that are mounted below `folder`, and no others.
pub fn with_own_mounts(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-ec", DETACH_OTHERS])
        .arg(folder);
    command
}
