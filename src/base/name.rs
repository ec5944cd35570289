//! Names of volumes and snapshots: parsed once, valid ever after.

use std::fmt;
use std::str::FromStr;

/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("a {what} name cannot be empty")]
    Empty {
        /// "volume" or "snapshot".
        what: &'static str,
    },
    /// Above 128 bytes.
    #[error("{what} name of {len} bytes is too long: at most 128 bytes")]
    TooLong {
        /// "volume" or "snapshot".
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A character that is not allowed.
    #[error(
        "{what} name '{name}' is not valid: use letters, digits, '_', '.', '-', \
         and start with a letter or digit"
    )]
    Malformed {
        /// "volume" or "snapshot".
        what: &'static str,
        /// The name, with control characters escaped.
        name: String,
    },
}

/// Docker's rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, with a limit on the length.
fn check(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong {
            what,
            len: name.len(),
        });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !name.as_bytes()[0].is_ascii_alphanumeric() || !name.bytes().all(allowed) {
        return Err(NameError::Malformed {
            what,
            name: name.escape_debug().to_string(),
        });
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                check($what, name)?;
                Ok($name(name.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// Name of a volume.
    VolumeName,
    "volume"
);
name_type!(
    /// Name of a snapshot within its volume.
    SnapshotName,
    "snapshot"
);

#[cfg(test)]
mod tests {
    use super::*;

    /// What Docker accepts is accepted, what it refuses is refused.
    #[test]
    fn names_follow_dockers_rule() {
        for good in ["a", "0", "pg_data-1.2", &"x".repeat(128)] {
            assert_eq!(good.parse::<VolumeName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            ".a",
            "_a",
            "a/b",
            "a@b",
            "a b",
            "a\n",
            "ä",
            &"x".repeat(129),
        ] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad:?} was accepted");
        }
        let error = "a/\u{7}b".parse::<SnapshotName>().unwrap_err().to_string();
        assert!(
            error.starts_with("snapshot name 'a/\\u{7}b' is not valid"),
            "{error}"
        );
    }
}
