//! Consistency of a volume's inodes, names and blocks.
//!
//! Two passes: over all records in key order, which lie together by inode, and over what was
//! noted of links between inodes. Takes 64 bytes of memory for each inode and name.

mod links;
mod records;
mod violation;

use std::ops::ControlFlow;

use crate::base::{Ino, Key};
use crate::volume::{FsResult, ReadPlan, Request, Volume};

use records::Records;
pub use violation::{Counted, Violation};

/// Keys that are visited under one hold of the volume's lock.
const CHUNK_KEYS: usize = 4096;

/// Whether file contents are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tails {
    /// Only records.
    Skip,
    /// The last block of each file is read: its bytes beyond the end must be zeros.
    Read,
}

/// What a check has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckSummary {
    /// Inodes.
    pub inodes: u64,
    /// Directory entries.
    pub names: u64,
    /// Allocated blocks of files.
    pub blocks: u64,
}

/// Checks a state of a volume and tells every violation. The volume must not change meanwhile: a
/// snapshot, or a volume that nobody uses; changes in between show up as violations.
pub fn check_inodes(
    volume: &Volume,
    tails: Tails,
    report: &mut dyn FnMut(Violation),
) -> FsResult<CheckSummary> {
    let request = Request::default();
    let mut records = Records::new(volume, tails == Tails::Read);
    let mut next = Some(Key::MIN);
    while let Some(from) = next.take() {
        let mut visited = 0;
        volume.read(&request, |view| {
            view.scan(&from, &Key::MAX, &mut |key, value| {
                records.visit(view, key, value, report)?;
                visited += 1;
                if visited < CHUNK_KEYS {
                    return Ok(ControlFlow::Continue(()));
                }
                next = key.next();
                Ok(ControlFlow::Break(()))
            })
        })?;
        check_tails(volume, records.take_tails(), report)?;
    }
    volume.read(&request, |view| records.finish_inode(view, report))?;
    check_tails(volume, records.take_tails(), report)?;
    let (links, summary) = records.into_parts();
    check_counts(volume, &summary, report);
    volume.read(&request, |view| links.check(view, report))?;
    Ok(summary)
}

/// Bytes of last blocks beyond their files' ends.
type TailPlans = Vec<(Ino, ReadPlan)>;

fn check_tails(
    volume: &Volume,
    tails: TailPlans,
    report: &mut dyn FnMut(Violation),
) -> FsResult<()> {
    for (ino, plan) in tails {
        if volume.execute(plan)?.iter().any(|byte| *byte != 0) {
            report(Violation::DirtyTail { ino });
        }
    }
    Ok(())
}

fn check_counts(volume: &Volume, summary: &CheckSummary, report: &mut dyn FnMut(Violation)) {
    let stored = volume.counts();
    let counts = [
        (Counted::Blocks, stored.blocks, summary.blocks),
        (Counted::Inodes, stored.inodes, summary.inodes),
    ];
    for (what, stored, found) in counts {
        if stored != found {
            report(Violation::VolumeCount {
                what,
                stored,
                found,
            });
        }
    }
}
