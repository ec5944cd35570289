//! How a cache is used.

/// What a cache holds and how often it was asked, since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheUse {
    /// Bytes that it holds, book-keeping included.
    pub bytes: u64,
    /// Look-ups that found what they wanted.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
}

impl CacheUse {
    /// Of two parts of a cache.
    #[must_use]
    pub(crate) fn plus(self, other: CacheUse) -> CacheUse {
        CacheUse {
            bytes: self.bytes + other.bytes,
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
        }
    }
}
