//! Helpers shared by the tests that mount volumes.
//!
//! A test starts with a [`Fixture`]: a pool of its own in a temporary folder, the `volfs` program
//! bound to it, and a [`watchdog`] that breaks a hung mount. When the fixture is dropped, also by
//! a failing test, everything that it mounted or started is gone.
//!
//! The tests need root, `/dev/fuse` and the programs that `scripts/setup.sh` installs. The
//! environment variable `VOLFS_BIN` names the program under test; without it the one that cargo
//! built beside the test is taken.

pub mod beside;
pub mod chance;
pub mod containers;
pub mod databases;
pub mod docker;
pub mod fixture;
pub mod host_disk;
pub mod image;
pub mod mounts;
pub mod namespace;
pub mod open_files;
pub mod pjdfstest;
pub mod place;
pub mod podman;
pub mod promises;
pub mod report;
pub mod run;
pub mod server;
pub mod tools;
pub mod tree;
pub mod user;
pub mod watchdog;
pub mod writers;

pub use beside::{Beside, Difference, Seen};
pub use fixture::Fixture;
pub use host_disk::{HostDisk, HostFs};
pub use place::Place;
pub use run::{Ran, run};
pub use user::User;
