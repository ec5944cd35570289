//! Layout of a record. The byte table is in `docs/on-disk-format.md`.

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::base::{ByteReader, DecodeError, PoolId};
use crate::disk::{Disk, Step, performs};

/// Length of a record's header in bytes.
pub(super) const HEADER_BYTES: usize = 72;
/// Records start at multiples of this.
pub(super) const ALIGN_BYTES: usize = 8;
/// Unit that the medium writes wholly or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;
/// Largest body of a record in bytes.
pub(super) const BODY_MAX: usize = (1 << 20) + (64 << 10);
/// Positions stay below this, so that sums of them never overflow.
pub(super) const LSN_LIMIT: u64 = 1 << 62;
/// Incarnations stay below this, so that there is always a higher one.
pub(super) const INCARNATION_LIMIT: u64 = 1 << 62;
/// Largest record in bytes.
pub(super) const RECORD_MAX: usize = record_bytes(BODY_MAX);

/// Where the next append starts behind synced records that end at `at`.
pub(super) fn own_sector(disk: &dyn Disk, at: u64) -> u64 {
    match performs(disk, Step::RecordInOwnSector) {
        true => at.next_multiple_of(SECTOR_BYTES),
        false => at,
    }
}

const MAGIC: [u8; 4] = *b"VFJR";
/// The header's bytes up to its own checksum.
const CHECKED_BYTES: usize = 56;
/// The header's bytes up to the chain.
const CHAINED_BYTES: usize = 64;

const _: () = assert!(HEADER_BYTES.is_multiple_of(ALIGN_BYTES));
const _: () = assert!(RECORD_MAX < u32::MAX as usize);

/// Length on disk of a record with a body of this length.
pub(super) const fn record_bytes(body_len: usize) -> usize {
    (HEADER_BYTES + body_len).next_multiple_of(ALIGN_BYTES)
}

/// Seed of the checksums of a pool's headers, and the chain value in front of its first record.
pub(super) fn pool_seed(pool: PoolId) -> u64 {
    xxh3_64(&pool.0)
}

/// Checksum of a body that comes in parts.
pub(super) fn body_check(parts: &[&[u8]]) -> u64 {
    if let [whole] = parts {
        return xxh3_64(whole);
    }
    let mut state = Xxh3::new();
    parts.iter().for_each(|part| state.update(part));
    state.digest()
}

/// What the header of a record says, apart from its checksums over itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RecordHeader {
    /// [`super::RecordKind`], not interpreted here.
    pub(super) kind: u8,
    /// Position of the header's first byte.
    pub(super) start: u64,
    /// Incarnation of the pool that appended it.
    pub(super) incarnation: u64,
    /// How far the journal was known to be durable when it was appended.
    pub(super) durable: u64,
    pub(super) volume: u64,
    pub(super) body_len: u32,
    pub(super) body_check: u64,
}

impl RecordHeader {
    /// Length on disk, with the body.
    pub(super) fn record_bytes(&self) -> u64 {
        record_bytes(self.body_len as usize) as u64
    }

    /// Position behind the record.
    pub(super) fn end(&self) -> u64 {
        self.start + self.record_bytes()
    }

    /// The header's bytes and its chain value, for a record behind one with chain `previous`.
    pub(super) fn encode(&self, pool_seed: u64, previous: u64) -> ([u8; HEADER_BYTES], u64) {
        let mut raw = [0; HEADER_BYTES];
        raw[..4].copy_from_slice(&MAGIC);
        raw[4] = self.kind;
        raw[8..16].copy_from_slice(&self.start.to_le_bytes());
        raw[16..24].copy_from_slice(&self.incarnation.to_le_bytes());
        raw[24..32].copy_from_slice(&self.durable.to_le_bytes());
        raw[32..40].copy_from_slice(&self.volume.to_le_bytes());
        raw[40..44].copy_from_slice(&self.body_len.to_le_bytes());
        raw[48..56].copy_from_slice(&self.body_check.to_le_bytes());
        let check = xxh3_64_with_seed(&raw[..CHECKED_BYTES], pool_seed);
        raw[CHECKED_BYTES..CHAINED_BYTES].copy_from_slice(&check.to_le_bytes());
        let chain = chain_behind(&raw, previous);
        raw[CHAINED_BYTES..].copy_from_slice(&chain.to_le_bytes());
        (raw, chain)
    }

