//! The whole tree against a plain ordered map.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;

use super::edit::{NodeLimits, edit_within};
use super::testing::MemoryNodes;
use super::*;
use crate::base::{Key, Nature, Place, SegmentId, Value, ValueRef};

type Model = BTreeMap<Key, Value>;
type Difference = (Key, Option<Arc<[u8]>>, Option<Arc<[u8]>>);

/// Small nodes make deep trees of few entries.
const SMALL: NodeLimits = NodeLimits::new(300);

/// Keys with shared prefixes of various lengths.
fn key(number: u16) -> Key {
    Key::new(
        u64::from(number / 64),
        (number / 16 % 4) as u8,
        u64::from(number % 16) * 77,
    )
}

/// A record, or a block pointer with a place.
fn value(seed: u8, len: usize) -> Value {
    let place = Place {
        segment: SegmentId(seed.into()),
        offset: 64,
        len: 100,
    };
    Value {
        bytes: vec![seed; len].into(),
        place: (seed % 2 == 1).then_some(place),
    }
}

fn model_edit(model: &mut Model, edits: &Edits) {
    for (from, to) in &edits.ranges {
        model.retain(|key, _| key < from || key >= to);
    }
    for (key, value) in &edits.points {
        match value {
            Some(value) => model.insert(*key, value.clone()),
            None => model.remove(key),
        };
    }
}

fn entries_from(nodes: &MemoryNodes, root: Option<&TreeRoot>, from: &Key) -> Vec<(Key, Value)> {
    let mut cursor = Cursor::seek(nodes, root, from).unwrap();
    std::iter::from_fn(|| cursor.next().unwrap()).collect()
}

fn differences(nodes: &MemoryNodes, a: Option<&TreeRoot>, b: Option<&TreeRoot>) -> Vec<Difference> {
    let bytes = |value: Option<&Value>| value.map(|value| value.bytes.clone());
    let mut out = Vec::new();
    diff(nodes, a, b, &mut |key, a, b| {
        out.push((key, bytes(a), bytes(b)));
        ControlFlow::Continue(())
    })
    .unwrap();
    out
}

fn model_differences(a: &Model, b: &Model) -> Vec<Difference> {
    let bytes = |model: &Model, key: &Key| model.get(key).map(|value| value.bytes.clone());
    let mut keys: Vec<Key> = a.keys().chain(b.keys()).copied().collect();
    keys.sort();
    keys.dedup();
    let pairs = keys
        .into_iter()
        .map(|key| (key, bytes(a, &key), bytes(b, &key)));
    pairs.filter(|(_, a, b)| a != b).collect()
}

/// Violations that `check` reports, and the entries that it visits.
fn checked(nodes: &MemoryNodes, root: Option<&TreeRoot>) -> (Vec<TreeError>, Vec<(Key, Value)>) {
    let (mut errors, mut entries) = (Vec::new(), Vec::new());
    check(
        nodes,
        root,
        &mut |key, value| entries.push((*key, value.clone())),
        &mut |bad| errors.push(bad.error),
    );
    (errors, entries)
}

/// Nodes keep the limit unless they hold a single entry, and the root is as low as it can be.
fn assert_shape(nodes: &MemoryNodes, root: &TreeRoot, bytes_max: usize) {
    let levels = levels(nodes, root);
    let fits = |node: &Arc<Node>| node.len() == 1 || node.payload_bytes() <= bytes_max;
    assert!(levels.iter().flatten().all(fits));
    assert!(root.height == 0 || levels[usize::from(root.height)][0].len() > 1);
}

