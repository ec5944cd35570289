//! From what differs to what is told: first by inodes, then with their paths.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::base::{BlockId, Ino};
use crate::volume::records::{FileKind, Inode};
use crate::volume::{BlockState, Frozen, FsResult};

use super::super::inodes::link_target;
use super::super::paths::{Paths, shown};
use super::super::xattr::fingerprints;
use super::{Aspect, Both, Difference, How, Named, Pair, Seen, Touched};

/// Where something is in one of the states.
#[derive(Clone)]
enum Spot {
    Named(Named),
    /// Under one of its names.
    Any(Ino),
}

/// A difference whose paths are not known yet.
struct Draft {
    how: How,
    before: Option<Spot>,
    after: Option<Spot>,
    kind: FileKind,
    sizes: (Option<u64>, Option<u64>),
    bytes: u64,
    aspects: Vec<Aspect>,
    hard_link: bool,
    replaced: bool,
}

impl Draft {
    fn new(how: How, inode: &Inode, before: Option<Spot>, after: Option<Spot>) -> Draft {
        Draft {
            how,
            kind: inode.kind,
            sizes: (
                before.as_ref().map(|_| inode.size),
                after.as_ref().map(|_| inode.size),
            ),
            before,
            after,
            bytes: 0,
            aspects: Vec::new(),
            hard_link: false,
            replaced: false,
        }
    }

    fn with_bytes(mut self, bytes: u64) -> Draft {
        self.bytes = bytes;
        self
    }

    fn only_a_name(mut self) -> Draft {
        self.hard_link = true;
        self
    }
}

/// Tells what was seen, by path.
pub(super) fn write(mut seen: Seen, mut both: Both<'_, '_>) -> FsResult<Vec<Difference>> {
    let mut drafts = replaced(&mut seen, &mut both)?;
    let lost = by_inode(&seen.lost);
    let gained = by_inode(&seen.gained);
    for (ino, touched) in &seen.inodes {
        let pair = both.load(*ino)?;
        let names = |names: &BTreeMap<Ino, Vec<Named>>| names.get(ino).cloned().unwrap_or_default();
        let is_told = (seen.told.0.contains(ino), seen.told.1.contains(ino));
        let names = (names(&lost), names(&gained));
        if pair.is_one() {
            kept(&both, &pair, touched, names, &mut drafts);
        } else {
            let block = u64::from(both.after.block_size());
            come_and_gone(&pair, names, is_told, block, &mut drafts);
        }
    }
    let mut told = with_paths(&both, drafts)?;
    told.sort_by(|a, b| (&a.path, a.change, &a.from).cmp(&(&b.path, b.change, &b.from)));
    Ok(told)
}

fn by_inode(names: &BTreeMap<Named, Ino>) -> BTreeMap<Ino, Vec<Named>> {
    let mut by_inode: BTreeMap<Ino, Vec<Named>> = BTreeMap::new();
    for (named, ino) in names {
        by_inode.entry(*ino).or_default().push(named.clone());
    }
    by_inode
}

/// Names under which a new file lies where a file was that is gone.
fn replaced(seen: &mut Seen, both: &mut Both<'_, '_>) -> FsResult<Vec<Draft>> {
    let mut drafts = Vec::new();
    for named in seen.lost.keys().cloned().collect::<Vec<_>>() {
        let (Some(was), Some(is)) = (seen.lost.get(&named), seen.gained.get(&named)) else {
            continue;
        };
        let (was, is) = (both.load(*was)?, both.load(*is)?);
        if !both.load(named.0)?.is_one() || was.is_one() || is.is_one() {
            continue;
        }
        let (Some(old), Some(new)) = (&was.before, &is.after) else {
            continue;
        };
        if old.kind != new.kind || old.is_folder() {
            continue;
        }
        let touched = differing(both.before, was.ino, both.after, is.ino)?;
        let spot = Some(Spot::Named(named.clone()));
        let mut draft = Draft::new(How::Changed, new, spot.clone(), spot);
        draft.sizes = (Some(old.size), Some(new.size));
        draft.bytes = bytes_of(&touched, old.size.max(new.size), both.after.block_size());
        draft.aspects = aspects(old, new, &touched);
        draft.replaced = true;
        drafts.push(draft);
        seen.told.0.insert(was.ino);
        seen.told.1.insert(is.ino);
        seen.lost.remove(&named);
        seen.gained.remove(&named);
    }
    Ok(drafts)
}

