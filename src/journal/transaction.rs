//! Transactions: what a record of the journal does to an ordered map.

use std::sync::Arc;

use crate::base::{ByteReader, DecodeError, Key, Place, PutBytes, Value};

/// One change of a map. Changes apply in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Sets a key.
    Put(Key, Value),
    /// Removes a key.
    Delete(Key),
    /// Removes all keys in `from..to` (half open).
    DeleteRange(Key, Key),
    /// File bytes: lands in the blocks that start at `first`, and runs on into the next blocks.
    Data {
        /// A block key; its sub-key is the block index.
        first: Key,
        /// Byte offset within that block.
        offset: u32,
        /// What was written.
        bytes: Arc<[u8]>,
    },
}

/// What one operation changes; one journal record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transaction {
    /// In the order in which they apply.
    pub changes: Vec<Change>,
    /// Change of the volume's count of allocated blocks.
    pub blocks_delta: i64,
    /// Change of the volume's count of inodes.
    pub inodes_delta: i64,
    /// The FUSE request that asked for it, 0 for none: lets a successor answer a resent request.
    pub unique: u64,
}

/// What a change is; the low bits of its flags.
mod kind {
    pub(super) const MASK: u8 = 0b11;
    pub(super) const PUT: u8 = 0;
    pub(super) const DELETE: u8 = 1;
    pub(super) const DELETE_RANGE: u8 = 2;
    pub(super) const DATA: u8 = 3;
}

/// The value of a put has a place.
const HAS_PLACE: u8 = 1 << 2;
/// The key's owner is that of the key before it, 0 for the first, and not repeated.
const SAME_OWNER: u8 = 1 << 3;
/// The owner of the end of a range is that of its start, and not repeated.
const SAME_OWNER_TO: u8 = 1 << 4;
/// Shortest change in bytes: flags, and a key without its owner.
const CHANGE_BYTES_MIN: usize = 1 + Key::BYTES - 8;

impl Transaction {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.blocks_delta == 0 && self.inodes_delta == 0
    }

    /// Encoded in pieces, so that `Data` bytes are not copied.
    ///
    /// # Panics
    /// For a value longer than [`Value::MAX_BYTES`], which could not be decoded again.
    pub fn encode(&self) -> EncodedTransaction<'_> {
        let mut encoded = EncodedTransaction {
            meta: Vec::with_capacity(128),
            cuts: Vec::new(),
        };
        let meta = &mut encoded.meta;
        put_varint(meta, self.changes.len() as u64);
        put_varint(meta, zigzag(self.blocks_delta));
        put_varint(meta, zigzag(self.inodes_delta));
        put_varint(meta, self.unique);
        let mut owner = 0;
        for change in &self.changes {
            match change {
                Change::Put(key, value) => {
                    assert!(
                        value.bytes.len() <= Value::MAX_BYTES,
                        "a value is within its limit"
                    );
                    let place = if value.place.is_some() { HAS_PLACE } else { 0 };
                    put_change(meta, kind::PUT | place, key, owner);
                    put_varint(meta, value.bytes.len() as u64);
                    meta.put_bytes(&value.bytes);
                    if let Some(place) = &value.place {
                        meta.put_place(place);
                    }
                    owner = key.owner();
                }
                Change::Delete(key) => {
                    put_change(meta, kind::DELETE, key, owner);
                    owner = key.owner();
                }
                Change::DeleteRange(from, to) => {
                    let same = from.owner() == to.owner();
                    let flag = if same { SAME_OWNER_TO } else { 0 };
                    put_change(meta, kind::DELETE_RANGE | flag, from, owner);
                    put_key(meta, to, same);
                    owner = to.owner();
                }
                Change::Data {
                    first,
                    offset,
                    bytes,
                } => {
                    put_change(meta, kind::DATA, first, owner);
                    put_varint(meta, u64::from(*offset));
                    put_varint(meta, bytes.len() as u64);
                    encoded.cuts.push((meta.len(), bytes));
                    owner = first.owner();
                }
            }
        }
        encoded
    }

    /// The transaction with this encoding.
    ///
    /// # Errors
    /// For anything but exactly what [`Transaction::encode`] makes of a transaction.
    pub fn decode(body: &[u8]) -> Result<Transaction, DecodeError> {
        let mut reader = ByteReader::new("transaction", body);
        let count = varint(&mut reader)?;
        let blocks_delta = unzigzag(varint(&mut reader)?);
        let inodes_delta = unzigzag(varint(&mut reader)?);
        let unique = varint(&mut reader)?;
        if count > (reader.remaining() / CHANGE_BYTES_MIN) as u64 {
            return Err(reader.error("more changes than there are bytes for"));
        }
        let mut changes = Vec::with_capacity(count as usize);
        let mut owner = 0;
        for _ in 0..count {
            let change = decode_change(&mut reader, owner)?;
            owner = match &change {
                Change::Put(key, _) | Change::Delete(key) => key.owner(),
                Change::DeleteRange(_, to) => to.owner(),
                Change::Data { first, .. } => first.owner(),
            };
            changes.push(change);
        }
        reader.finish()?;
        Ok(Transaction {
            changes,
            blocks_delta,
            inodes_delta,
            unique,
        })
    }

    /// Places of all frames that it names.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.changes.iter().filter_map(|change| match change {
            Change::Put(_, value) => value.place.as_ref(),
            Change::Delete(_) | Change::DeleteRange(..) | Change::Data { .. } => None,
        })
    }
}

