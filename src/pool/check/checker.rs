//! The walk over everything, and what becomes of what it finds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use super::entries::{self, Names};
use super::files::rule_of;
use super::report::{CheckOptions, CheckReport, Repair};
use super::subject::{IndexToCheck, State, Subject};
use super::violation::{InodeRule, StateName, Violation};
use super::watch::{PlacedNodes, Watch, WatchedNodes};
use crate::base::{Ino, Key, Place, Pointer, SegmentId};
use crate::block::{BlockError, Depth, Healed, SegmentFault, SegmentFindings};
use crate::pool::checkpoint::chain;
use crate::pool::{PoolError, PoolResult};
use crate::tree::{self, BadNode, TreeError};
use crate::volume::keys;
use crate::volume::ops::{Tails, check_inodes};
use crate::volume::records::Inode;

/// Blocks that are read in the order of the medium together.
const BATCH_BLOCKS: usize = 1 << 16;
/// Files that are named with a lost node.
const FILES_MAX: usize = 100;

/// Where something lies.
type Spot = (SegmentId, u32);

/// One check.
pub(super) struct Checker<'a> {
    subject: &'a Subject,
    options: &'a CheckOptions,
    watch: &'a Watch<'a>,
    nodes: WatchedNodes<'a>,
    report: CheckReport,
    findings: HashMap<SegmentId, SegmentFindings>,
    found: Found<'a>,
    /// Places of frames that were told of, or healed.
    told: HashSet<Spot>,
}

