//! Who uses a mount, in words.

use std::collections::BTreeMap;

use super::kernel;
use super::sessions::Session;
use crate::base::SnapshotId;
use crate::daemon::{Kind, ServiceError, Source};
use crate::fuse::{self, Holder};

/// How many users a message names.
const NAMED_USERS: usize = 10;

/// Who holds something of a session: processes with open files, and other mount namespaces.
pub(crate) fn holders_of(session: &Session) -> Vec<String> {
    let device = session.mount.device();
    let mut holders = fuse::holders(device);
    holders.extend(kernel::elsewhere(device));
    describe(&holders)
}

/// The same for the live volume: who only looks at its snapshots holds nothing of it.
pub(crate) fn holders_of_live(session: &Session) -> Vec<String> {
    let mut holders = session.mount.holders_of_live();
    holders.extend(kernel::elsewhere(session.mount.device()));
    describe(&holders)
}

/// Who holds something of a snapshot through the mount of its volume.
pub(crate) fn holders_of_snapshot(session: &Session, snapshot: SnapshotId) -> Vec<String> {
    describe(&session.mount.holders_of_snapshot(snapshot))
}

/// The refusal: somebody uses it.
pub(crate) fn in_use(source: &Source, users: &[String]) -> ServiceError {
    let what = if source.snapshot.is_some() {
        "snapshot"
    } else {
        "volume"
    };
    let mut named = users[..users.len().min(NAMED_USERS)].join("; ");
    if users.is_empty() {
        named.push_str("a process that cannot be seen from here");
    }
    if users.len() > NAMED_USERS {
        named.push_str(&format!("; and {} more", users.len() - NAMED_USERS));
    }
    ServiceError::new(
        Kind::Busy,
        format!("{what} '{source}' is in use by: {named}"),
    )
}

/// One line per process.
fn describe(holders: &[Holder]) -> Vec<String> {
    let mut by_process: BTreeMap<u32, Vec<&Holder>> = BTreeMap::new();
    for holder in holders {
        by_process.entry(holder.pid).or_default().push(holder);
    }
    let line = |(pid, held): (u32, Vec<&Holder>)| {
        let more = match held.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        format!("{} (pid {pid}, {}{more})", held[0].command, held[0].what)
    };
    by_process.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, what: &str) -> Holder {
        Holder {
            pid,
            command: "postgres".into(),
            what: what.into(),
        }
    }

    /// Every process is named once, with the first thing that it holds.
    #[test]
    fn processes_are_named_once() {
        let holders = [
            holder(7, "open file /mnt/a"),
            holder(3, "working directory"),
            holder(7, "mapped"),
        ];
        let lines = describe(&holders);
        assert_eq!(
            lines,
            [
                "postgres (pid 3, working directory)",
                "postgres (pid 7, open file /mnt/a and 1 more)"
            ]
        );
        let source = Source::live("pgdata".parse().unwrap());
        assert_eq!(
            in_use(&source, &lines).message,
            "volume 'pgdata' is in use by: postgres (pid 3, working directory); \
             postgres (pid 7, open file /mnt/a and 1 more)"
        );
    }

    /// A long list is cut, an empty one says so.
    #[test]
    fn long_and_empty_lists_are_said_plainly() {
        let source: Source = serde_json::from_str(r#"{"volume":"a","snapshot":"b"}"#).unwrap();
        let users = vec!["x".to_owned(); 12];
        assert!(
            in_use(&source, &users)
                .message
                .ends_with("x; x; and 2 more")
        );
        assert_eq!(
            in_use(&source, &[]).message,
            "snapshot 'a@b' is in use by: a process that cannot be seen from here"
        );
    }
}