    /// A header that is valid by itself, and the chain value it states. Says nothing about what
    /// it follows; for that compare the chain value with [`chain_behind`].
    pub(super) fn decode(raw: &[u8], pool_seed: u64) -> Option<(RecordHeader, u64)> {
        let raw = raw.get(..HEADER_BYTES)?;
        if raw[..4] != MAGIC {
            return None;
        }
        let (header, check, chain) = Self::decode_fields(raw).ok()?;
        let plausible = header.start.is_multiple_of(ALIGN_BYTES as u64)
            && header.start < LSN_LIMIT
            && header.incarnation < INCARNATION_LIMIT
            && header.body_len as usize <= BODY_MAX;
        let intact = check == xxh3_64_with_seed(&raw[..CHECKED_BYTES], pool_seed);
        (plausible && intact).then_some((header, chain))
    }

    fn decode_fields(raw: &[u8]) -> Result<(RecordHeader, u64, u64), DecodeError> {
        let mut reader = ByteReader::new("journal record header", raw);
        reader.bytes(MAGIC.len())?;
        let kind = reader.u8()?;
        if reader.bytes(3)? != [0; 3] {
            return Err(reader.error("reserved bytes are used"));
        }
        let (start, incarnation) = (reader.u64()?, reader.u64()?);
        let (durable, volume) = (reader.u64()?, reader.u64()?);
        let body_len = reader.u32()?;
        if reader.u32()? != 0 {
            return Err(reader.error("reserved bytes are used"));
        }
        let body_check = reader.u64()?;
        let header = RecordHeader {
            kind,
            start,
            incarnation,
            durable,
            volume,
            body_len,
            body_check,
        };
        let (check, chain) = (reader.u64()?, reader.u64()?);
        reader.finish()?;
        Ok((header, check, chain))
    }
}

/// Whether a header was once written here whole, under whatever checksum: what an outage leaves
/// of a sector that was being written has no magic, or lacks the end.
pub(super) fn is_whole(raw: &[u8; HEADER_BYTES]) -> bool {
    let has_checksum = raw[CHECKED_BYTES..CHAINED_BYTES] != [0; CHAINED_BYTES - CHECKED_BYTES];
    raw[..MAGIC.len()] == MAGIC && has_checksum
}

/// Chain value of the record with this header behind a record with chain `previous`. The pool is
/// in it by way of the header's own checksum, the body by way of the body's.
pub(super) fn chain_behind(raw: &[u8; HEADER_BYTES], previous: u64) -> u64 {
    xxh3_64_with_seed(&raw[..CHAINED_BYTES], previous)
}

/// The same header, valid by itself, with a chain value that continues no record.
pub(super) fn unchained(raw: &[u8; HEADER_BYTES]) -> [u8; HEADER_BYTES] {
    let mut raw = *raw;
    raw[CHAINED_BYTES..]
        .iter_mut()
        .for_each(|byte| *byte ^= 0xff);
    raw
}

