//! What an allocation takes.

/// Memory that an allocation of so many bytes takes, in bytes: jemalloc has four size classes to
/// each doubling (jemalloc(3), "IMPLEMENTATION NOTES"), so that it is up to a quarter more.
pub(crate) fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The classes are those of jemalloc's manual.
    #[test]
    fn sizes_are_rounded_up_to_their_class() {
        let classes = [
            (0, 0),
            (1, 16),
            (128, 128),
            (129, 160),
            (256, 256),
            (257, 320),
            (8192, 8192),
            (8208, 10240),
            (10241, 12288),
            (1 << 20, 1 << 20),
        ];
        for (bytes, class) in classes {
            assert_eq!(allocated(bytes), class, "{bytes}");
        }
    }
}
