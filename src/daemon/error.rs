//! What can go wrong at the top: few kinds, one line of text, and hints.

use std::error::Error;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{NameError, Nature};
use crate::disk::DiskError;
use crate::fuse::MountError;
use crate::pool::PoolError;
use crate::transfer::ExportError;
use crate::volume::FsError;
use crate::volume::ops::RestoreError;

use super::service::hint_to_let_go;

/// What to do about a journal that is damaged below what was durable.
pub const DAMAGED_JOURNAL_HINT: &str = "restore the pool's folder from a copy; or copy the folder \
     first, then `volfs check --repair --cut-journal` gives up the changes in and behind the \
     damage, fsynced ones too";

/// Result of a use case.
pub type ServiceResult<T> = Result<T, ServiceError>;

/// What kind of failure it is. The names are the `code` of the control API's error answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The arguments make no sense.
    Usage,
    /// No such volume, snapshot, pool or mount.
    NotFound,
    /// The name is taken.
    Exists,
    /// Somebody uses it.
    Busy,
    /// The surroundings': no space, an I/O error, a missing permission.
    Environment,
    /// A checksum or an invariant failed.
    Corrupt,
    /// The daemon does not answer, or none runs.
    Unreachable,
    /// The daemon is about to end and has not begun the request; whoever asks tries again.
    Stopping,
    /// Anything else, and kinds of a newer version.
    #[serde(other)]
    Failed,
}

/// A use case failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// Its kind.
    #[serde(rename = "code")]
    pub kind: Kind,
    /// One line: the error and all its causes.
    pub message: String,
    /// What the user may do about it, one sentence each.
    #[serde(default)]
    pub hints: Vec<String>,
}

impl ServiceError {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> ServiceError {
        ServiceError {
            kind,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// The same error with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> ServiceError {
        self.hints.push(hint.into());
        self
    }

