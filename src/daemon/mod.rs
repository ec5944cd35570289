//! The owner of a pool: use cases, mounts, control API, and the way to them.
//!
//! ```text
//! Access ---- Client ----> socket ----> api ---.
//!    |                                          >---- Service (use cases) ---- Pool
//!    `------- no daemon: in this process ------'           `---- MountTable ---- fuse::Mount
//! ```
//!
//! A command goes through [`Access`]: to the daemon that owns the pool, or, where none runs, it
//! opens the pool itself. Both ways run the same [`Call`]s on the same [`Service`].

mod access;
mod api;
mod calls;
mod chores;
mod client;
mod error;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod launch;
mod mounts;
mod offline;
mod operations;
mod server;
mod service;
mod socket;
mod types;
mod wait;
mod wire;

pub use access::{Access, By};
pub use calls::{Call, Verb};
pub use error::{DAMAGED_JOURNAL_HINT, Kind, ServiceError, ServiceResult, chain};
pub use filter::Filter;
pub use server::Daemon;
pub use service::{DRIVER, Life, Service, VERSION};
pub use types::*;
