//! Words that every layer shares: ids, keys, values, names, byte codec, clock, locks, progress. No
//! I/O.

mod allocated;
pub(crate) mod buffers;
mod cache_use;
pub mod clock;
pub mod codec;
mod error_chain;
pub(crate) mod histogram;
pub mod ids;
pub mod key;
pub mod name;
pub mod nature;
pub mod pace;
pub mod progress;
#[cfg(test)]
mod split_mix;
pub(crate) mod sync;

pub(crate) use allocated::allocated;
pub(crate) use buffers::Buffers;
pub use cache_use::CacheUse;
pub use clock::{Clock, SystemClock, Timestamp};
pub use codec::{ByteReader, DecodeError, PutBytes};
pub use error_chain::chain;
pub use histogram::Histogram;
pub use ids::{BlockId, Ino, Lsn, Place, Pointer, PoolId, SegmentId, SnapshotId, VolumeId};
pub use key::{Key, Value, ValueRef};
pub use name::{NameError, SnapshotName, VolumeName};
pub use nature::Nature;
#[cfg(test)]
pub(crate) use split_mix::SplitMix64;
