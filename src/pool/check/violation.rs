//! What can be wrong with a pool: one variant for each kind of place.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::{BlockId, Ino, Lsn, Place, SegmentId};
use crate::pool::LostRecords;

/// A volume's live state, or one of its snapshots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StateName {
    /// The volume.
    pub volume: String,
    /// Its snapshot; none: the live state.
    pub snapshot: Option<String>,
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.snapshot {
            Some(snapshot) => write!(f, "{}@{snapshot}", self.volume),
            None => f.write_str(&self.volume),
        }
    }
}

/// Something is not as it must be. The names in JSON, `kind` and fields, stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Violation {
    /// A slot of the superblock cannot be used.
    SuperblockSlot {
        /// 0 or 1.
        slot: u8,
        /// What is wrong.
        problem: String,
    },
    /// The journal is damaged where it was durable.
    Journal {
        /// Position in the log at which reading it ended.
        lsn: Lsn,
        /// What is wrong.
        problem: String,
        /// What cutting the log off there gives up; none where that is not possible.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<Vec<LostRecords>>,
    },
    /// A record of the catalog cannot be understood.
    Catalog {
        /// Which record, and what is wrong.
        problem: String,
    },
    /// A volume accepts no more changes since an error; what it holds in memory is not published,
    /// and no walk gets to it.
    VolumePoisoned {
        /// The volume.
        volume: String,
        /// What went wrong.
        problem: String,
    },
    /// A segment's file is missing or cannot be read.
    SegmentUnreadable {
        /// The segment.
        segment: SegmentId,
        /// What is wrong.
        problem: String,
    },
    /// The header of a segment's file.
    SegmentHeader {
        /// The segment.
        segment: SegmentId,
        /// What is wrong.
        problem: String,
    },
    /// The table of contents, or the trailer, of a segment. Derived.
    TableOfContents {
        /// The segment.
        segment: SegmentId,
        /// What is wrong.
        problem: String,
    },
    /// A frame that is damaged, but of which no content is lost: nobody refers to it, or there is
    /// a healthy copy.
    Frame {
        /// The segment.
        segment: SegmentId,
        /// Byte offset of the frame in the segment.
        offset: u32,
        /// The content's id, as far as that is known.
        id: Option<BlockId>,
        /// A healthy copy, if there is one.
        copy: Option<Place>,
        /// What is wrong.
        problem: String,
    },
    /// As [`Violation::Frame`]: the checksums are right, but the content has another id.
    FrameContent {
        /// The segment.
        segment: SegmentId,
        /// Byte offset of the frame in the segment.
        offset: u32,
        /// The id that the frame bears.
        id: BlockId,
        /// The id of what it holds.
        found: BlockId,
    },
    /// A tree node is lost, or breaks a rule of the tree.
    Node {
        /// The state; none: the catalog.
        #[serde(flatten)]
        state: Option<StateName>,
        /// The node's id.
        id: BlockId,
        /// The segment.
        segment: SegmentId,
        /// Byte offset of the node's frame in the segment.
        offset: u32,
        /// The first inode (in the catalog: volume) of which records are concerned.
        first: u64,
        /// The last one; none: all that follow.
        last: Option<u64>,
        /// Paths of files and folders that are concerned, as far as they can be told; at most
        /// 100.
        files: Vec<String>,
        /// A healthy copy, if there is one: then a repair heals it.
        copy: Option<Place>,
        /// What is wrong.
        problem: String,
    },
    /// A block of a file is lost: reading these bytes is an I/O error.
    Block {
        /// Where the file is.
        #[serde(flatten)]
        state: StateName,
        /// The file.
        inode: Ino,
        /// One of its paths, if one leads to it.
        path: Option<String>,
        /// Index of the block in the file.
        block: u64,
        /// First byte in the file that is lost.
        file_offset: u64,
        /// How many bytes are.
        file_bytes: u64,
        /// The content's id.
        id: BlockId,
        /// The segment.
        segment: SegmentId,
        /// Byte offset of the block's frame in the segment.
        offset: u32,
        /// What is wrong.
        problem: String,
    },
    /// Inodes, names and blocks of a state do not agree.
    Inode {
        /// The state.
        #[serde(flatten)]
        state: StateName,
        /// The rule that is broken.
        rule: InodeRule,
        /// The inode that it is about.
        inode: Option<Ino>,
        /// One of its paths, if one leads to it.
        path: Option<String>,
        /// What is wrong.
        problem: String,
    },
    /// An entry of the content index that leads to another frame or to none. Derived.
    IndexEntry {
        /// The content's id.
        id: BlockId,
        /// The segment that it names.
        segment: SegmentId,
        /// The byte offset that it names.
        offset: u32,
        /// What is there.
        problem: String,
    },
    /// The content index cannot be read. Derived.
    Index {
        /// What is wrong.
        problem: String,
    },
}

