//! Golden bytes, round trips, and what must be refused.

use proptest::prelude::*;

use super::*;
use crate::base::SegmentId;

fn place(number: u64) -> Place {
    Place {
        segment: SegmentId(number),
        offset: 0x20,
        len: 0x30,
    }
}

fn leaf() -> Node {
    let keys = vec![Key::new(1, 2, 3), Key::new(1, 2, 4), Key::new(1, 3, 0)];
    let pointer = Value {
        bytes: vec![0xaa; 4].into(),
        place: Some(place(7)),
    };
    let long = Value::record(vec![0xbb; 130]);
    Node::leaf(keys, vec![Value::record(&b"hi"[..]), pointer, long])
}

fn internal() -> Node {
    let keys = vec![Key::new(1, 2, 3), Key::new(9, 2, 4)];
    let child = |number: u8| Pointer {
        id: BlockId([number; 32]),
        place: place(number.into()),
    };
    Node::internal(2, keys, vec![child(0x11), child(0x22)])
}

const PLACE_7: [u8; 16] = [7, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x30, 0, 0, 0];

/// A leaf's bytes are as in docs/on-disk-format.md, "Tree node".
#[test]
fn leaf_bytes_are_fixed() {
    let (id, payload) = leaf().encode();

    let mut expected = vec![1, 0, 3, 0];
    expected.extend([
        0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 2, b'h', b'i',
    ]);
    expected.extend([16, 4, 4, 0xaa, 0xaa, 0xaa, 0xaa]);
    expected.extend([8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0x82, 1]);
    expected.extend([0xbb; 130]);
    let canonical_bytes = expected.len();
    expected.push(0);
    expected.push(1);
    expected.extend(PLACE_7);
    expected.push(0);
    assert_eq!(payload, expected);
    assert_eq!(
        id.0,
        *blake3::keyed_hash(HASH_KEY, &expected[..canonical_bytes]).as_bytes()
    );
    assert_eq!(id.to_string(), LEAF_ID);
}

/// An internal node's bytes are as in docs/on-disk-format.md, "Tree node".
#[test]
fn internal_bytes_are_fixed() {
    let (id, payload) = internal().encode();

    let mut expected = vec![1, 2, 2, 0];
    expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
    expected.extend([0x11; 32]);
    expected.extend([7, 9, 2, 0, 0, 0, 0, 0, 0, 0, 4]);
    expected.extend([0x22; 32]);
    let canonical_bytes = expected.len();
    expected.extend([0x11, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x30, 0, 0, 0]);
    expected.extend([0x22, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x30, 0, 0, 0]);
    assert_eq!(payload, expected);
    assert_eq!(
        id.0,
        *blake3::keyed_hash(HASH_KEY, &expected[..canonical_bytes]).as_bytes()
    );
    assert_eq!(id.to_string(), INTERNAL_ID);
}

/// Every flipped bit of the canonical part gives another id or is refused; one in the places is
/// refused or gives the same id, and never other keys or values.
#[test]
fn every_flipped_bit_is_detected() {
    for (node, canonical_bytes) in [(leaf(), 174), (internal(), 97)] {
        let (id, payload) = node.encode();
        for bit in 0..payload.len() * 8 {
            let mut flipped = payload.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok((read_id, read)) = Node::decode(&flipped) else {
                continue;
            };
            if bit / 8 < canonical_bytes {
                assert_ne!(read_id, id, "bit {bit}");
            } else {
                assert_eq!((read_id, read.keys()), (id, node.keys()), "bit {bit}");
            }
        }
    }
}

/// Every truncation and every trailing byte is refused.
#[test]
fn truncations_are_refused() {
    for node in [leaf(), internal()] {
        let (_, mut payload) = node.encode();
        for len in 0..payload.len() {
            assert!(
                Node::decode(&payload[..len]).is_err(),
                "{len} bytes were accepted"
            );
        }
        payload.push(0);
        assert_eq!(
            Node::decode(&payload).unwrap_err().problem,
            "trailing bytes"
        );
    }
}

