//! A node's bytes: a canonical part, which the id covers, and the places behind it.
//!
//! The layout is in docs/on-disk-format.md, "Tree node". Places are hints: garbage collection may
//! write a node again with other places, and its id must not change by that.

use super::node::Node;
use super::values::Values;
use crate::base::{
    BlockId, ByteReader, DecodeError, Key, Place, Pointer, PutBytes, Value, ValueRef,
};

/// Format version, first byte of every node.
const VERSION: u8 = 1;
/// Version, height, count of entries.
pub(super) const HEADER_BYTES: usize = 4;
/// Greatest height; a tree of two-entry nodes with 2^32 leaves is not higher.
pub(super) const HEIGHT_MAX: u8 = 32;
/// A child of an internal node without its key: id and place.
pub(super) const CHILD_BYTES: usize = BlockId::BYTES + Place::BYTES;
/// Longest payload: a leaf that holds one value of the greatest length.
const PAYLOAD_BYTES_MAX: usize = Value::MAX_BYTES + 1024;
/// Shortest entry: prefix length, one byte of key, and a value's length or more.
const ENTRY_BYTES_MIN: usize = 3;
/// Key of the hash. It keeps nodes' ids apart from those of blocks, so that file content which
/// happens (or is made) to equal a node's bytes does not bear the node's id.
const HASH_KEY: &[u8; 32] = b"volfs copy-on-write tree node v1";

/// Length of the common prefix of two keys, in bytes.
pub(super) fn shared_prefix(a: &Key, b: &Key) -> usize {
    let ([a @ .., a_last], [b @ .., b_last]) = (a.as_bytes(), b.as_bytes());
    let difference = u128::from_be_bytes(*a) ^ u128::from_be_bytes(*b);
    match difference.leading_zeros() as usize / 8 {
        16 if a_last == b_last => Key::BYTES,
        shared => shared,
    }
}

/// Encoded length of a key behind `previous`.
pub(super) fn key_bytes(previous: Option<&Key>, key: &Key) -> usize {
    1 + Key::BYTES - previous.map_or(0, |previous| shared_prefix(previous, key))
}

/// Encoded length of a leaf's value with its place.
pub(super) fn value_bytes(value: ValueRef<'_>) -> usize {
    let len = value.bytes.len();
    let len_bytes = match len {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    };
    len_bytes
        + len
        + 1
        + if value.place.is_some() {
            Place::BYTES
        } else {
            0
        }
}

impl Node {
    /// The node's id and its payload.
    ///
    /// Panics on a node that [`Node::decode`] would refuse, which no caller builds.
    pub fn encode(&self) -> (BlockId, Vec<u8>) {
        assert!(!self.is_empty(), "an empty node is never stored");
        assert!(self.height() <= HEIGHT_MAX && self.payload_bytes() <= PAYLOAD_BYTES_MAX);
        assert!(
            self.keys().is_sorted_by(|a, b| a < b),
            "a node's keys are sorted"
        );
        let mut out = Vec::with_capacity(self.payload_bytes());
        out.put_u8(VERSION);
        out.put_u8(self.height());
        out.put_u16(u16::try_from(self.len()).expect("the payload's limit bounds the count"));
        let mut previous = None;
        for (at, key) in self.keys().iter().enumerate() {
            put_key(&mut out, previous, key);
            previous = Some(key);
            if self.height() == 0 {
                let bytes = self.value(at).bytes;
                put_length(&mut out, bytes.len());
                out.put_bytes(bytes);
            } else {
                out.put_bytes(&self.children()[at].id.0);
            }
        }
        let id = node_id(&out);
        for value in self.values() {
            out.put_u8(u8::from(value.place.is_some()));
            value.place.iter().for_each(|place| out.put_place(place));
        }
        self.children()
            .iter()
            .for_each(|child| out.put_place(&child.place));
        debug_assert_eq!(out.len(), self.payload_bytes());
        (id, out)
    }

    /// The node in a payload, and the id that its canonical part has; an error when the bytes
    /// are not exactly what [`Node::encode`] writes.
    pub fn decode(payload: &[u8]) -> Result<(BlockId, Node), DecodeError> {
        let mut reader = ByteReader::new("tree node", payload);
        let (height, count) = read_header(&mut reader)?;
        let entries = if height == 0 {
            decode_leaf
        } else {
            decode_internal
        };
        let (canonical_bytes, node) = entries(&mut reader, height, count, payload.len())?;
        reader.finish()?;
        Ok((node_id(&payload[..canonical_bytes]), node))
    }
}

/// Height of the node, and how many entries it has.
fn read_header(reader: &mut ByteReader<'_>) -> Result<(u8, usize), DecodeError> {
    if reader.remaining() > PAYLOAD_BYTES_MAX {
        return Err(reader.error("longer than a node can be"));
    }
    if reader.u8()? != VERSION {
        return Err(reader.error("unknown version"));
    }
    let height = reader.u8()?;
    if height > HEIGHT_MAX {
        return Err(reader.error("height above its limit"));
    }
    let count = usize::from(reader.u16()?);
    if count == 0 {
        return Err(reader.error("no entries"));
    }
    // Before anything is allocated by it.
    if count > reader.remaining() / ENTRY_BYTES_MIN {
        return Err(reader.error("truncated"));
    }
    Ok((height, count))
}

/// What a node names, without the rest of it.
pub(super) struct Named {
    /// Id of the node's canonical part.
    pub(super) id: BlockId,
    /// Levels below the node.
    pub(super) height: u8,
    /// Blocks of a leaf, or children of an internal node, in the order of their keys.
    pub(super) pointers: Vec<Pointer>,
}