/// The rules between inodes, names and blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InodeRule {
    /// A record can be decoded.
    MalformedRecord,
    /// A volume has a root folder.
    NoRoot,
    /// A record belongs to an inode.
    StrayRecord,
    /// An inode's number was given out.
    NumberNotLeased,
    /// A name is where it is looked for.
    MisplacedName,
    /// A name names an inode.
    DanglingName,
    /// A name says the kind of its inode.
    NameKind,
    /// Link count and names agree.
    LinkCount,
    /// A folder's count of entries, and other counts of an inode, are right.
    Count,
    /// The counts of the volume are right.
    VolumeCount,
    /// A folder's parent is the folder that holds it.
    Parent,
    /// A path leads to every folder.
    Unreachable,
    /// An inode without names is marked as orphan.
    OrphanNotMarked,
    /// What is marked as orphan is one.
    WronglyMarked,
    /// No block lies beyond the end of its file.
    Size,
    /// The bytes beyond the end in a file's last block are zeros.
    Tail,
    /// The inodes could not be walked to the end.
    Unreadable,
}

impl Violation {
    /// The `kind` of its JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Violation::SuperblockSlot { .. } => "superblock_slot",
            Violation::Journal { .. } => "journal",
            Violation::Catalog { .. } => "catalog",
            Violation::VolumePoisoned { .. } => "volume_poisoned",
            Violation::SegmentUnreadable { .. } => "segment_unreadable",
            Violation::SegmentHeader { .. } => "segment_header",
            Violation::TableOfContents { .. } => "table_of_contents",
            Violation::Frame { .. } => "frame",
            Violation::FrameContent { .. } => "frame_content",
            Violation::Node { .. } => "node",
            Violation::Block { .. } => "block",
            Violation::Inode { .. } => "inode",
            Violation::IndexEntry { .. } => "index_entry",
            Violation::Index { .. } => "index",
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match self {
            Violation::SuperblockSlot { slot, .. } => format!("slot {slot}"),
            Violation::Journal { lsn, .. } => format!("at {lsn}"),
            Violation::Catalog { .. } => "catalog".to_owned(),
            Violation::VolumePoisoned { volume, .. } => volume.clone(),
            Violation::SegmentUnreadable { segment, .. }
            | Violation::SegmentHeader { segment, .. }
            | Violation::TableOfContents { segment, .. } => format!("segment {segment}"),
            Violation::Frame {
                segment, offset, ..
            }
            | Violation::FrameContent {
                segment, offset, ..
            }
            | Violation::IndexEntry {
                segment, offset, ..
            } => format!("segment {segment} at {offset}"),
            Violation::Node {
                state,
                segment,
                offset,
                ..
            } => {
                let tree = state.as_ref().map(StateName::to_string);
                let tree = tree.as_deref().unwrap_or("catalog");
                format!("{tree}, segment {segment} at {offset}")
            }
            Violation::Block {
                state,
                inode,
                path,
                file_offset,
                file_bytes,
                ..
            } => {
                let file = path.clone().unwrap_or_else(|| format!("inode {inode}"));
                let end = file_offset + file_bytes;
                format!("{state}:{file} bytes {file_offset} to {end}")
            }
            Violation::Inode {
                state, inode, path, ..
            } => match (path, inode) {
                (Some(path), _) => format!("{state}:{path}"),
                (None, Some(inode)) => format!("{state}: inode {inode}"),
                (None, None) => state.to_string(),
            },
            Violation::Index { .. } => "index".to_owned(),
        }
    }

    /// What is wrong, for people.
    pub fn problem(&self) -> String {
        match self {
            Violation::SuperblockSlot { problem, .. }
            | Violation::Journal {
                problem,
                lost: None,
                ..
            }
            | Violation::Catalog { problem }
            | Violation::VolumePoisoned { problem, .. }
            | Violation::SegmentUnreadable { problem, .. }
            | Violation::SegmentHeader { problem, .. }
            | Violation::TableOfContents { problem, .. }
            | Violation::Inode { problem, .. }
            | Violation::IndexEntry { problem, .. }
            | Violation::Index { problem } => problem.clone(),
            Violation::Journal {
                problem,
                lost: Some(lost),
                ..
            } => format!("{problem}; {}", LostRecords::list(lost)),
            Violation::Frame { copy, problem, .. } => match copy {
                None => problem.clone(),
                Some(copy) => {
                    let (segment, offset) = (copy.segment, copy.offset);
                    format!("{problem}; there is a copy in segment {segment} at {offset}")
                }
            },
            Violation::FrameContent { found, .. } => format!("the content there is {found}"),
            Violation::Node {
                first,
                last,
                files,
                problem,
                ..
            } => {
                let last = last.map_or("the last".to_owned(), |last| last.to_string());
                let files: String = files.iter().map(|file| format!(" {file}")).collect();
                format!("{problem}; it holds records of inodes {first} to {last}{files}")
            }
            Violation::Block {
                segment,
                offset,
                problem,
                ..
            } => format!("segment {segment} at {offset}: {problem}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind(), self.place(), self.problem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> StateName {
        StateName {
            volume: "db".to_owned(),
            snapshot: None,
        }
    }

    /// The JSON has the kind and the coordinates, flat, and comes back as it was.
    #[test]
    fn violations_survive_json() {
        let block = Violation::Block {
            state: live(),
            inode: Ino(17),
            path: Some("/base/1".to_owned()),
            block: 3,
            file_offset: 24_576,
            file_bytes: 8192,
            id: BlockId([1; 32]),
            segment: SegmentId(4),
            offset: 64,
            problem: "the payload's checksum does not match".to_owned(),
        };
        let json = serde_json::to_string(&block).unwrap();
        assert_eq!(
            json,
            format!(
                "{{\"kind\":\"block\",\"volume\":\"db\",\"snapshot\":null,\"inode\":17,\
                 \"path\":\"/base/1\",\"block\":3,\"file_offset\":24576,\"file_bytes\":8192,\
                 \"id\":\"{}\",\"segment\":4,\"offset\":64,\
                 \"problem\":\"the payload's checksum does not match\"}}",
                "01".repeat(32)
            )
        );
        let node = |state| Violation::Node {
            state,
            id: BlockId([2; 32]),
            segment: SegmentId(5),
            offset: 128,
            first: 1,
            last: Some(20),
            files: vec!["/a".to_owned()],
            copy: None,
            problem: "it is gone".to_owned(),
        };
        for violation in [block, node(Some(live())), node(None)] {
            let json = serde_json::to_string(&violation).unwrap();
            assert!(
                json.contains(&format!("\"kind\":\"{}\"", violation.kind())),
                "{json}"
            );
            assert_eq!(serde_json::from_str::<Violation>(&json).unwrap(), violation);
        }
    }

    /// A violation is one line with kind, place and problem.
    #[test]
    fn violations_are_told_on_one_line() {
        let violation = Violation::Inode {
            state: live(),
            rule: InodeRule::LinkCount,
            inode: Some(Ino(17)),
            path: None,
            problem: "2 links recorded, 1 found".to_owned(),
        };
        assert_eq!(
            violation.to_string(),
            "inode: db: inode 17: 2 links recorded, 1 found"
        );
    }
}
