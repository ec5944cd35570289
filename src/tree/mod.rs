//! Copy-on-write Merkle B-tree over a store of nodes.
//!
//! A tree is an ordered map from [`Key`](crate::base::Key) to [`Value`](crate::base::Value). Nodes
//! are never changed: [`edit()`] writes the touched paths anew and returns another root, so an old
//! root stays readable for as long as its nodes are kept. A node's id covers the ids of its
//! children, so equal ids mean equal subtrees, which [`diff()`] uses to skip what did not change.
//!
//! ```text
//! node    one node in memory           values  what a leaf holds
//! codec   a node in bytes              cache   decoded nodes, byte-capped
//! store   nodes in the block store     read    get, cursor
//! edit    batches of changes           diff    what differs between roots
//! check   verifies a whole tree
//! ```

mod cache;
mod check;
mod codec;
mod diff;
mod edit;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod node;
mod read;
mod root;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod values;

pub use check::{BadNode, check};
pub use diff::{DiffVisitor, diff, diff_frames};
pub use edit::{Edits, edit};
pub use error::{TreeError, TreeResult};
pub use node::Node;
pub use read::{Cursor, Lookup, get};
pub use root::TreeRoot;
pub use store::{BlockNodes, CountedNodes, NodeStore, is_node};