    /// The surroundings failed `action` on `path`.
    pub fn environment(action: &str, path: &Path, source: &dyn Error) -> ServiceError {
        let message = format!("cannot {action} '{}': {}", path.display(), chain(source));
        ServiceError::new(Kind::Environment, message)
    }
}

/// An error and its causes in one line, outermost first. A cause whose text the line already
/// holds (an error that prints its source itself) is not repeated.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}

impl From<PoolError> for ServiceError {
    fn from(error: PoolError) -> ServiceError {
        let kind = match &error {
            PoolError::NotAPool { .. }
            | PoolError::NoVolume { .. }
            | PoolError::NoSnapshot { .. } => Kind::NotFound,
            PoolError::NotInTrash { .. } => Kind::NotFound,
            PoolError::Exists { .. } => Kind::Exists,
            PoolError::Locked { .. }
            | PoolError::Busy { .. }
            | PoolError::Protected { .. }
            | PoolError::SnapshotsHeld { .. } => Kind::Busy,
            PoolError::Name(_) | PoolError::Invalid(_) | PoolError::LimitBelowUse { .. } => {
                Kind::Usage
            }
            PoolError::NotEmpty { .. } | PoolError::TooNew { .. } => Kind::Failed,
            PoolError::Restore { source, .. } => kind_of_restore(source),
            other => kind_of(other.nature()),
        };
        let made = ServiceError::new(kind, chain(&error));
        let mut made = hint_to_let_go(made, &error);
        if matches!(error, PoolError::NotAPool { .. }) {
            made =
                made.hint("`volfs volume create NAME` makes a pool in a missing or empty folder");
        }
        if error.is_no_space() {
            made = made.hint("free space on the filesystem that holds the pool");
        }
        if kind == Kind::Corrupt {
            made = made.hint("`volfs check` lists everything that is damaged");
        }
        if matches!(error, PoolError::JournalDamaged { .. }) {
            made = made.hint(DAMAGED_JOURNAL_HINT);
        }
        if let PoolError::Restore { source, .. } = &error {
            made = hint_of_restore(made, source);
        }
        made
    }
}

impl From<RestoreError> for ServiceError {
    fn from(error: RestoreError) -> ServiceError {
        ServiceError::new(kind_of_restore(&error), chain(&error))
    }
}

fn kind_of_restore(error: &RestoreError) -> Kind {
    match error {
        RestoreError::Invalid { .. } => Kind::Usage,
        RestoreError::Missing { .. } | RestoreError::NoFolder { .. } => Kind::NotFound,
        RestoreError::Exists { .. } => Kind::Exists,
        RestoreError::InUse { .. } => Kind::Busy,
        RestoreError::NotFolder { .. }
        | RestoreError::IsFolder { .. }
        | RestoreError::BrokenOff
        | RestoreError::At { .. } => kind_of(error.nature()),
    }
}

/// What to do about a refused restore.
fn hint_of_restore(made: ServiceError, error: &RestoreError) -> ServiceError {
    match error {
        RestoreError::Exists { .. } => made
            .hint("--force changes what differs of them; --to DIR restores below another folder"),
        RestoreError::NoFolder { .. } => made
            .hint("make it in the mounted volume first; for a folder of the host: --to-host DIR"),
        RestoreError::NotFolder { .. } | RestoreError::IsFolder { .. } => {
            made.hint("move it away first, or restore below another folder: --to DIR")
        }
        RestoreError::InUse { .. } => made.hint(
            "close it first (`fuser -v FILE` says who has it open), or restore below another \
             folder: --to DIR",
        ),
        _ => made,
    }
}

impl From<ExportError> for ServiceError {
    fn from(error: ExportError) -> ServiceError {
        let kind = match &error {
            ExportError::Missing { .. } | ExportError::NoFolder { .. } => Kind::NotFound,
            ExportError::Exists { .. } => Kind::Exists,
            ExportError::NotFolder { .. }
            | ExportError::IsFolder { .. }
            | ExportError::OtherFilesystem { .. }
            | ExportError::Changed { .. }
            | ExportError::BrokenOff
            | ExportError::Source { .. }
            | ExportError::Host { .. } => kind_of(error.nature()),
        };
        let made = ServiceError::new(kind, chain(&error));
        let made = hint_of_export(made, &error);
        match kind {
            Kind::Corrupt => made.hint("`volfs check` lists everything that is damaged"),
            _ => made,
        }
    }
}

/// What to do about files that were not written to the host.
fn hint_of_export(made: ServiceError, error: &ExportError) -> ServiceError {
    use io::ErrorKind::{PermissionDenied, StorageFull, Unsupported};
    match error {
        ExportError::Exists { .. } => {
            made.hint("--force replaces files; --to-host DIR can also be an empty folder")
        }
        ExportError::NoFolder { .. } => {
            made.hint("make it first; `volfs restore --to DIR` means a folder of the volume")
        }
        ExportError::NotFolder { .. } | ExportError::IsFolder { .. } => {
            made.hint("move it away first, or restore to another folder")
        }
        ExportError::OtherFilesystem { .. } => {
            made.hint("what goes there can be restored by itself, to a folder of its own")
        }
        ExportError::Changed { .. } => made.hint("restore to a folder that nobody else changes"),
        ExportError::Host { .. } => match error.host_error() {
            Some(StorageFull | io::ErrorKind::QuotaExceeded) => made.hint(
                "free space there: what was restored stays, and the same command with --force \
                 does all of it",
            ),
            Some(PermissionDenied) => made.hint(
                "it is the daemon that writes, or where none runs this command: owners, devices \
                 and attributes of the system are root's to give",
            ),
            Some(Unsupported) => made.hint("restore to another filesystem, as ext4 or xfs"),
            _ => made,
        },
        _ => made,
    }
}

impl From<FsError> for ServiceError {
    fn from(error: FsError) -> ServiceError {
        ServiceError::new(kind_of(error.nature()), chain(&error))
    }
}

impl From<NameError> for ServiceError {
    fn from(error: NameError) -> ServiceError {
        ServiceError::new(Kind::Usage, error.to_string())
    }
}

impl From<DiskError> for ServiceError {
    fn from(error: DiskError) -> ServiceError {
        ServiceError::new(Kind::Environment, chain(&error))
    }
}

impl From<MountError> for ServiceError {
    fn from(error: MountError) -> ServiceError {
        let kind = match &error {
            MountError::Busy { .. } | MountError::Covered { .. } | MountError::Lingering { .. } => {
                Kind::Busy
            }
            MountError::Invalid { .. }
            | MountError::Failed { .. }
            | MountError::Helper { .. }
            | MountError::NoAnswer { .. }
            | MountError::Unsynced { .. } => kind_of(error.nature()),
        };
        ServiceError::new(kind, chain(&error))
    }
}

fn kind_of(nature: Nature) -> Kind {
    match nature {
        Nature::Refused => Kind::Failed,
        Nature::Environment => Kind::Environment,
        Nature::Corrupt => Kind::Corrupt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole chain of causes is in the message, each cause once.
    #[test]
    fn a_message_holds_every_cause_once() {
        let disk = DiskError::new("sync", "journal/0", io::Error::other("it broke"));
        let error = ServiceError::from(PoolError::Disk(disk));
        assert_eq!(
            error.message,
            "the medium under the pool failed: cannot sync 'journal/0': it broke"
        );
        assert_eq!(error.kind, Kind::Environment);

        let inner = PoolError::Volume {
            name: "db".into(),
            source: FsError::NoSpace,
        };
        let error = ServiceError::from(inner);
        assert_eq!(error.message, "volume 'db': no space is left in the pool");
        assert_eq!(
            error.hints,
            ["free space on the filesystem that holds the pool"]
        );
    }

    /// What the pool refuses gets the kind that scripts look at.
    #[test]
    fn errors_of_the_pool_get_their_kind() {
        let kind = |error: PoolError| ServiceError::from(error).kind;
        assert_eq!(
            kind(PoolError::NoVolume { name: "a".into() }),
            Kind::NotFound
        );
        assert_eq!(
            kind(PoolError::Exists {
                what: "volume",
                name: "a".into()
            }),
            Kind::Exists
        );
        assert_eq!(kind(PoolError::Busy { name: "a".into() }), Kind::Busy);
        assert_eq!(
            kind(PoolError::Locked {
                path: "/p".into(),
                pid: 1
            }),
            Kind::Busy
        );
        assert_eq!(kind(PoolError::Invalid("x".into())), Kind::Usage);
        assert_eq!(
            kind(PoolError::JournalDamaged {
                problem: "x".into()
            }),
            Kind::Corrupt
        );
        assert_eq!(kind(PoolError::Closed), Kind::Environment);
    }

    /// Who meets a damaged journal is told the way out, and to copy the folder before.
    #[test]
    fn a_damaged_journal_names_the_way_out() {
        let problem = "at 8".to_owned();
        let error = ServiceError::from(PoolError::JournalDamaged { problem });
        assert_eq!(error.message, "the journal is damaged: at 8");
        let hint = error.hints.last().unwrap();
        assert!(hint.contains("copy the folder first, then `volfs check --repair --cut-journal`"));
        let of_others = ServiceError::from(PoolError::Closed);
        assert_eq!(of_others.hints, Vec::<String>::new());
    }

    /// An error survives the way through JSON, and a kind of the future becomes `failed`.
    #[test]
    fn errors_round_trip_through_json() {
        let error = ServiceError::new(Kind::NotFound, "no such volume: 'a'").hint("look again");
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(
            json,
            r#"{"code":"not_found","message":"no such volume: 'a'","hints":["look again"]}"#
        );
        assert_eq!(serde_json::from_str::<ServiceError>(&json).unwrap(), error);
        let future: ServiceError =
            serde_json::from_str(r#"{"code":"eclipsed","message":"m"}"#).unwrap();
        assert_eq!(future.kind, Kind::Failed);
    }
}