/// Bytes that break one rule each are refused with that rule.
#[test]
fn broken_rules_are_named() {
    let (_, good) = leaf().encode();
    let problem = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut payload = good.clone();
        change(&mut payload);
        Node::decode(&payload).unwrap_err().problem
    };
    assert_eq!(problem(&|p| p[0] = 2), "unknown version");
    assert_eq!(problem(&|p| p[1] = 33), "height above its limit");
    assert_eq!(problem(&|p| p[2] = 0), "no entries");
    assert_eq!(problem(&|p| p[3] = 0xff), "truncated");
    assert_eq!(
        problem(&|p| p[4] = 1),
        "the first key shares a prefix with nothing"
    );
    assert_eq!(problem(&|p| p[25] = 17), "a key repeats the one before");
    assert_eq!(problem(&|p| p[26] = 3), "keys are not sorted");
    assert_eq!(problem(&|p| p[26] = 2), "keys are not sorted");
    assert_eq!(
        problem(&|p| p[43] = 0),
        "a length is not in its shortest form"
    );
    assert_eq!(
        problem(&|p| p[42..45].fill(0xff)),
        "a value is longer than its limit"
    );
    assert_eq!(problem(&|p| p[174] = 2), "neither with nor without a place");
    assert_eq!(
        problem(&|p| p.resize(PAYLOAD_BYTES_MAX + 1, 0)),
        "longer than a node can be"
    );
}

/// The same node with other places has the same id.
#[test]
fn places_do_not_change_the_id() {
    let placed = leaf();
    let keys = placed.keys().to_vec();
    let values = placed.values().map(|value| Value::record(value.bytes));
    let bare = Node::leaf(keys, values.collect::<Vec<Value>>());
    assert_ne!(bare.encode().1, leaf().encode().1);
    assert_eq!(bare.encode().0, leaf().encode().0);
}

fn pointers_of(node: &Node) -> Vec<Pointer> {
    let blocks = node.values().filter_map(ValueRef::pointer);
    blocks.chain(node.children().iter().copied()).collect()
}

/// A truncated node names nothing, nor does one with a byte too many, or with a prefix that no key
/// can have.
#[test]
fn what_a_broken_node_names_is_refused() {
    for node in [leaf(), internal()] {
        let (_, mut payload) = node.encode();
        for len in 0..payload.len() {
            assert!(decode_named(&payload[..len]).is_err(), "{len} bytes");
        }
        payload.push(0);
        assert!(decode_named(&payload).is_err());
        payload.pop();
        payload[4] = 18;
        assert!(decode_named(&payload).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// What is encoded comes back, and its length is what the node says.
    #[test]
    fn nodes_round_trip(
        entries in proptest::collection::btree_map(
            (0..3u64, 0..3u8, any::<u64>()),
            (prop_oneof![0..300usize, Just(BlockId::BYTES)], any::<bool>()),
            1..60,
        ),
        is_leaf: bool,
    ) {
        let keys = entries.keys().map(|&(owner, kind, sub)| Key::new(owner, kind, sub)).collect();
        let node = if is_leaf {
            let value = |&(len, placed): &(usize, bool)| Value {
                bytes: vec![len as u8; len].into(),
                place: placed.then(|| place(len as u64)),
            };
            Node::leaf(keys, entries.values().map(value).collect::<Vec<Value>>())
        } else {
            let child = |&(len, _): &(usize, bool)| Pointer {
                id: BlockId([len as u8; 32]),
                place: place(len as u64),
            };
            Node::internal(3, keys, entries.values().map(child).collect())
        };
        let (id, payload) = node.encode();
        prop_assert_eq!(payload.len(), node.payload_bytes());
        let named = decode_named(&payload).unwrap();
        prop_assert_eq!((named.id, named.height), (id, node.height()));
        prop_assert_eq!(named.pointers, pointers_of(&node));
        prop_assert_eq!(Node::decode(&payload), Ok((id, node)));
    }

    /// Arbitrary bytes never panic.
    #[test]
    fn arbitrary_bytes_are_refused(mut bytes: Vec<u8>) {
        prop_assert!(Node::decode(&bytes).is_err());
        prop_assert!(decode_named(&bytes).is_err());
        bytes.splice(0..0, [1, 0, 1, 0]);
        // What is skipped is not judged, but nothing is refused that a node may be.
        if let (Ok((id, node)), named) = (Node::decode(&bytes), decode_named(&bytes)) {
            let named = named.unwrap();
            prop_assert_eq!((named.id, named.pointers), (id, pointers_of(&node)));
        }
    }
}

const LEAF_ID: &str = "942a24946904ddc3011103a0474b210ce3499789b402111e918f81d4da6d92d9";
const INTERNAL_ID: &str = "4072ceaa0e6f83220d4551d0fa15afeec1b80cc1b8f0ca642a8cdc4d9b071546";