/// All headers in `bytes` that are valid by themselves and lie where they say, with their chain
/// values. `offset` is that of `bytes` in its file, a multiple of [`ALIGN_BYTES`].
pub(super) fn headers_in(
    bytes: &[u8],
    offset: u64,
    file_bytes: u64,
    pool_seed: u64,
) -> impl Iterator<Item = (RecordHeader, u64)> {
    // Recovery looks through whole files like this: the first look at each place must be cheap.
    let places = bytes.chunks_exact(ALIGN_BYTES).enumerate();
    places
        .filter(|(_, start)| start[..4] == MAGIC)
        .filter_map(move |(index, _)| {
            let at = index * ALIGN_BYTES;
            let raw = bytes.get(at..at + HEADER_BYTES)?;
            let (header, chain) = RecordHeader::decode(raw, pool_seed)?;
            (header.start % file_bytes == offset + at as u64).then_some((header, chain))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId(*b"0123456789abcdef");

    fn header() -> RecordHeader {
        RecordHeader {
            kind: 1,
            start: 0x1000,
            incarnation: 7,
            durable: 0xe00,
            volume: 3,
            body_len: 5,
            body_check: body_check(&[b"hello"]),
        }
    }

    /// The bytes of a header are those of the format's table (section "Journal").
    #[test]
    fn header_has_the_golden_bytes() {
        let (raw, chain) = header().encode(pool_seed(POOL), 42);
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = [
            "56464a52",         // magic
            "01000000",         // kind
            "0010000000000000", // start
            "0700000000000000", // incarnation
            "000e000000000000", // durable
            "0300000000000000", // volume
            "0500000000000000", // length of the body
            "fddc625c55e85595", // checksum of the body
            "078b23cc15e5ac9a", // checksum of the header
            "537766e31c1a5a3a", // chain
        ];
        assert_eq!(hex, fields.concat());
        assert_eq!(raw[64..], chain.to_le_bytes());
    }

    /// A header comes back as it was; no flipped bit and no other pool is accepted in what its
    /// own checksum covers, and the chain notices the rest.
    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let seed = pool_seed(POOL);
        let (raw, chain) = header().encode(seed, 42);
        assert_eq!(RecordHeader::decode(&raw, seed), Some((header(), chain)));
        assert_eq!(RecordHeader::decode(&raw, pool_seed(PoolId([0; 16]))), None);
        assert_eq!(RecordHeader::decode(&raw[..71], seed), None);
        assert_ne!(chain_behind(&raw, 43), chain);

        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = raw;
            flipped[bit / 8] ^= 1 << (bit % 8);
            match RecordHeader::decode(&flipped, seed) {
                None => assert!(bit < CHAINED_BYTES * 8, "bit {bit} of the chain"),
                Some((_, stated)) => {
                    assert!(bit >= CHAINED_BYTES * 8, "bit {bit} was accepted");
                    assert_ne!(stated, chain_behind(&flipped, 42));
                }
            }
        }
    }

    /// Numbers without a successor are refused even under valid checksums.
    #[test]
    fn numbers_above_their_limits_are_refused() {
        let seed = pool_seed(POOL);
        let is_valid = |header: RecordHeader| {
            let (raw, _) = header.encode(seed, 42);
            RecordHeader::decode(&raw, seed).is_some()
        };
        let incarnation = |incarnation| RecordHeader {
            incarnation,
            ..header()
        };
        assert!(is_valid(incarnation((1 << 62) - 1)));
        assert!(!is_valid(incarnation(1 << 62)));
        let start = |start| RecordHeader { start, ..header() };
        assert!(is_valid(start((1 << 62) - 8)));
        assert!(!is_valid(start(1 << 62)));
    }

    /// The checksum of a body does not depend on how it is cut into parts.
    #[test]
    fn body_checksum_ignores_the_parts() {
        let body: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let whole = body_check(&[&body]);
        assert_eq!(
            body_check(&[&body[..1], &[], &body[1..1500], &body[1500..]]),
            whole
        );
        assert_eq!(body_check(&[]), body_check(&[b""]));
    }

    /// A search finds the headers that lie where they say, and no copy that lies elsewhere.
    #[test]
    fn search_finds_headers_only_in_their_place() {
        let seed = pool_seed(POOL);
        let (raw, chain) = header().encode(seed, 42);
        let mut file = vec![0xff; 8192];
        file[0x1000..0x1000 + HEADER_BYTES].copy_from_slice(&raw);
        file[0x1800..0x1800 + HEADER_BYTES].copy_from_slice(&raw);
        let found =
            |from: usize| headers_in(&file[from..], from as u64, 8192, seed).collect::<Vec<_>>();
        assert_eq!(found(0), [(header(), chain)]);
        assert_eq!(found(0x1000), [(header(), chain)]);
        assert_eq!(found(0x1008), []);
    }
}