fn any_edits() -> impl Strategy<Value = Edits> {
    let some_value = (
        any::<u8>(),
        prop_oneof![9 => 0..40usize, 1 => 200..400usize],
    )
        .prop_map(|(seed, len)| value(seed, len));
    let point = proptest::option::weighted(0.6, some_value);
    // Scattered over all keys, or many in one stretch.
    let points = prop_oneof![
        proptest::collection::btree_map(0..640u16, point.clone(), 0..40),
        (0..600u16, proptest::collection::vec(point, 0..120)).prop_map(|(start, values)| {
            values
                .into_iter()
                .enumerate()
                .map(|(at, v)| (start + at as u16, v))
                .collect()
        }),
    ];
    let ranges = proptest::collection::vec(0..700u16, 0..6);
    (points, ranges).prop_map(|(points, mut bounds)| {
        bounds.sort();
        // Pairs may touch or be empty.
        let ranges = bounds
            .chunks_exact(2)
            .map(|pair| (key(pair[0]), key(pair[1])))
            .collect();
        let points = points
            .into_iter()
            .map(|(number, value)| (key(number), value))
            .collect();
        Edits { ranges, points }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..Default::default()
    })]

    /// Whatever batches are applied, the tree holds what the map holds: by look-up, by cursor
    /// from anywhere, by difference to an older version; `check` finds nothing, and an edit
    /// that changes nothing writes nothing.
    #[test]
    fn tree_equals_map(
        batches in proptest::collection::vec(any_edits(), 1..10),
        from in 0..640u16,
        bytes_max in prop_oneof![Just(300), Just(700), Just(16384)],
    ) {
        let nodes = MemoryNodes::default();
        let limits = NodeLimits::new(bytes_max);
        let mut versions: Vec<(Option<TreeRoot>, Model)> = vec![(None, Model::new())];
        for edits in &batches {
            let (root, mut model) = versions.last().cloned().unwrap();
            nodes.take_counts();
            let root = edit_within(&nodes, root.as_ref(), edits, limits).unwrap();
            let (_, writes) = nodes.take_counts();
            model_edit(&mut model, edits);
            prop_assert!(versions.last().unwrap().1 != model || writes == 0);

            let (errors, entries) = checked(&nodes, root.as_ref());
            prop_assert!(errors.is_empty(), "{errors:?}");
            prop_assert!(entries.iter().map(|(key, value)| (key, value)).eq(&model));
            prop_assert_eq!(root.is_none(), model.is_empty());
            if let Some(root) = &root {
                assert_shape(&nodes, root, bytes_max);
            }
            versions.push((root, model));
        }

        let (last, last_model) = versions.last().unwrap();
        let start = key(from);
        let rest = entries_from(&nodes, last.as_ref(), &start);
        prop_assert!(rest.iter().map(|(k, v)| (k, v)).eq(last_model.range(start..)));
        for number in 0..700 {
            let found = get(&nodes, last.as_ref(), &key(number)).unwrap();
            prop_assert_eq!(found.as_ref(), last_model.get(&key(number)));
        }
        for (root, model) in &versions {
            let all = entries_from(&nodes, root.as_ref(), &Key::MIN);
            prop_assert!(all.iter().map(|(k, v)| (k, v)).eq(model), "an old version changed");
            let expected = model_differences(model, last_model);
            prop_assert_eq!(differences(&nodes, root.as_ref(), last.as_ref()), expected);
        }
    }
}

/// `count` entries of 32 bytes with places, as block pointers are, every second sub-key.
fn pointers(count: u64) -> Edits {
    let place = |at: u64| Place {
        segment: SegmentId(9),
        offset: at as u32 * 64,
        len: 64,
    };
    let value = |at: u64| Value {
        bytes: blake3::hash(&at.to_le_bytes()).as_bytes().as_slice().into(),
        place: Some(place(at)),
    };
    let points = (0..count)
        .map(|at| (Key::new(5, 3, at * 2), Some(value(at))))
        .collect();
    Edits {
        ranges: Vec::new(),
        points,
    }
}

fn put(sub: u64, value: Value) -> Edits {
    Edits {
        ranges: Vec::new(),
        points: vec![(Key::new(5, 3, sub), Some(value))],
    }
}

/// Nodes of a tree, by height from the leaves up.
fn levels(nodes: &MemoryNodes, root: &TreeRoot) -> Vec<Vec<Arc<Node>>> {
    let mut out = Vec::new();
    let mut pointers = vec![root.node];
    for height in (0..=root.height).rev() {
        let level: Vec<_> = pointers
            .iter()
            .map(|at| nodes.read_node(at, height).unwrap())
            .collect();
        pointers = level
            .iter()
            .flat_map(|node| node.children().to_vec())
            .collect();
        out.insert(0, level);
    }
    out
}

