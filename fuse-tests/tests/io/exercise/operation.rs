//! What is done to the file, and how it is chosen.

use fuse_tests::chance::Chance;

/// The file stays below so many blocks, and below so many bytes.
const BLOCKS_MAX: u64 = 100;
const BYTES_MAX: u64 = 1 << 20;
/// Longest range of one operation.
const RANGE_MAX: u64 = 160 << 10;

/// What the choice depends on beside the seed.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Bytes of a block.
    pub block: u64,
    /// What offsets and lengths of O_DIRECT are multiples of.
    pub direct_unit: u64,
}

impl Shape {
    fn bytes_max(self) -> u64 {
        BYTES_MAX.min(self.block * BLOCKS_MAX)
    }
}

/// A way into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through the page cache.
    Buffered,
    /// Through a second descriptor with O_DIRECT.
    Direct,
    /// Through a shared mapping.
    Mapped,
}

/// A range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub at: u64,
    pub len: u64,
}

impl Span {
    pub fn end(self) -> u64 {
        self.at + self.len
    }
}

/// One operation. Ranges may lie behind the end of the file where that has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read(Way, Span),
    Write(Way, Span),
    /// Writes zeros, which may become a hole.
    WriteZeros(Way, Span),
    Append(u64),
    Truncate(u64),
    Punch(Span),
    ZeroRange {
        span: Span,
        keep_size: bool,
    },
    Allocate {
        span: Span,
        keep_size: bool,
    },
    /// Within the file, apart.
    Copy {
        from: Span,
        to: u64,
    },
    /// To a second file and back to another place: both know the same blocks then.
    CopyAround {
        from: Span,
        to: u64,
    },
    Fsync,
    Fdatasync,
    /// sync_file_range: to the daemon, no further.
    WriteOut,
    /// Drops clean pages.
    DropPages(Span),
    /// SEEK_DATA and SEEK_HOLE over the whole file.
    Map,
    /// Reads everything.
    Compare,
    Reopen,
    Remount,
    Snapshot,
}

impl Operation {
    /// Some operation for a file of `size` bytes.
    pub fn choose(chance: &mut Chance, shape: Shape, size: u64) -> Operation {
        let way = [Way::Buffered, Way::Direct, Way::Mapped][chance.below(3) as usize];
        let span = span(chance, shape);
        let flag = chance.below(2) == 0;
        match chance.below(1000) {
            0..240 => Operation::Read(way, fit(way, span, shape, size)),
            240..480 => Operation::Write(way, fit(way, span, shape, size)),
            480..520 => Operation::WriteZeros(way, fit(way, span, shape, size)),
            520..540 if size + span.len <= shape.bytes_max() => Operation::Append(span.len),
            520..600 => Operation::Truncate(span.at),
            600..660 => Operation::Punch(span),
            660..720 => Operation::ZeroRange {
                span,
                keep_size: flag,
            },
            720..750 => Operation::Allocate {
                span,
                keep_size: flag,
            },
            750..800 => copy(chance, shape, span, false),
            800..840 => copy(chance, shape, span, true),
            840..860 => Operation::Fsync,
            860..880 => Operation::Fdatasync,
            880..900 => Operation::WriteOut,
            900..930 => Operation::DropPages(span),
            930..980 => Operation::Map,
            980..985 => Operation::Compare,
            985..999 => Operation::Reopen,
            _ => match chance.below(3) {
                0 => Operation::Remount,
                1 => Operation::Snapshot,
                _ => Operation::Reopen,
            },
        }
    }
}

/// Half of the offsets and ends lie at or beside the borders of blocks.
fn offset(chance: &mut Chance, shape: Shape) -> u64 {
    let any = chance.below(shape.bytes_max());
    if chance.below(2) == 0 {
        return any;
    }
    let border = any / shape.block * shape.block;
    match chance.below(8) {
        0 => border.saturating_sub(1),
        1 => border + 1,
        2 => border + 512,
        3 => border + 4096,
        _ => border,
    }
}

fn span(chance: &mut Chance, shape: Shape) -> Span {
    let at = offset(chance, shape).min(shape.bytes_max() - 1);
    let longest = RANGE_MAX.min(shape.bytes_max() - at);
    let len = match chance.below(4) {
        0 => 1 + chance.below(16),
        1 => offset(chance, shape).saturating_sub(at),
        2 => shape.block * (1 + chance.below(4)),
        _ => 1 + chance.below(longest),
    };
    Span {
        at,
        len: len.clamp(1, longest),
    }
}

/// Bends a range to what the way allows: a mapping ends with the file.
fn fit(way: Way, span: Span, shape: Shape, size: u64) -> Span {
    match way {
        Way::Buffered => span,
        Way::Direct => {
            let down = |bytes: u64| bytes / shape.direct_unit * shape.direct_unit;
            Span {
                at: down(span.at),
                len: down(span.len).max(shape.direct_unit),
            }
        }
        Way::Mapped => {
            let at = span.at.min(size.saturating_sub(1));
            let len = span.len.min(size - at.min(size));
            Span { at, len }
        }
    }
}

/// Half of the copies are aligned alike, so that blocks can be shared.
fn copy(chance: &mut Chance, shape: Shape, from: Span, around: bool) -> Operation {
    let mut to = offset(chance, shape);
    if chance.below(2) == 0 {
        to = to / shape.block * shape.block + from.at % shape.block;
    }
    let len = from.len.min(shape.bytes_max().saturating_sub(to));
    let from = Span { len, ..from };
    if around {
        return Operation::CopyAround { from, to };
    }
    let gap = from.at.abs_diff(to);
    let from = Span {
        len: len.min(gap),
        ..from
    };
    Operation::Copy { from, to }
}
