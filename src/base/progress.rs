//! Progress of long work: a seam, silent by default; the command line brings the bars.

/// Told about long work as it goes on, from any thread.
pub trait Progress: Send + Sync {
    /// `done` of `total` units (bytes or items, as the work says); a total of 0 is unknown.
    fn update(&self, done: u64, total: u64);

    /// Whether nobody wants the result any more: the work ends early, at its next unit.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _done: u64, _total: u64) {}
}