/// An encoding in pieces, some of them borrowed from the transaction.
pub struct EncodedTransaction<'a> {
    /// All but the bytes of `Data`.
    meta: Vec<u8>,
    /// What comes in between, and before which byte of `meta`.
    cuts: Vec<(usize, &'a [u8])>,
}

impl EncodedTransaction<'_> {
    /// The pieces in order; their concatenation is the encoding.
    pub fn slices(&self) -> Vec<&[u8]> {
        let mut slices = Vec::with_capacity(2 * self.cuts.len() + 1);
        let mut done = 0;
        for (at, bytes) in &self.cuts {
            slices.push(&self.meta[done..*at]);
            slices.push(*bytes);
            done = *at;
        }
        if done < self.meta.len() {
            slices.push(&self.meta[done..]);
        }
        slices
    }

    /// Length of the encoding in bytes.
    pub fn len(&self) -> usize {
        self.meta.len()
            + self
                .cuts
                .iter()
                .map(|(_, bytes)| bytes.len())
                .sum::<usize>()
    }

    /// Whether there are no bytes, which is never so: counts are always there.
    pub fn is_empty(&self) -> bool {
        self.meta.is_empty()
    }
}

fn decode_change(reader: &mut ByteReader<'_>, owner: u64) -> Result<Change, DecodeError> {
    let flags = reader.u8()?;
    let allowed = match flags & kind::MASK {
        kind::PUT => HAS_PLACE | SAME_OWNER,
        kind::DELETE_RANGE => SAME_OWNER | SAME_OWNER_TO,
        _ => SAME_OWNER,
    };
    if flags & !kind::MASK & !allowed != 0 {
        return Err(reader.error("unknown flags of a change"));
    }
    let same_owner = (flags & SAME_OWNER != 0).then_some(owner);
    let key = key(reader, same_owner, owner)?;
    Ok(match flags & kind::MASK {
        kind::PUT => {
            let len = varint(reader)?;
            if len > Value::MAX_BYTES as u64 {
                return Err(reader.error("value above its limit"));
            }
            let bytes = Arc::from(reader.bytes(len as usize)?);
            let place = if flags & HAS_PLACE != 0 {
                Some(reader.place()?)
            } else {
                None
            };
            Change::Put(key, Value { bytes, place })
        }
        kind::DELETE => Change::Delete(key),
        kind::DELETE_RANGE => {
            let same_owner = (flags & SAME_OWNER_TO != 0).then_some(key.owner());
            Change::DeleteRange(key, self::key(reader, same_owner, key.owner())?)
        }
        _ => {
            let offset = u32::try_from(varint(reader)?)
                .map_err(|_| reader.error("data offset above its limit"))?;
            let len = usize::try_from(varint(reader)?)
                .map_err(|_| reader.error("data length above its limit"))?;
            // Blocks of a byte would be the most: the last one's key exists for any block size.
            let blocks = u64::from(offset).checked_add(len as u64);
            if blocks.is_none_or(|blocks| key.sub() > u64::MAX - blocks) {
                return Err(reader.error("data behind the last block"));
            }
            Change::Data {
                first: key,
                offset,
                bytes: Arc::from(reader.bytes(len)?),
            }
        }
    })
}

