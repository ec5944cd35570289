//! Errors of the tree.

use crate::base::{BlockId, DecodeError, Nature, Place, Pointer};
use crate::block::BlockError;

/// Result of a call on a tree.
pub type TreeResult<T> = Result<T, TreeError>;

/// A call on a tree failed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The block store failed.
    #[error("a tree node cannot be read or written")]
    Block(#[from] BlockError),
    /// A node's bytes cannot be decoded.
    #[error("tree node {id} in segment {} at byte {} is malformed", place.segment, place.offset)]
    Malformed {
        /// The node's id.
        id: BlockId,
        /// Where it lies.
        place: Place,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// A node breaks a rule of the tree, or its bytes do not match its id.
    #[error("tree node {id} in segment {} at byte {}: {problem}", place.segment, place.offset)]
    Invalid {
        /// The node's id.
        id: BlockId,
        /// Where it lies.
        place: Place,
        /// The broken rule.
        problem: String,
    },
}

impl TreeError {
    /// The node that `pointer` names breaks a rule.
    pub(super) fn invalid(pointer: &Pointer, problem: String) -> TreeError {
        TreeError::Invalid {
            id: pointer.id,
            place: pointer.place,
            problem,
        }
    }

    /// What kind of trouble this is.
    pub fn nature(&self) -> Nature {
        match self {
            TreeError::Block(error) => error.nature(),
            TreeError::Malformed { .. } | TreeError::Invalid { .. } => Nature::Corrupt,
        }
    }
}