/// What a walk over the trees found.
#[derive(Default)]
struct Found<'a> {
    nodes: Vec<(Option<&'a State>, BadNode)>,
    blocks: HashMap<Pointer, String>,
    inodes: Vec<(&'a State, InodeRule, Option<Ino>, String)>,
}

/// Where copies of damaged frames lie.
type Copies = HashMap<crate::base::BlockId, Vec<Place>>;

impl<'a> Checker<'a> {
    pub(super) fn new(
        subject: &'a Subject,
        options: &'a CheckOptions,
        watch: &'a Watch<'a>,
    ) -> Checker<'a> {
        let nodes = &*subject.shared.nodes;
        Checker {
            subject,
            options,
            watch,
            nodes: WatchedNodes { nodes, watch },
            report: CheckReport::default(),
            findings: HashMap::new(),
            found: Found::default(),
            told: HashSet::new(),
        }
    }

    /// Checks everything; `BrokenOff` if nobody wants to know any more.
    pub(super) fn run(mut self) -> PoolResult<CheckReport> {
        for violation in &self.subject.violations {
            self.report.add(violation.clone());
        }
        self.segments()?;
        loop {
            self.trees()?;
            let copies = self.copies();
            // Below a healed node there is more to be seen.
            if !(self.options.heal && self.heal(&copies)?) {
                self.tell_nodes(&copies);
                self.tell_blocks(&copies);
                break;
            }
        }
        self.tell_inodes();
        self.tell_frames();
        self.index();
        self.still_wanted()?;
        Ok(self.report)
    }

    fn still_wanted(&self) -> PoolResult<()> {
        match self.watch.is_over() {
            true => Err(PoolError::BrokenOff),
            false => Ok(()),
        }
    }

    /// Every segment, frame by frame.
    fn segments(&mut self) -> PoolResult<()> {
        let depth = match self.options.read_data {
            true => Depth::Contents,
            false => Depth::Headers,
        };
        for &segment in &self.subject.segments {
            let watch = self.watch;
            let findings = self
                .subject
                .shared
                .store
                .examine(segment, depth, &mut |bytes| {
                    watch.done(1);
                    watch.read(bytes)
                })?;
            let findings = findings.ok_or(PoolError::BrokenOff)?;
            self.report.segments += 1;
            self.report.frames += findings.frames();
            for fault in &findings.faults {
                match fault.clone() {
                    // Recovery writes it anew.
                    SegmentFault::Header { is_torn: true, .. }
                        if segment >= self.subject.unsettled_from => {}
                    SegmentFault::Header { problem, .. } => {
                        self.report
                            .add(Violation::SegmentHeader { segment, problem });
                    }
                    SegmentFault::Table { problem } => {
                        self.report
                            .add(Violation::TableOfContents { segment, problem });
                    }
                    SegmentFault::Unreadable { problem } => {
                        self.report
                            .add(Violation::SegmentUnreadable { segment, problem });
                    }
                    // Only known once it is known who refers to it.
                    SegmentFault::Frame { .. } | SegmentFault::Content { .. } => {}
                }
            }
            self.findings.insert(segment, findings);
        }
        Ok(())
    }

    /// While trees are walked nothing is told of but what was healed, perhaps by a copy elsewhere.
    fn placed(&self) -> PlacedNodes<'_> {
        PlacedNodes {
            nodes: &self.nodes,
            store: &self.subject.shared.store,
            findings: self.options.read_data.then_some(&self.findings),
            healed: &self.told,
        }
    }

    /// The catalog, every volume and every snapshot.
    fn trees(&mut self) -> PoolResult<()> {
        let subject = self.subject;
        self.found = Found::default();
        let (mut bad, mut entries) = (Vec::new(), 0);
        tree::check(
            &self.placed(),
            subject.catalog.as_ref(),
            &mut |_, _| entries += 1,
            &mut |node| bad.push((None, node)),
        );
        let report = &mut self.report;
        (report.volumes, report.snapshots) = (0, 0);
        (report.entries, report.blocks, report.bytes) = (entries, 0, 0);
        self.found.nodes = bad;
        for family in &subject.families {
            self.report.volumes += 1;
            self.report.snapshots += family.len() as u64 - 1;
            let mut before: Option<&State> = None;
            for state in family {
                self.state(state, before);
                self.still_wanted()?;
                before = Some(state);
            }
        }
        Ok(())
    }

    /// Every node of a state; every block in a frame that the state before has not; what its inodes
    /// say.
    fn state(&mut self, state: &'a State, before: Option<&State>) {
        let (levels, root) = state.layer.chain();
        let (mut bad, mut entries) = (Vec::new(), 0);
        tree::check(
            &self.placed(),
            root.as_ref(),
            &mut |_, _| entries += 1,
            &mut |node| bad.push((Some(state), node)),
        );
        self.report.entries += entries;
        let is_whole = bad.is_empty();
        self.found.nodes.append(&mut bad);

        let mut batch = Vec::new();
        let nodes = WatchedNodes { ..self.nodes };
        if is_whole {
            let before = before.and_then(|before| before.layer.chain().1);
            let differ = tree::diff_frames(
                &nodes,
                before.as_ref(),
                root.as_ref(),
                &mut |key, _, new| {
                    let pointer = new.and_then(|value| entries::block_of(&key, value));
                    self.block(pointer, &mut batch);
                    ControlFlow::Continue(())
                },
            );
            if differ.is_ok() {
                entries::visit_changes(&levels, &mut |_, _, pointer| {
                    self.block(pointer, &mut batch);
                });
                self.verify(&mut batch);
                self.inodes(state);
                return;
            }
            batch.clear();
        }
        entries::visit(&nodes, &state.layer, &mut |_, _, pointer| {
            self.block(pointer, &mut batch);
        });
        self.verify(&mut batch);
        if is_whole {
            self.inodes(state);
        }
    }

    fn block(&mut self, pointer: Option<Pointer>, batch: &mut Vec<Pointer>) {
        batch.extend(pointer);
        if batch.len() >= BATCH_BLOCKS {
            self.verify(batch);
        }
    }

    /// Blocks that are not known to be sound from their segments are read, in the order of the
    /// medium.
    fn verify(&mut self, batch: &mut Vec<Pointer>) {
        batch.sort_unstable_by_key(|pointer| pointer.place);
        let is_direct = self.subject.segments.is_empty();
        for pointer in batch.drain(..) {
            if self.watch.is_over() {
                continue;
            }
            self.report.blocks += 1;
            self.report.bytes += u64::from(pointer.place.len);
            let findings = self.findings.get(&pointer.place.segment);
            if findings.is_some_and(|findings| findings.holds(&pointer)) {
                continue;
            }
            if is_direct {
                self.watch.done(1);
            }
            if self.watch.read(u64::from(pointer.place.len)).is_break() {
                continue;
            }
            if let Err(error) = self.subject.shared.store.verify(&pointer) {
                self.found.blocks.insert(pointer, block_problem(&error));
            }
        }
    }

    /// Names, inodes and blocks agree.
    fn inodes(&mut self, state: &'a State) {
        // A volume whose creation was cut short gets its root folder when it is opened.
        let (levels, root) = state.layer.chain();
        if levels.is_empty() && root.is_none() {
            return;
        }
        let tails = match self.options.read_data && self.found.blocks.is_empty() {
            true => Tails::Read,
            false => Tails::Skip,
        };
        let found = &mut self.found.inodes;
        let outcome = check_inodes(&state.volume, tails, &mut |violation| {
            let (rule, inode) = rule_of(&violation);
            found.push((state, rule, inode, violation.to_string()));
        });
        if let Err(error) = outcome {
            let problem = chain(&error);
            found.push((state, InodeRule::Unreadable, None, problem));
        }
    }

    /// Where else the frames lie that cannot be used.
    fn copies(&self) -> Copies {
        let lost = self.found.nodes.iter().filter(|(_, bad)| bad.is_lost);
        let mut wanted: HashSet<_> = lost.map(|(_, bad)| bad.node.id).collect();
        wanted.extend(self.found.blocks.keys().map(|pointer| pointer.id));
        if wanted.is_empty() {
            return Copies::new();
        }
        let watch = self.watch;
        let store = &self.subject.shared.store;
        store.find_copies(&wanted, &mut |bytes| watch.read(bytes))
    }

    /// Heals what there is a healthy copy of; whether there was a node among it.
    fn heal(&mut self, copies: &Copies) -> PoolResult<bool> {
        let mut nodes = 0;
        let lost: Vec<(Pointer, u8)> = self
            .found
            .nodes
            .iter()
            .filter(|(_, bad)| bad.is_lost)
            .map(|(_, bad)| (bad.node, bad.height))
            .collect();
        for (pointer, height) in lost {
            // Several states may share it.
            let is_told = self.told.contains(&spot(&pointer.place));
            if !is_told && self.heal_one(&pointer, copies, Some(height))? {
                nodes += 1;
            }
        }
        let blocks: Vec<Pointer> = self.found.blocks.keys().copied().collect();
        for pointer in blocks {
            if self.heal_one(&pointer, copies, None)? {
                self.found.blocks.remove(&pointer);
            }
        }
        Ok(nodes > 0)
    }

    fn heal_one(
        &mut self,
        pointer: &Pointer,
        copies: &Copies,
        height: Option<u8>,
    ) -> PoolResult<bool> {
        self.still_wanted()?;
        let places = copies.get(&pointer.id).map_or(&[][..], Vec::as_slice);
        let accept =
            |payload: &[u8]| height.is_some_and(|height| tree::is_node(pointer, height, payload));
        let healed = match self.subject.shared.store.heal(pointer, places, &accept) {
            Ok(Some(healed)) => healed,
            Ok(None) => return Ok(false),
            Err(error) => {
                log::error!("{} cannot be healed: {}", pointer.id, chain(&error));
                return Ok(false);
            }
        };
        self.told.insert(spot(&pointer.place));
        self.report.repaired.push(Repair::Frame {
            id: pointer.id,
            segment: pointer.place.segment,
            offset: pointer.place.offset,
            moved_to: match healed {
                Healed::InPlace => None,
                Healed::Moved { to } => Some(to),
            },
        });
        Ok(true)
    }

    fn tell_nodes(&mut self, copies: &Copies) {
        for (state, bad) in std::mem::take(&mut self.found.nodes) {
            let pointer = &bad.node;
            self.told.insert(spot(&pointer.place));
            let accept = |payload: &[u8]| tree::is_node(pointer, bad.height, payload);
            let copy = bad
                .is_lost
                .then(|| self.sound_copy(pointer, copies, &accept))
                .flatten();
            let (first, last) = owners(&bad);
            let named = |state: &State| {
                let is_in = |ino| first <= ino && last.is_none_or(|last| ino <= last);
                let names = Names::of(&self.nodes, &state.layer, &is_in);
                let inodes: BTreeSet<u64> = names.inodes().filter(|ino| is_in(*ino)).collect();
                let paths = inodes.into_iter().filter_map(|ino| names.path(ino));
                paths.take(FILES_MAX).collect()
            };
            let files = state.map(named).unwrap_or_default();
            self.report.add(Violation::Node {
                state: state.map(|state| state.name.clone()),
                id: pointer.id,
                segment: pointer.place.segment,
                offset: pointer.place.offset,
                first,
                last,
                files,
                copy,
                problem: node_problem(&bad.error),
            });
        }
    }

    fn sound_copy(
        &self,
        pointer: &Pointer,
        copies: &Copies,
        accept: &dyn Fn(&[u8]) -> bool,
    ) -> Option<Place> {
        let places = copies.get(&pointer.id)?;
        self.subject
            .shared
            .store
            .sound_copy(pointer, places, accept)
    }

    /// Blocks with a healthy copy are damaged frames; the others are lost, wherever a state shows
    /// them.
    fn tell_blocks(&mut self, copies: &Copies) {
        let mut lost = std::mem::take(&mut self.found.blocks);
        let mut damaged = BTreeMap::new();
        lost.retain(|pointer, problem| {
            self.told.insert(spot(&pointer.place));
            let copy = self.sound_copy(pointer, copies, &|_| false);
            if let Some(copy) = copy {
                damaged.insert(pointer.place, (pointer.id, copy, problem.clone()));
            }
            copy.is_none()
        });
        for (place, (id, copy, problem)) in damaged {
            self.report.add(Violation::Frame {
                segment: place.segment,
                offset: place.offset,
                id: Some(id),
                copy: Some(copy),
                problem,
            });
        }
        if lost.is_empty() {
            return;
        }
        for state in self.subject.families.iter().flatten() {
            self.tell_lost(state, &lost);
        }
    }

    fn tell_lost(&mut self, state: &State, lost: &HashMap<Pointer, String>) {
        let mut here: BTreeMap<Key, Pointer> = BTreeMap::new();
        entries::visit(&self.nodes, &state.layer, &mut |key, _, pointer| {
            if let Some(pointer) = pointer.filter(|pointer| lost.contains_key(pointer)) {
                here.insert(*key, pointer);
            }
        });
        if here.is_empty() {
            return;
        }
        let files: BTreeSet<u64> = here.keys().map(Key::owner).collect();
        let names = Names::of(&self.nodes, &state.layer, &|ino| files.contains(&ino));
        let block_size = u64::from(state.volume.block_size());
        for (key, pointer) in here {
            let inode = Ino(key.owner());
            let file_offset = key.sub().saturating_mul(block_size);
            let size = self.size_of(state, inode);
            let rest = size.map_or(block_size, |size| size.saturating_sub(file_offset));
            self.report.add(Violation::Block {
                state: state.name.clone(),
                inode,
                path: names.path(inode.0),
                block: key.sub(),
                file_offset,
                file_bytes: rest.min(block_size),
                id: pointer.id,
                segment: pointer.place.segment,
                offset: pointer.place.offset,
                problem: lost.get(&pointer).cloned().unwrap_or_default(),
            });
        }
    }

    fn size_of(&self, state: &State, ino: Ino) -> Option<u64> {
        let value = state.layer.get(&self.nodes, &keys::inode(ino)).ok()??;
        Some(Inode::decode(&value.bytes).ok()?.size)
    }

    fn tell_inodes(&mut self) {
        let mut found = std::mem::take(&mut self.found.inodes)
            .into_iter()
            .peekable();
        while let Some((state, ..)) = found.peek() {
            let name: &StateName = &state.name;
            let mut of_state = Vec::new();
            while let Some(one) = found.next_if(|(other, ..)| other.name == *name) {
                of_state.push(one);
            }
            let (state, ..) = of_state[0];
            let named: BTreeSet<u64> = of_state.iter().filter_map(|one| Some(one.2?.0)).collect();
            let names = Names::of(&self.nodes, &state.layer, &|ino| named.contains(&ino));
            for (state, rule, inode, problem) in of_state {
                self.report.add(Violation::Inode {
                    state: state.name.clone(),
                    rule,
                    inode,
                    path: inode.and_then(|inode| names.path(inode.0)),
                    problem,
                });
            }
        }
    }

    /// Damaged frames that no state refers to.
    fn tell_frames(&mut self) {
        for &segment in &self.subject.segments {
            let Some(findings) = self.findings.get(&segment) else {
                continue;
            };
            for fault in &findings.faults {
                let violation = match fault.clone() {
                    SegmentFault::Frame {
                        offset,
                        id,
                        problem,
                    } => Violation::Frame {
                        segment,
                        offset,
                        id,
                        copy: None,
                        problem,
                    },
                    SegmentFault::Content { offset, id, found } => Violation::FrameContent {
                        segment,
                        offset,
                        id,
                        found,
                    },
                    _ => continue,
                };
                if self.told.insert(spot_of(segment, fault)) {
                    self.report.add(violation);
                }
            }
        }
    }

    /// Every entry of the content index leads to its frame.
    fn index(&mut self) {
        let store = &self.subject.shared.store;
        let (watch, told, report) = (self.watch, &self.told, &mut self.report);
        let mut found = |fault: crate::block::IndexFault| {
            let place = fault.place;
            // A damaged frame is not the index's fault.
            if !told.contains(&spot(&place)) {
                report.add(Violation::IndexEntry {
                    id: fault.id,
                    segment: place.segment,
                    offset: place.offset,
                    problem: fault.problem,
                });
            }
            watch.read(0)
        };
        let outcome = match &self.subject.index {
            None => Ok(()),
            Some(IndexToCheck::Open) => store.check_index(&mut found),
            Some(IndexToCheck::Closed(dir)) => {
                store.check_closed_index(dir, self.subject.pool, &mut found)
            }
        };
        if let Err(problem) = outcome {
            self.report.add(Violation::Index { problem });
        }
    }
}

