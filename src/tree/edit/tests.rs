//! Joining and cutting, and the arithmetic of ranges.

use super::*;

fn key(number: u64) -> Key {
    Key::new(1, 1, number)
}

fn node(keys: impl Iterator<Item = Key>, value_bytes: usize) -> Node {
    let keys: Vec<Key> = keys.collect();
    let values: Vec<Value> = keys
        .iter()
        .map(|_| Value::record(vec![7; value_bytes]))
        .collect();
    Node::leaf(keys, values)
}

fn sizes(nodes: &[Node]) -> Vec<usize> {
    nodes.iter().map(Node::len).collect()
}

fn fresh(range: std::ops::Range<usize>) -> Fresh {
    let mut fresh = Fresh::default();
    range.for_each(|at| fresh.note(at));
    fresh
}

/// Empty ranges vanish and touching ones become one.
#[test]
fn ranges_are_coalesced() {
    let ranges = [(1, 1), (2, 4), (4, 6), (6, 6), (8, 9)].map(|(a, b)| (key(a), key(b)));
    assert_eq!(coalesced(&ranges), [(key(2), key(6)), (key(8), key(9))]);
}

/// Overlapping ranges are edited by nobody: they are a caller's mistake.
#[test]
#[should_panic(expected = "sorted and disjoint")]
fn overlapping_ranges_are_refused() {
    coalesced(&[(key(1), key(5)), (key(4), key(6))]);
}

/// A range covers what it holds wholly, and never what has no end.
#[test]
fn cover_needs_both_ends() {
    let ranges = [(key(2), key(6)), (key(8), key(9))];
    assert!(covers(&ranges, &key(2), Some(&key(6))));
    assert!(covers(&ranges, &key(8), Some(&key(9))));
    assert!(!covers(&ranges, &key(1), Some(&key(3))));
    assert!(!covers(&ranges, &key(5), Some(&key(9))));
    assert!(!covers(&ranges, &key(6), Some(&key(8))));
    assert!(!covers(&ranges, &key(8), None));
    assert_eq!(overlapping(&ranges, &key(6), Some(&key(8))), []);
    assert_eq!(
        overlapping(&ranges, &key(5), Some(&key(8))),
        [(key(2), key(6))]
    );
    assert_eq!(overlapping(&ranges, &key(5), None), ranges);
    assert_eq!(overlapping(&[], &key(5), None), []);
}

/// A node is cut in the middle when entries came in between, near its end when they were
/// appended, and behind them when another owner's entries follow.
#[test]
fn cuts_follow_what_was_inserted() {
    let limits = NodeLimits::new(1000);
    // 4 bytes of header, 28 for the first entry, 12 for each further one.
    let full = || node((0..90).map(key), 8);
    assert_eq!(sizes(&split(full(), &fresh(40..42), limits)), [45, 45]);
    assert_eq!(sizes(&split(full(), &fresh(88..90), limits)), [74, 16]);
    assert_eq!(sizes(&split(full(), &Fresh::default(), limits)), [45, 45]);

    let followed = || {
        node(
            (0..40)
                .map(key)
                .chain((0..50).map(|sub| Key::new(2, 1, sub))),
            8,
        )
    };
    assert_eq!(sizes(&split(followed(), &fresh(39..40), limits)), [40, 50]);
    assert_eq!(sizes(&split(followed(), &fresh(41..42), limits)), [44, 46]);

    let small = node((0..50).map(key), 8);
    assert_eq!(sizes(&split(small, &fresh(0..50), limits)), [50]);
    let huge = node((0..400).map(key), 8);
    assert_eq!(
        sizes(&split(huge, &Fresh::all(400), limits)),
        [74, 74, 74, 74, 74, 30]
    );
}

/// No cut leaves a node above the limit, unless a single entry is.
#[test]
fn cut_nodes_keep_the_limit() {
    let limits = NodeLimits::new(1000);
    let lengths = [900, 5, 990, 3, 3, 2000, 2000, 700, 700, 1, 1, 1, 950];
    let keys: Vec<Key> = (0..lengths.len() as u64).map(key).collect();
    let values: Vec<Value> = lengths
        .iter()
        .map(|&len| Value::record(vec![1; len]))
        .collect();
    let nodes = split(Node::leaf(keys, values), &fresh(3..5), limits);
    assert_eq!(sizes(&nodes).iter().sum::<usize>(), lengths.len());
    assert!(
        nodes
            .iter()
            .all(|node| node.len() == 1 || node.payload_bytes() <= 1000)
    );
}
