//! One volume: key schema, records, overlay, POSIX operations by family. No FUSE in it.
//!
//! `core` knows maps, layers and the journal, and nothing of POSIX; `ops` knows POSIX, and
//! nothing of disks. `keys` and `records` say how the one is written in terms of the other.

pub mod core;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod keys;
pub mod ops;
pub mod records;

pub use self::core::volume::{EPOCH_MAX, Request, Volume};
pub use self::core::{BlockState, Counts, Edit, Frozen, ReadPlan, Usage, View};
pub use error::{FsError, FsResult};