/// What the node in a payload names: as much as [`Node::decode`] would say of it, at a fraction of
/// the cost. Keys are skipped: what has the id that somebody refers to was checked when it was
/// encoded.
pub(super) fn decode_named(payload: &[u8]) -> Result<Named, DecodeError> {
    let mut reader = ByteReader::new("tree node", payload);
    let (height, count) = read_header(&mut reader)?;
    // Which entries are ids, and where.
    let mut ids: Vec<(usize, BlockId)> = Vec::with_capacity(count);
    for at in 0..count {
        skip_key(&mut reader)?;
        let len = match height {
            0 => read_length(&mut reader)?,
            _ => BlockId::BYTES,
        };
        match len {
            BlockId::BYTES => ids.push((at, reader.block_id()?)),
            _ => drop(reader.bytes(len)?),
        }
    }
    let id = node_id(&payload[..payload.len() - reader.remaining()]);
    let mut ids = ids.into_iter().peekable();
    let mut pointers = Vec::with_capacity(ids.len());
    for at in 0..count {
        let place = match height {
            0 => read_optional_place(&mut reader)?,
            _ => Some(reader.place()?),
        };
        let named = ids.next_if(|(other, _)| *other == at);
        if let (Some((_, id)), Some(place)) = (named, place) {
            pointers.push(Pointer { id, place });
        }
    }
    reader.finish()?;
    Ok(Named {
        id,
        height,
        pointers,
    })
}

fn node_id(canonical: &[u8]) -> BlockId {
    BlockId(*blake3::keyed_hash(HASH_KEY, canonical).as_bytes())
}

/// Length of the canonical part, and the node.
fn decode_leaf(
    reader: &mut ByteReader<'_>,
    _height: u8,
    count: usize,
    payload_bytes: usize,
) -> Result<(usize, Node), DecodeError> {
    let mut keys = Vec::with_capacity(count);
    let mut records = Vec::with_capacity(count);
    let mut record_bytes = 0;
    for _ in 0..count {
        keys.push(read_key(reader, keys.last())?);
        let len = read_length(reader)?;
        records.push(reader.bytes(len)?);
        record_bytes += len;
    }
    let canonical_bytes = payload_bytes - reader.remaining();
    // Each value has a byte that says whether a place follows.
    let place_bytes = reader.remaining().saturating_sub(count);
    let mut values = Values::with_capacity(count, record_bytes + place_bytes);
    for bytes in records {
        let place = read_optional_place(reader)?;
        values.push(ValueRef { bytes, place });
    }
    Ok((canonical_bytes, Node::leaf(keys, values)))
}

fn read_optional_place(reader: &mut ByteReader<'_>) -> Result<Option<Place>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(reader.place()?)),
        _ => Err(reader.error("neither with nor without a place")),
    }
}

/// Length of the canonical part, and the node.
fn decode_internal(
    reader: &mut ByteReader<'_>,
    height: u8,
    count: usize,
    payload_bytes: usize,
) -> Result<(usize, Node), DecodeError> {
    let mut keys = Vec::with_capacity(count);
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        keys.push(read_key(reader, keys.last())?);
        ids.push(reader.block_id()?);
    }
    let canonical_bytes = payload_bytes - reader.remaining();
    let children = ids
        .into_iter()
        .map(|id| {
            Ok(Pointer {
                id,
                place: reader.place()?,
            })
        })
        .collect::<Result<_, DecodeError>>()?;
    Ok((canonical_bytes, Node::internal(height, keys, children)))
}

fn put_key(out: &mut Vec<u8>, previous: Option<&Key>, key: &Key) {
    let shared = previous.map_or(0, |previous| shared_prefix(previous, key));
    out.put_u8(shared as u8);
    out.put_bytes(&key.as_bytes()[shared..]);
}

fn read_key(reader: &mut ByteReader<'_>, previous: Option<&Key>) -> Result<Key, DecodeError> {
    let shared = usize::from(reader.u8()?);
    let Some(previous) = previous else {
        if shared != 0 {
            return Err(reader.error("the first key shares a prefix with nothing"));
        }
        return Ok(Key::from_bytes(reader.array()?));
    };
    if shared >= Key::BYTES {
        return Err(reader.error("a key repeats the one before"));
    }
    let mut bytes = *previous.as_bytes();
    let before = bytes[shared];
    bytes[shared..].copy_from_slice(reader.bytes(Key::BYTES - shared)?);
    // An equal byte would be a prefix that is longer than stated: a second encoding of one node.
    if bytes[shared] <= before {
        return Err(reader.error("keys are not sorted"));
    }
    Ok(Key::from_bytes(bytes))
}

fn skip_key(reader: &mut ByteReader<'_>) -> Result<(), DecodeError> {
    match Key::BYTES.checked_sub(usize::from(reader.u8()?)) {
        Some(rest) => reader.bytes(rest).map(drop),
        None => Err(reader.error("a prefix is longer than a key")),
    }
}

/// Appends a length below 2^21: seven bits a byte, low bits first.
fn put_length(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.put_u8((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.put_u8(len as u8);
}

fn read_length(reader: &mut ByteReader<'_>) -> Result<usize, DecodeError> {
    let mut len = 0;
    for shift in [0, 7, 14] {
        let byte = reader.u8()?;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            if byte == 0 && shift > 0 {
                return Err(reader.error("a length is not in its shortest form"));
            }
            if len > Value::MAX_BYTES {
                break;
            }
            return Ok(len);
        }
    }
    Err(reader.error("a value is longer than its limit"))
}

#[cfg(test)]
mod tests;
