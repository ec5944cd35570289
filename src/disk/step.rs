//! Every step of the pool on which durability depends, by name.
//!
//! A sync takes the [`Step`] that it performs, so that none can be written without saying what it
//! orders. Steps that are no syncs ask [`performs`]. A test leaves out each of them in turn and is
//! to notice it (`pool/tests/crash/canaries.rs`); docs/testing.md lists them all.

use super::Disk;

/// Names the steps: variant, name for people, what must be done before what and why.
macro_rules! steps {
    ($($variant:ident = $name:literal, $orders:literal;)*) => {
        /// A step on which the contract depends after a power loss or the death of the process.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Step {
            $(#[doc = $orders] $variant,)*
        }

        impl Step {
            /// Every step.
            pub const ALL: &'static [Step] = &[$(Step::$variant),*];

            /// Its name: lower case, with dashes.
            pub fn name(self) -> &'static str {
                match self {
                    $(Step::$variant => $name,)*
                }
            }

            /// What must be done before what, and why.
            pub fn orders(self) -> &'static str {
                match self {
                    $(Step::$variant => $orders,)*
                }
            }
        }
    };
}

steps! {
    PoolFolderNamed = "pool-folder-named",
        "A new pool's folder is in its parent before anything is made in it: else the whole \
         pool goes.";
    JournalFileMade = "journal-file-made",
        "A new journal file has its full length and its blocks before a record goes into it: a \
         file that is short is taken for unfinished.";
    JournalFileNamed = "journal-file-named",
        "A new journal file is in its folder before a record goes into it: else synced records \
         go with the name.";
    FirstSuperblock = "first-superblock",
        "A new pool's superblock is written before `pool.toml` says that there is a pool.";
    PoolFilesNamed = "pool-files-named",
        "Superblock, `journal/` and `segments/` are in the pool's folder before `pool.toml` \
         says that there is a pool.";
    PoolFileWritten = "pool-file-written",
        "The text of `pool.toml` is durable before its name is: else an empty file makes a \
         pool.";
    PoolFileNamed = "pool-file-named",
        "The name `pool.toml` is durable before the pool counts as created.";
    MountListWritten = "mount-list-written",
        "The text of `mounts.json` is durable before it replaces the old one: else neither is \
         there.";
    MountListNamed = "mount-list-named",
        "The new `mounts.json` has its name before the change of the list is answered.";
    SegmentBeforeReply = "segment-before-reply",
        "Segments that a volume's records name are durable before its fsync is answered.";
    JournalBeforeReply = "journal-before-reply",
        "A volume's records are durable before its fsync is answered.";
    CutBeforeReply = "cut-before-reply",
        "The record of a snapshot, rollback, clone or removal is durable before that is \
         answered.";
    SegmentWithinCap = "segment-within-cap",
        "Nothing: large writes sync segments at a cap, so that an fsync never finds more than \
         that to do.";
    SegmentNamed = "segment-named",
        "A new segment is in its folder before anything in it counts as durable.";
    SegmentBeforeSuperblock = "segment-before-superblock",
        "Blocks and tree nodes of volumes are durable before a superblock names them.";
    TreeBeforeSuperblock = "tree-before-superblock",
        "The catalog's tree, which is written behind those of the volumes, is durable before a \
         superblock names it.";
    JournalBeforeSuperblock = "journal-before-superblock",
        "The journal is durable up to where a superblock has replay start: else the other \
         slot's replay ends in a gap before it.";
    SuperblockPublished = "superblock-published",
        "A new superblock is durable before a checkpoint counts: before its journal is released \
         and before recovery lets anything be appended.";
    SuperblockReplaced = "superblock-replaced",
        "After a failed sync of the superblock its file is made anew, whole and durable, before \
         it takes the old one's name: else neither is there.";
    SuperblockNamed = "superblock-named",
        "A superblock's new file has its name before a checkpoint counts.";
    SegmentClosed = "segment-closed",
        "Tables of contents are durable when the pool is closed: else the segments are scanned.";
    SuperblockSettled = "superblock-settled",
        "What the superblock is read from is on the medium before recovery publishes into the \
         other slot: else one power loss can tear both.";
    SuperblockReread = "superblock-reread",
        "The superblock's cached pages are dropped before recovery reads it: after a failed \
         sync they may show what is lost.";
    JournalSettled = "journal-settled",
        "Records that may be in the host's cache only are durable before recovery replays them.";
    JournalFolderSettled = "journal-folder-settled",
        "Journal files that a killed process has made are in their folder before recovery uses \
         them.";
    JournalReread = "journal-reread",
        "The journal's cached pages are dropped before recovery reads them: after a failed sync \
         they may show records that are lost.";
    SegmentSettled = "segment-settled",
        "Frames that may be in the host's cache only are durable before recovery takes a record \
         that names them.";
    SegmentFolderSettled = "segment-folder-settled",
        "Segments that a killed process has made are in their folder before recovery takes a \
         record that names them.";
    SegmentReread = "segment-reread",
        "Cached pages of segments are dropped before recovery reads them: after a failed sync \
         they may show frames that are lost.";
    IndexAfterSegment = "index-after-segment",
        "Frames are durable before the content index gets them: else it names, and counts as \
         known, what a power loss took.";
    FrameHealed = "frame-healed",
        "A frame that was written anew is durable before it is read back and called healed.";
    FrameReread = "frame-reread",
        "The cached pages of a healed frame are dropped before it is read back: the medium is to \
         be seen, not the cache.";
    SegmentMended = "segment-mended",
        "A header or a table of contents that was written anew is durable before the repair says \
         so.";
    CondemnedIsMissed = "condemned-is-missed",
        "A block that lies in a condemned segment is stored again: else the new record names a \
         frame that nobody keeps.";
    CopyBeforeRemoval = "copy-before-removal",
        "Frames that were moved out of a segment are durable before it goes.";
    RemovalBehindSlots = "removal-behind-slots",
        "Both superblock slots have replay start behind the condemnation before a segment goes: \
         else the older one replays records that name frames which nobody has kept.";
    RecordChain = "record-chain",
        "A record is replayed only if its checksum continues that of the record before it: else \
         what an outage left of lost records is taken for a continuation.";
    RecordInOwnSector = "record-in-own-sector",
        "What is appended after a sync starts in a sector of its own: else a torn write of it \
         damages what was synced.";
    IncarnationRaised = "incarnation-raised",
        "Each opening appends under a higher incarnation than any before: else equal records of \
         two lives make the rest of the older one continue the newer one.";
    BothSlotsPublished = "both-slots-published",
        "Both superblock slots state what recovery took, or have replay start behind what it \
         dropped, before anything is appended: else the slot that is left after damage judges \
         older records, and the frames that they name, anew, and drops what came later, too.";
    RecoveryPublished = "recovery-published",
        "What recovery decided is published, or told by a first record, with its incarnation, \
         before anything else is appended: else the next recovery decides anew, with other \
         records behind.";
    FirstRecord = "first-record",
        "A life that begins with a record has it durable before it appends another: else the next \
         one takes the same incarnation, and equal records make what this one left continue it.";
    SegmentNumberUsedUp = "segment-number-used-up",
        "No new segment gets a number that a replayed record names: else the record's places \
         point into another segment.";
    UnusedSlot = "unused-slot",
        "A superblock goes into the slot that is not in use: else a torn write takes the only \
         newest state.";
    ReleaseByOlderSlot = "release-by-older-slot",
        "The journal is released up to where the older slot's replay starts: else only the \
         newer slot can be opened.";
    VolumeBeforeCut = "volume-before-cut",
        "What a volume held at a snapshot, clone or rollback is durable before that is \
         answered.";
}

/// Whether a step that is no sync is to be performed: always, but in a test that leaves it out.
#[inline(always)]
pub(crate) fn performs(disk: &dyn Disk, step: Step) -> bool {
    #[cfg(test)]
    return !disk.leaves_out(step);
    #[cfg(not(test))]
    {
        let _ = (disk, step);
        true
    }
}