/// An inode that both states have.
fn kept(
    both: &Both<'_, '_>,
    pair: &Pair,
    touched: &Touched,
    (lost, gained): (Vec<Named>, Vec<Named>),
    drafts: &mut Vec<Draft>,
) {
    let (Some(old), Some(new)) = (&pair.before, &pair.after) else {
        return;
    };
    let aspects = aspects(old, new, touched);
    let bytes = bytes_of(touched, old.size.max(new.size), both.after.block_size());
    let renames = lost.len().min(gained.len());
    let mut change = |draft: Draft, has_changed: bool| {
        let mut draft = draft;
        draft.sizes = (Some(old.size), Some(new.size));
        if has_changed {
            draft.bytes = bytes;
            draft.aspects.clone_from(&aspects);
        }
        drafts.push(draft);
    };
    for (index, (from, to)) in lost.iter().zip(&gained).enumerate() {
        let (from, to) = (Spot::Named(from.clone()), Spot::Named(to.clone()));
        let draft = Draft::new(How::Renamed, new, Some(from), Some(to));
        change(draft, index == 0);
    }
    if renames == 0 && !aspects.is_empty() {
        let spot = Some(Spot::Any(pair.ino));
        change(Draft::new(How::Changed, new, spot.clone(), spot), true);
    }
    for name in gained.into_iter().skip(renames) {
        let draft = Draft::new(How::Added, new, None, Some(Spot::Named(name)));
        drafts.push(draft.only_a_name());
    }
    for name in lost.into_iter().skip(renames) {
        let draft = Draft::new(How::Removed, old, Some(Spot::Named(name)), None);
        drafts.push(draft.only_a_name());
    }
}

/// A number that only one state has, or that means two inodes.
fn come_and_gone(
    pair: &Pair,
    (lost, gained): (Vec<Named>, Vec<Named>),
    is_told: (bool, bool),
    block: u64,
    drafts: &mut Vec<Draft>,
) {
    if let Some(inode) = &pair.before {
        let draft = |spot| Draft::new(How::Removed, inode, Some(spot), None);
        push_names(pair.ino, (inode, block), lost, is_told.0, drafts, &draft);
    }
    if let Some(inode) = &pair.after {
        let draft = |spot| Draft::new(How::Added, inode, None, Some(spot));
        push_names(pair.ino, (inode, block), gained, is_told.1, drafts, &draft);
    }
}

/// All names of an inode; its bytes are told with the first.
fn push_names(
    ino: Ino,
    (inode, block): (&Inode, u64),
    names: Vec<Named>,
    is_told: bool,
    drafts: &mut Vec<Draft>,
    draft: &dyn Fn(Spot) -> Draft,
) {
    let bytes = inode.blocks.saturating_mul(block).min(inode.size);
    // A name that both states have was not seen, if the number means two inodes.
    let is_unseen = names.is_empty() && !is_told;
    let spots = names.into_iter().map(Spot::Named);
    let spots = spots.chain(is_unseen.then_some(Spot::Any(ino)));
    for (index, spot) in spots.enumerate() {
        drafts.push(match index == 0 && !is_told {
            true => draft(spot).with_bytes(bytes),
            false => draft(spot).only_a_name(),
        });
    }
}

fn aspects(old: &Inode, new: &Inode, touched: &Touched) -> Vec<Aspect> {
    let is_content =
        touched.blocks > 0 || touched.has_target || old.size != new.size || old.rdev != new.rdev;
    let told = [
        (Aspect::Content, is_content),
        (Aspect::Mode, old.perm != new.perm),
        (Aspect::Owner, (old.uid, old.gid) != (new.uid, new.gid)),
        (Aspect::Times, !new.is_folder() && old.mtime != new.mtime),
        (Aspect::Attributes, touched.has_attributes),
    ];
    let told = told.into_iter().filter(|(_, is)| *is);
    told.map(|(aspect, _)| aspect).collect()
}

/// Bytes of the blocks that differ; the last one may be cut off by the end of the file.
fn bytes_of(touched: &Touched, size: u64, block: u32) -> u64 {
    let block = u64::from(block);
    let bytes = touched.blocks.saturating_mul(block);
    match touched.blocks > 0 && touched.last_block == size / block {
        true => bytes - (block - size % block),
        false => bytes,
    }
}

