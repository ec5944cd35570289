//! volfs: a volume store for databases.
//!
//! A pool is a folder that holds volumes; a volume is mounted through FUSE where a database keeps
//! its data. Underneath lie content-addressed blocks, a Merkle B-tree per volume and one journal
//! per pool, which make a snapshot, a clone and a rollback instant.
//!
//! Modules in layer order; a module imports only from those above it (`tidy` keeps the rule):
//!
//! ```text
//! base      words every layer shares; no I/O
//! disk      the only place that touches the pool's files
//! block     content-addressed store          journal   the pool's ordered log
//! tree      copy-on-write Merkle B-tree over the block store
//! volume    one volume: key schema, overlay, POSIX operations; no FUSE in it
//! pool      many volumes: superblock, catalog, checkpoint, recovery, snapshots
//! fuse      translation of requests          transfer  files of a snapshot to the host
//! daemon    the owner of a pool: mounts, control API
//! cli       one file per command
//! ```

pub mod base;
pub mod block;
pub mod cli;
pub mod daemon;
pub mod disk;
pub mod fuse;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
pub mod pool;
pub mod transfer;
pub mod tree;
pub mod volume;

#[cfg(test)]
mod tidy;
