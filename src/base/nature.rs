//! What kind of trouble an error is.

/// The nature of an error decides the reaction to it, in every layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nature {
    /// The caller's fault: not found, exists, name too long.
    Refused,
    /// The surroundings': no space, I/O error, permission on the pool's files.
    Environment,
    /// A checksum or an invariant failed.
    Corrupt,
}