/// Looked up one after the other, keys in any order are what they are when looked up alone; a run
/// of neighbours costs a descent a leaf.
#[test]
fn many_lookups_equal_single_ones() {
    let nodes = MemoryNodes::default();
    let points = (0..550).map(|at| (key(at * 2), Some(value(at as u8, 20))));
    let edits = Edits {
        points: points.collect(),
        ..Edits::default()
    };
    let root = edit_within(&nodes, None, &edits, SMALL).unwrap();
    let counted = CountedNodes::new(&nodes);
    let mut lookup = Lookup::new(&counted, root);
    let scattered = (0..2000u32).map(|at| (at * 7919 % 1100) as u16);
    for number in (0..1100).chain(scattered).chain((0..1100).rev()) {
        let alone = get(&nodes, root.as_ref(), &key(number)).unwrap();
        assert_eq!(
            lookup.get(&key(number)).unwrap(),
            alone.as_ref().map(ValueRef::from)
        );
    }
    let before = counted.count();
    for number in 0..1000 {
        lookup.get(&key(number)).unwrap();
    }
    assert!(counted.count() - before < 1000);
    assert_eq!(Lookup::new(&nodes, None).get(&key(1)).unwrap(), None);
}

/// One changed value in a tree of 100 thousand entries reads and writes one node per level.
#[test]
fn point_edit_touches_one_path() {
    let nodes = MemoryNodes::default();
    let root = edit(&nodes, None, &pointers(100_000)).unwrap().unwrap();
    assert_eq!(root.height, 2);

    for sub in [0, 77_776, 77_777, 199_998, 500_000] {
        nodes.take_counts();
        let edited = edit(&nodes, Some(&root), &put(sub, value(3, 32)))
            .unwrap()
            .unwrap();
        assert_eq!(nodes.take_counts(), (3, 3), "sub-key {sub}");
        let found = get(&nodes, Some(&edited), &Key::new(5, 3, sub)).unwrap();
        assert_eq!(found, Some(value(3, 32)));
    }
}

/// A range delete over most of a tree reads the two border paths (and a neighbour to join what
/// they leave), not what lies between.
#[test]
fn range_delete_drops_subtrees_unread() {
    let nodes = MemoryNodes::default();
    let root = edit_within(&nodes, None, &pointers(100_000), NodeLimits::new(1024)).unwrap();
    let root = root.unwrap();
    assert_eq!(root.height, 3);

    nodes.take_counts();
    let range = (Key::new(5, 3, 1000), Key::new(5, 3, 190_001));
    let edits = Edits {
        ranges: vec![range],
        points: Vec::new(),
    };
    let cut = edit_within(&nodes, Some(&root), &edits, NodeLimits::new(1024)).unwrap();
    let (reads, writes) = nodes.take_counts();
    assert!(reads <= 2 * 4 + 4, "{reads} reads");
    assert!(writes <= 2 * 4, "{writes} writes");
    let (errors, entries) = checked(&nodes, cut.as_ref());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(entries.len(), 500 + 4999);

    nodes.take_counts();
    let edits = Edits {
        ranges: vec![(Key::MIN, Key::MAX)],
        points: Vec::new(),
    };
    let empty = edit_within(&nodes, Some(&root), &edits, NodeLimits::new(1024)).unwrap();
    assert_eq!(empty, None);
    assert_eq!(nodes.take_counts(), (4, 0));
}

/// Points set inside a range that the same batch removes are there afterwards.
#[test]
fn points_outlive_the_range_of_their_batch() {
    let nodes = MemoryNodes::default();
    let root = edit_within(&nodes, None, &pointers(10_000), SMALL).unwrap();
    let edits = Edits {
        ranges: vec![(Key::MIN, Key::MAX)],
        ..put(777, value(1, 32))
    };
    let root = edit_within(&nodes, root.as_ref(), &edits, SMALL).unwrap();
    let (errors, entries) = checked(&nodes, root.as_ref());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(entries, [(Key::new(5, 3, 777), value(1, 32))]);
    assert_eq!(root.unwrap().height, 0);
}

/// A big sorted append, and small appends one after the other, leave nodes nearly full, at the
/// right edge as well as before another file's entries.
#[test]
fn appends_leave_full_nodes() {
    let other = Edits {
        ranges: Vec::new(),
        points: vec![(Key::new(6, 1, 0), Some(value(2, 80)))],
    };
    for start in [None, Some(other)] {
        let nodes = MemoryNodes::default();
        let mut root = start.and_then(|start| edit_within(&nodes, None, &start, SMALL).unwrap());
        for points in pointers(6000).points.chunks(7) {
            let edits = Edits {
                ranges: Vec::new(),
                points: points.to_vec(),
            };
            root = edit_within(&nodes, root.as_ref(), &edits, SMALL).unwrap();
        }
        let small = levels(&nodes, &root.unwrap());
        let root = edit_within(&nodes, None, &pointers(6000), SMALL).unwrap();
        let big = levels(&nodes, &root.unwrap());

        for level in small[..2].iter().chain(&big[..2]) {
            let mean = level.iter().map(|node| node.payload_bytes()).sum::<usize>() / level.len();
            assert!(
                mean > 300 * 3 / 4,
                "mean {mean} of 300 bytes in {} nodes",
                level.len()
            );
        }
    }
}

