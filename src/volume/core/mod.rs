//! Maps, layers and the journal; nothing of POSIX.

pub(crate) mod admission;
pub(crate) mod changes;
pub(crate) mod dirty_block;
mod edit;
mod frozen;
pub(crate) mod layer;
mod limit;
mod read_plan;
pub(crate) mod seal;
pub(crate) mod shared;
mod sync;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod unsynced;
mod view;
pub mod volume;

pub use edit::Edit;
pub use frozen::Frozen;
pub use layer::Counts;
pub use limit::ACCEPTED_BYTES;
pub use read_plan::ReadPlan;
pub use view::View;
pub use volume::{BlockState, Usage};