/// A key, whose owner is given or comes first; an owner that should have been left out is refused,
/// so that a transaction has one encoding.
fn key(reader: &mut ByteReader<'_>, owner: Option<u64>, before: u64) -> Result<Key, DecodeError> {
    let mut bytes = [0; Key::BYTES];
    let rest = match owner {
        Some(owner) => {
            bytes[..8].copy_from_slice(&Key::new(owner, 0, 0).as_bytes()[..8]);
            8
        }
        None => 0,
    };
    bytes[rest..].copy_from_slice(reader.bytes(Key::BYTES - rest)?);
    let key = Key::from_bytes(bytes);
    if owner.is_none() && key.owner() == before {
        return Err(reader.error("owner of a key is repeated"));
    }
    Ok(key)
}

fn put_change(out: &mut Vec<u8>, flags: u8, key: &Key, owner_before: u64) {
    let same = key.owner() == owner_before;
    out.put_u8(flags | if same { SAME_OWNER } else { 0 });
    put_key(out, key, same);
}

fn put_key(out: &mut Vec<u8>, key: &Key, without_owner: bool) {
    out.put_bytes(&key.as_bytes()[if without_owner { 8 } else { 0 }..]);
}

/// Maps small numbers of either sign to small unsigned ones.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn varint(reader: &mut ByteReader<'_>) -> Result<u64, DecodeError> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = reader.u8()?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return Err(reader.error("number too large or not in its shortest form"));
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(reader.error("number too long"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::SegmentId;

    fn flat(transaction: &Transaction) -> Vec<u8> {
        let encoded = transaction.encode();
        let bytes = encoded.slices().concat();
        assert_eq!(bytes.len(), encoded.len());
        bytes
    }

    fn example() -> Transaction {
        let place = Place {
            segment: SegmentId(3),
            offset: 64,
            len: 4096,
        };
        let pointer = Value {
            bytes: Arc::from(&[0xbb; 4][..]),
            place: Some(place),
        };
        Transaction {
            changes: vec![
                Change::Put(Key::new(5, 1, 0), Value::record(*b"attr")),
                Change::Data {
                    first: Key::new(5, 4, 2),
                    offset: 300,
                    bytes: Arc::from(*b"xyz"),
                },
                Change::Put(Key::new(5, 4, 9), pointer),
                Change::DeleteRange(Key::new(5, 4, 10), Key::new(5, 5, 0)),
                Change::DeleteRange(Key::new(6, 0, 0), Key::new(7, 0, 0)),
                Change::Delete(Key::new(8, 2, 1)),
            ],
            blocks_delta: -2,
            inodes_delta: 1,
            unique: 200,
        }
    }

    /// The bytes of a transaction are those of the format's table (section "Transaction").
    #[test]
    fn transaction_has_the_golden_bytes() {
        let hex: String = flat(&example())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let expected = [
            "060302c801",
            "000000000000000005010000000000000000", /* put */
            "0461747472",
            "0b040000000000000002ac0203", /* data */
            "78797a",
            "0c040000000000000009", /* put with a place */
            "04bbbbbbbb",
            "03000000000000004000000000100000",
            "1a04000000000000000a050000000000000000", /* range of one owner */
            "02 0000000000000006 00 0000000000000000 0000000000000007 00 0000000000000000",
            "010000000000000008020000000000000001", /* delete */
        ];
        assert_eq!(hex, expected.concat().replace(' ', ""));
        assert_eq!(Transaction::decode(&flat(&example())).unwrap(), example());
    }

    /// Data is not copied: the piece is the transaction's own memory.
    #[test]
    fn data_is_borrowed() {
        let transaction = example();
        let Change::Data { bytes, .. } = &transaction.changes[1] else {
            unreachable!()
        };
        let encoded = transaction.encode();
        let slices = encoded.slices();
        assert_eq!(slices.len(), 3);
        assert_eq!(slices[1].as_ptr(), bytes.as_ptr());
    }

    /// Places are those of the puts that have one; a transaction without effect says so.
    #[test]
    fn places_and_emptiness() {
        let segments: Vec<u64> = example().places().map(|place| place.segment.0).collect();
        assert_eq!(segments, [3]);
        assert!(!example().is_empty());
        assert!(
            Transaction {
                unique: 5,
                ..Transaction::default()
            }
            .is_empty()
        );
        assert!(
            !Transaction {
                inodes_delta: 1,
                ..Transaction::default()
            }
            .is_empty()
        );
        assert_eq!(flat(&Transaction::default()), [0, 0, 0, 0]);
    }

    /// Counts and lengths beyond the input, long forms and unknown flags are refused, and
    /// nothing large is allocated for them.
    #[test]
    fn nonsense_is_refused() {
        let problem = |bytes: &[u8]| Transaction::decode(bytes).unwrap_err().problem;
        let count = "more changes than there are bytes for";
        assert_eq!(problem(&[0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0]), count);
        let long = "number too large or not in its shortest form";
        assert_eq!(problem(&[0x80, 0x00, 0, 0]), long);
        assert_eq!(problem(&[0xff; 12]), long);
        assert_eq!(problem(&[0, 0, 0, 0, 0]), "trailing bytes");
        let mut change = vec![1, 0, 0, 0, 0x20 | SAME_OWNER];
        change.extend([0; 12]);
        assert_eq!(problem(&change), "unknown flags of a change");
        change[4] = kind::DELETE;
        change.extend([0; 5]);
        assert_eq!(problem(&change), "owner of a key is repeated");
        change.truncate(14);
        change[4] = kind::PUT | SAME_OWNER;
        change.extend([0xff, 0xff, 0x7f]);
        assert_eq!(problem(&change), "value above its limit");
        change[4] = kind::DATA | SAME_OWNER;
        change.truncate(14);
        change.extend([0xff, 0xff, 0xff, 0xff, 0x1f, 0]);
        assert_eq!(problem(&change), "data offset above its limit");
    }

    fn any_key() -> impl Strategy<Value = Key> {
        let owner = prop_oneof![0..4_u64, any::<u64>()];
        (owner, any::<u8>(), any::<u64>()).prop_map(|(owner, kind, sub)| Key::new(owner, kind, sub))
    }

    fn any_block() -> impl Strategy<Value = Key> {
        let index = 0..u64::MAX >> 1;
        (any_key(), index).prop_map(|(key, index)| Key::new(key.owner(), key.kind(), index))
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..200).prop_map(Arc::<[u8]>::from);
        let place =
            (any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(segment, offset, len)| Place {
                segment: SegmentId(segment),
                offset,
                len,
            });
        let value =
            (bytes(), prop::option::of(place)).prop_map(|(bytes, place)| Value { bytes, place });
        prop_oneof![
            (any_key(), value).prop_map(|(key, value)| Change::Put(key, value)),
            any_key().prop_map(Change::Delete),
            (any_key(), any_key()).prop_map(|(from, to)| Change::DeleteRange(from, to)),
            (any_block(), any::<u32>(), bytes()).prop_map(|(first, offset, bytes)| Change::Data {
                first,
                offset,
                bytes
            }),
        ]
    }

    prop_compose! {
        fn any_transaction()(
            changes in prop::collection::vec(any_change(), 0..8),
            blocks_delta in any::<i64>(),
            inodes_delta in -3..3_i64,
            unique in any::<u64>(),
        ) -> Transaction {
            Transaction { changes, blocks_delta, inodes_delta, unique }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Every transaction comes back, and no truncation of its encoding is accepted.
        #[test]
        fn transactions_round_trip(transaction in any_transaction()) {
            let bytes = flat(&transaction);
            prop_assert_eq!(Transaction::decode(&bytes).unwrap(), transaction);
            for len in 0..bytes.len() {
                prop_assert!(Transaction::decode(&bytes[..len]).is_err(), "{} bytes", len);
            }
        }

        /// A transaction has one encoding: damaged bytes are refused or encode to themselves.
        #[test]
        fn damaged_bytes_are_refused_or_mean_something_else(
            transaction in any_transaction(),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let mut bytes = flat(&transaction);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(other) = Transaction::decode(&bytes) {
                prop_assert_ne!(&other, &transaction);
                prop_assert_eq!(flat(&other), bytes);
            }
        }
    }
}