/// Deleting most entries at random shrinks the number of nodes likewise.
#[test]
fn scattered_deletes_join_nodes() {
    let nodes = MemoryNodes::default();
    let all = pointers(20_000);
    let mut root = edit_within(&nodes, None, &all, SMALL).unwrap();
    let before = levels(&nodes, root.as_ref().unwrap())[0].len();
    for batch in 0..10 {
        let points = all.points.iter().enumerate();
        let gone = points.filter(|(at, _)| at % 20 != 0 && at % 10 == batch);
        let points = gone.map(|(_, (key, _))| (*key, None)).collect();
        let edits = Edits {
            ranges: Vec::new(),
            points,
        };
        root = edit_within(&nodes, root.as_ref(), &edits, SMALL).unwrap();
    }
    let after = levels(&nodes, root.as_ref().unwrap())[0].len();
    assert!(after * 8 < before, "{before} leaves before, {after} after");
    let (errors, entries) = checked(&nodes, root.as_ref());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(entries.len(), 1000);
}

/// Values up to the greatest length have leaves of their own and stay readable.
#[test]
fn greatest_values_are_stored() {
    let nodes = MemoryNodes::default();
    let lengths = [
        1,
        Value::MAX_BYTES,
        5,
        Value::MAX_BYTES,
        Value::MAX_BYTES,
        20_000,
        0,
    ];
    let points: Vec<_> = (0..)
        .zip(lengths)
        .map(|(at, len)| (key(at), Some(value(3, len))))
        .collect();
    let edits = Edits {
        ranges: Vec::new(),
        points,
    };
    let root = edit(&nodes, None, &edits).unwrap();
    for (key, value) in &edits.points {
        assert_eq!(get(&nodes, root.as_ref(), key).unwrap(), *value);
    }
    assert!(checked(&nodes, root.as_ref()).0.is_empty());
}

/// An equal value with another place is written, under the same ids, and is no difference.
#[test]
fn changed_place_is_written_under_the_same_id() {
    let nodes = MemoryNodes::default();
    let root = edit(&nodes, None, &pointers(5000)).unwrap().unwrap();
    let key = Key::new(5, 3, 4000);
    let mut moved = get(&nodes, Some(&root), &key).unwrap().unwrap();
    nodes.take_counts();
    let same = edit(&nodes, Some(&root), &put(4000, moved.clone()))
        .unwrap()
        .unwrap();
    assert_eq!(same, root);
    assert_eq!(nodes.take_counts(), (2, 0));

    moved.place = Some(Place {
        segment: SegmentId(77),
        offset: 1,
        len: 2,
    });
    let edited = edit(&nodes, Some(&root), &put(4000, moved.clone()))
        .unwrap()
        .unwrap();
    assert_eq!(edited.node.id, root.node.id);
    assert_ne!(edited.node.place, root.node.place);
    assert_eq!(get(&nodes, Some(&edited), &key).unwrap(), Some(moved));
    nodes.take_counts();
    assert_eq!(differences(&nodes, Some(&root), Some(&edited)), []);
    assert_eq!(nodes.take_counts(), (0, 0));
    let mut told = Vec::new();
    diff_frames(&nodes, Some(&root), Some(&edited), &mut |at, _, value| {
        told.push((at, value.and_then(|value| value.place)));
        ControlFlow::Continue(())
    })
    .unwrap();
    let place = get(&nodes, Some(&edited), &key).unwrap().unwrap().place;
    assert_eq!(told, [(key, place)], "another frame is told of");
}

/// The difference of two large trees that differ in one entry reads one path of each.
#[test]
fn diff_skips_equal_subtrees() {
    let nodes = MemoryNodes::default();
    let root = edit(&nodes, None, &pointers(100_000)).unwrap().unwrap();
    let edited = edit(&nodes, Some(&root), &put(50_001, value(2, 10)))
        .unwrap()
        .unwrap();
    nodes.take_counts();
    let found = differences(&nodes, Some(&root), Some(&edited));
    assert_eq!(
        found,
        [(Key::new(5, 3, 50_001), None, Some(value(2, 10).bytes))]
    );
    assert_eq!(nodes.take_counts().0, 2 * 3);
}