fn spot(place: &Place) -> Spot {
    (place.segment, place.offset)
}

fn spot_of(segment: SegmentId, fault: &SegmentFault) -> Spot {
    match fault {
        SegmentFault::Frame { offset, .. } | SegmentFault::Content { offset, .. } => {
            (segment, *offset)
        }
        _ => (segment, 0),
    }
}

/// Owners of the records that a node holds, or has held: the first, and the last if it is known.
fn owners(bad: &BadNode) -> (u64, Option<u64>) {
    let first = bad.first.map_or(0, |key| key.owner());
    let last = bad.end.map(|end| {
        // An inode's attributes are the first of its records.
        let starts_an_inode = end.kind() <= keys::INODE && end.sub() == 0;
        end.owner().saturating_sub(u64::from(starts_an_inode))
    });
    (first, last)
}

/// What is wrong, without the coordinates.
fn block_problem(error: &BlockError) -> String {
    match error {
        BlockError::Corrupt { problem, .. } => problem.clone(),
        other => chain(other),
    }
}

fn node_problem(error: &TreeError) -> String {
    match error {
        TreeError::Block(error) => block_problem(error),
        TreeError::Invalid { problem, .. } => problem.clone(),
        TreeError::Malformed { source, .. } => source.to_string(),
    }
}
