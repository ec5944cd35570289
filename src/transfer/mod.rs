//! Between a pool and the files of the host: files of a snapshot, written into a folder there.
//!
//! * The folder is the host's, and others may be at work in it. Every name is looked up in the
//!   descriptor of the folder that holds it, and no symbolic link is followed; so nothing is made
//!   or changed outside of it.
//! * What is no folder is made under a name of its own, `.volfs-restore-...`, and gets its right
//!   one when it is whole: whoever interrupts it finds whole files, and at worst that one more.
//! * A folder is made with its name, for its owner only, and gets its attributes when all that
//!   belongs into it is there.
//!
//! Before anything is written all is looked at once: what cannot be put there is refused first.

mod attributes;
mod error;
mod export;
mod host;
mod survey;
mod walk;

#[cfg(test)]
mod tests;

pub use error::ExportError;
pub use export::{ExportOptions, Exported, export};
pub use host::HostFolder;