/// A difference can be broken off.
#[test]
fn diff_stops_when_told() {
    let nodes = MemoryNodes::default();
    let root = edit(&nodes, None, &pointers(1000)).unwrap();
    let mut seen = 0;
    diff(&nodes, None, root.as_ref(), &mut |_, _, _| {
        seen += 1;
        if seen == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .unwrap();
    assert_eq!(seen, 3);
}

/// A flipped byte in a node is an error with its place for `get`, and for `check` one violation
/// that hides nothing else.
#[test]
fn damaged_node_is_reported_with_its_place() {
    let nodes = MemoryNodes::default();
    let root = edit(&nodes, None, &pointers(100_000)).unwrap().unwrap();
    let top = nodes.read_node(&root.node, 2).unwrap();
    let middle = nodes.read_node(&top.children()[0], 1).unwrap();
    let (bad, bad_keys) = (middle.children()[1], middle.keys()[1]);
    let lost = nodes.read_node(&bad, 0).unwrap().len();
    nodes.damage(&bad.place, |payload| payload[100] ^= 1);

    let error = get(&nodes, Some(&root), &bad_keys).unwrap_err();
    assert_eq!(error.nature(), Nature::Corrupt);
    let spot = format!(
        "tree node {} in segment {} at byte 64",
        bad.id, bad.place.segment
    );
    assert!(error.to_string().starts_with(&spot), "{error}");
    assert!(
        get(&nodes, Some(&root), &middle.keys()[2])
            .unwrap()
            .is_some()
    );

    let (errors, entries) = checked(&nodes, Some(&root));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().starts_with(&spot), "{}", errors[0]);
    assert_eq!(entries.len(), 100_000 - lost);
}

/// Nodes that are sound by themselves but stand at the wrong place are found: another first key,
/// keys beyond the next child's, another height than the parent's.
#[test]
fn check_finds_misplaced_nodes() {
    let nodes = MemoryNodes::default();
    let keys = |numbers: [u16; 2]| numbers.map(key).to_vec();
    let values = || vec![value(1, 5), value(2, 5)];
    let low = nodes
        .write_node(Node::leaf(keys([1, 5]), values()))
        .unwrap();
    let high = nodes
        .write_node(Node::leaf(keys([4, 6]), values()))
        .unwrap();
    let root = |first, second| {
        let node = nodes.write_node(Node::internal(1, keys([first, second]), vec![low, high]));
        TreeRoot {
            node: node.unwrap(),
            height: 1,
        }
    };
    let problems = |root: &TreeRoot| -> Vec<String> {
        checked(&nodes, Some(root))
            .0
            .iter()
            .map(ToString::to_string)
            .collect()
    };

    let overlap = problems(&root(1, 4));
    assert_eq!(overlap.len(), 1);
    assert!(
        overlap[0].contains("it reaches Key(0, 0, 385)"),
        "{overlap:?}"
    );
    let misnamed = problems(&root(1, 3));
    assert_eq!(misnamed.len(), 2);
    assert!(
        misnamed[1].contains("it starts at Some(Key(0, 0, 308))"),
        "{misnamed:?}"
    );
    let misread = problems(&TreeRoot {
        height: 2,
        ..root(1, 4)
    });
    assert_eq!(misread.len(), 1);
    assert!(
        misread[0].contains("its height is 1 where 2 is due"),
        "{misread:?}"
    );
}

/// Thirty thousand scattered changes read and write each node at most once.
#[test]
fn many_points_are_one_pass() {
    let nodes = MemoryNodes::default();
    let root = edit(&nodes, None, &pointers(200_000)).unwrap();
    let points = (0..30_000)
        .map(|at| (Key::new(5, 3, at * 13), Some(value(4, 32))))
        .collect();
    nodes.take_counts();
    let edited = edit(
        &nodes,
        root.as_ref(),
        &Edits {
            ranges: Vec::new(),
            points,
        },
    )
    .unwrap();
    let (reads, writes) = nodes.take_counts();
    let total: usize = levels(&nodes, &edited.unwrap()).iter().map(Vec::len).sum();
    assert!(
        reads <= total as u64 && writes <= total as u64,
        "{reads} {writes} {total}"
    );
}
