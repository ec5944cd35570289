//! One file per command: its arguments and what it does.

pub(crate) mod check;
pub(crate) mod clone;
pub(crate) mod daemon;
pub(crate) mod df;
mod findings;
pub(crate) mod flush;
pub(crate) mod gc;
pub(crate) mod mount;
pub(crate) mod policy;
pub(crate) mod restore;
pub(crate) mod rollback;
pub(crate) mod scrub;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod umount;
pub(crate) mod volume;