/// What differs of two inodes but for their attributes.
fn differing(a: &Frozen<'_>, in_a: Ino, b: &Frozen<'_>, in_b: Ino) -> FsResult<Touched> {
    let mut touched = Touched::default();
    // Part by part, so that neither list is kept whole.
    let (mut from, mut is_open) = (0, true);
    while is_open {
        let (old, new) = (some_blocks(a, in_a, from)?, some_blocks(b, in_b, from)?);
        let end = old.end.min(new.end);
        is_open = end != u64::MAX;
        let (mut old, mut new) = (old.until(end), new.until(end));
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((at, _)), Some((other, _))) => at.cmp(other),
            };
            let was = if order.is_le() { old.next() } else { None };
            let is = if order.is_ge() { new.next() } else { None };
            let at = was.or(is).map_or(0, |(at, _)| at);
            if content(was.map(|it| it.1)) != content(is.map(|it| it.1)) {
                touched.blocks += 1;
                touched.last_block = at;
            }
        }
        from = end;
    }
    touched.has_target = link_target(a, in_a)? != link_target(b, in_b)?;
    touched.has_attributes = fingerprints(a, in_a)? != fingerprints(b, in_b)?;
    Ok(touched)
}

fn content(state: Option<BlockState>) -> Option<BlockId> {
    match state {
        Some(BlockState::Stored(pointer)) => Some(pointer.id),
        _ => None,
    }
}

/// Blocks that are looked at together.
const BATCH: usize = 4096;

struct Blocks {
    blocks: Vec<(u64, BlockState)>,
    /// Before here none is missing.
    end: u64,
}

impl Blocks {
    fn until(self, end: u64) -> std::iter::Peekable<impl Iterator<Item = (u64, BlockState)>> {
        let blocks = self.blocks.into_iter();
        blocks.take_while(move |(at, _)| *at < end).peekable()
    }
}

fn some_blocks(state: &Frozen<'_>, ino: Ino, from: u64) -> FsResult<Blocks> {
    let mut found = Blocks {
        blocks: Vec::new(),
        end: u64::MAX,
    };
    state.blocks(ino, from, &mut |at, block| {
        if found.blocks.len() == BATCH {
            found.end = at;
            return ControlFlow::Break(());
        }
        found.blocks.push((at, block));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn with_paths(both: &Both<'_, '_>, drafts: Vec<Draft>) -> FsResult<Vec<Difference>> {
    let leads_to = |spot: &Spot| match spot {
        Spot::Named((folder, _)) => *folder,
        Spot::Any(ino) => *ino,
    };
    // Where it is still there the later path is told; the earlier one only if it differs.
    let needs_before = |draft: &&Draft| draft.how == How::Renamed || draft.after.is_none();
    let earlier = drafts.iter().filter(needs_before);
    let earlier = earlier.filter_map(|draft| draft.before.as_ref().map(leads_to));
    let earlier = Paths::find(both.before, earlier.collect::<Vec<_>>())?;
    let later = drafts
        .iter()
        .filter_map(|draft| draft.after.as_ref().map(leads_to));
    let later = Paths::find(both.after, later.collect::<Vec<_>>())?;
    let path = |paths: &Paths, spot: &Spot| {
        let found = match spot {
            Spot::Named((folder, name)) => paths.of_name(*folder, name),
            Spot::Any(ino) => paths.of(*ino),
        };
        match (found, spot) {
            (Some(path), _) => shown(&path),
            // A damaged volume.
            (None, spot) => format!("inode {}, which no path leads to", leads_to(spot)),
        }
    };
    let told = drafts.into_iter().map(|draft| Difference {
        change: draft.how,
        from: match (draft.how, &draft.before) {
            (How::Renamed, Some(spot)) => Some(path(&earlier, spot)),
            _ => None,
        },
        path: match (&draft.after, &draft.before) {
            (Some(spot), _) => path(&later, spot),
            (None, Some(spot)) => path(&earlier, spot),
            (None, None) => String::new(),
        },
        kind: word(draft.kind).to_owned(),
        size_before: draft.sizes.0,
        size_after: draft.sizes.1,
        bytes_changed: draft.bytes,
        aspects: draft.aspects,
        hard_link: draft.hard_link,
        replaced: draft.replaced,
    });
    Ok(told.collect())
}

fn word(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "folder",
        FileKind::Symlink => "link",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice | FileKind::BlockDevice => "device",
    }
}
