//! What must hold of a tree node with any bytes.

use super::Node;

/// A node is refused, or is what it encodes to; its memory is bounded by its bytes.
pub(crate) fn node(bytes: &[u8]) {
    let Ok((id, node)) = Node::decode(bytes) else {
        return;
    };
    assert_eq!(node.encode(), (id, bytes.to_vec()));
    assert_eq!(node.payload_bytes(), bytes.len());
    assert!(node.memory_bytes() <= 64 * bytes.len() + 1024);
}

/// A leaf with both kinds of values and an internal node.
#[cfg(test)]
pub(crate) fn node_seeds() -> Vec<(&'static str, Vec<u8>)> {
    use crate::base::{BlockId, Key, Place, Pointer, SegmentId, Value};

    let place = Place {
        segment: SegmentId(3),
        offset: 64,
        len: 4096,
    };
    let keys = vec![Key::new(1, 16, 0), Key::new(1, 20, 0), Key::new(2, 16, 7)];
    let values = vec![
        Value::record([1; 20]),
        Value {
            bytes: [2; 32].as_slice().into(),
            place: Some(place),
        },
        Value::record([3; 200]),
    ];
    let children = (4..7).map(|byte| Pointer {
        id: BlockId([byte; 32]),
        place,
    });
    let children = children.collect();
    vec![
        ("leaf", Node::leaf(keys.clone(), values).encode().1),
        ("internal", Node::internal(2, keys, children).encode().1),
    ]
}
