//! An inode's attributes.

use crate::base::{ByteReader, DecodeError, Ino, PutBytes, Timestamp};

use super::FileKind;

const VERSION: u8 = 1;
/// Flag: the time of the last direct write follows.
const DIRECT_WRITE: u8 = 1;
/// Flag: the folder in which it last got a name follows.
const NAMED_IN: u8 = 2;
const PERM_MASK: u16 = 0o7777;
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Attributes of an inode. A field that means nothing for the kind is zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inode {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, suid, sgid, sticky: 0o7777.
    pub perm: u16,
    /// Names; of a folder 2 and its subfolders. 0: removed, kept for whoever still holds it.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Tells two inodes apart that bore the same number on both sides of a rollback.
    pub generation: u32,
    /// Bytes of its attribute list: each name and a NUL. 0: it has no extended attributes.
    pub xattr_list_bytes: u32,
    /// Bytes of a file's content or of a link's target.
    pub size: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the attributes.
    pub ctime: Timestamp,
    /// Regular files: allocated blocks.
    pub blocks: u64,
    /// Regular files: when a direct write last set `mtime`.
    pub direct_write: Option<Timestamp>,
    /// Folders: the folder that holds it; of the root the root. Others: the folder in which it last
    /// got a name, which may have lost that name since; 0: unknown, from before this was kept.
    pub parent: Ino,
    /// Folders: number of entries, `.` and `..` apart.
    pub entries: u64,
    /// Devices: the device number.
    pub rdev: u32,
}

impl Inode {
    /// A fresh inode without content, with a name in `parent`.
    pub fn new(kind: FileKind, perm: u16, owner: (u32, u32), parent: Ino, now: Timestamp) -> Inode {
        let is_folder = kind == FileKind::Directory;
        Inode {
            kind,
            perm: perm & PERM_MASK,
            nlink: if is_folder { 2 } else { 1 },
            uid: owner.0,
            gid: owner.1,
            generation: (now.secs as u32).rotate_left(16) ^ now.nanos,
            xattr_list_bytes: 0,
            size: 0,
            atime: now,
            mtime: now,
            ctime: now,
            blocks: 0,
            direct_write: None,
            parent,
            entries: 0,
            rdev: 0,
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        let names_folder = !self.is_folder() && self.parent != Ino(0);
        out.put_u8(VERSION);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let direct = flag(self.direct_write.is_some(), DIRECT_WRITE);
        out.put_u8(direct | flag(names_folder, NAMED_IN));
        out.put_u16(u16::from(self.kind.number()) << 12 | self.perm & PERM_MASK);
        out.put_u32(self.nlink);
        out.put_u32(self.uid);
        out.put_u32(self.gid);
        out.put_u32(self.generation);
        out.put_u32(self.xattr_list_bytes);
        out.put_u64(self.size);
        put_time(&mut out, self.atime);
        put_time(&mut out, self.mtime);
        put_time(&mut out, self.ctime);
        match self.kind {
            FileKind::Regular => {
                out.put_u64(self.blocks);
                if let Some(time) = self.direct_write {
                    put_time(&mut out, time);
                }
            }
            FileKind::Directory => {
                out.put_u64(self.parent.0);
                out.put_u64(self.entries);
            }
            FileKind::CharDevice | FileKind::BlockDevice => out.put_u32(self.rdev),
            FileKind::Symlink | FileKind::Fifo | FileKind::Socket => {}
        }
        if names_folder {
            out.put_u64(self.parent.0);
        }
        out
    }

    /// The inode of a record.
    pub fn decode(bytes: &[u8]) -> Result<Inode, DecodeError> {
        let mut reader = ByteReader::new("inode", bytes);
        if reader.u8()? != VERSION {
            return Err(reader.error("unknown version"));
        }
        let flags = reader.u8()?;
        if flags & !(DIRECT_WRITE | NAMED_IN) != 0 {
            return Err(reader.error("unknown flag"));
        }
        let mode = reader.u16()?;
        let kind = FileKind::from_number((mode >> 12) as u8)
            .ok_or_else(|| reader.error("unknown file kind"))?;
        let mut inode = Inode {
            nlink: reader.u32()?,
            uid: reader.u32()?,
            gid: reader.u32()?,
            generation: reader.u32()?,
            xattr_list_bytes: reader.u32()?,
            size: reader.u64()?,
            atime: time(&mut reader)?,
            mtime: time(&mut reader)?,
            ctime: time(&mut reader)?,
            ..Inode::new(kind, mode, (0, 0), Ino(0), Timestamp::default())
        };
        if flags & DIRECT_WRITE != 0 && kind != FileKind::Regular {
            return Err(reader.error("a direct write to what is no file"));
        }
        if flags & NAMED_IN != 0 && kind == FileKind::Directory {
            return Err(reader.error("a second parent of a folder"));
        }
        if inode.size != 0 && !matches!(kind, FileKind::Regular | FileKind::Symlink) {
            return Err(reader.error("a size of what has no content"));
        }
        match kind {
            FileKind::Regular => {
                inode.blocks = reader.u64()?;
                if flags & DIRECT_WRITE != 0 {
                    inode.direct_write = Some(time(&mut reader)?);
                }
            }
            FileKind::Directory => {
                inode.parent = Ino(reader.u64()?);
                inode.entries = reader.u64()?;
            }
            FileKind::CharDevice | FileKind::BlockDevice => inode.rdev = reader.u32()?,
            FileKind::Symlink | FileKind::Fifo | FileKind::Socket => {}
        }
        if flags & NAMED_IN != 0 {
            inode.parent = Ino(reader.u64()?);
            if inode.parent == Ino(0) {
                return Err(reader.error("a name in no folder"));
            }
        }
        reader.finish()?;
        Ok(inode)
    }
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.put_i64(time.secs);
    out.put_u32(time.nanos);
}

fn time(reader: &mut ByteReader<'_>) -> Result<Timestamp, DecodeError> {
    let time = Timestamp {
        secs: reader.i64()?,
        nanos: reader.u32()?,
    };
    if time.nanos >= NANOS_PER_SECOND {
        return Err(reader.error("nanoseconds above one second"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [FileKind; 7] = [
        FileKind::Regular,
        FileKind::Directory,
        FileKind::Symlink,
        FileKind::Fifo,
        FileKind::Socket,
        FileKind::CharDevice,
        FileKind::BlockDevice,
    ];

    fn sample(kind: FileKind) -> Inode {
        let at = |secs, nanos| Timestamp { secs, nanos };
        let mut inode = Inode::new(kind, 0o4751, (1000, 100), Ino(7), at(1, 0));
        inode.nlink = 3;
        inode.generation = 0x0a0b_0c0d;
        inode.xattr_list_bytes = 12;
        (inode.atime, inode.mtime, inode.ctime) = (at(1, 2), at(-3, 999_999_999), at(5, 6));
        match kind {
            FileKind::Regular => {
                inode.size = 70_000;
                inode.blocks = 9;
                inode.direct_write = Some(at(8, 9));
            }
            FileKind::Directory => inode.entries = 4,
            FileKind::Symlink => inode.size = 11,
            FileKind::CharDevice | FileKind::BlockDevice => inode.rdev = 0x0801,
            FileKind::Fifo | FileKind::Socket => {}
        }
        inode
    }

    /// Every kind comes back as it was written; a truncated or longer record is refused.
    #[test]
    fn inodes_round_trip_and_other_lengths_are_refused() {
        for kind in ALL {
            let mut bytes = sample(kind).encode();

            assert_eq!(Inode::decode(&bytes).unwrap(), sample(kind));
            for len in 0..bytes.len() {
                assert!(
                    Inode::decode(&bytes[..len]).is_err(),
                    "{kind:?}: {len} bytes"
                );
            }
            bytes.push(0);
            assert_eq!(Inode::decode(&bytes).unwrap_err().problem, "trailing bytes");
        }
    }

    /// The bytes of a regular file are those of the format's table.
    #[test]
    fn golden_bytes_of_a_file() {
        let mut expected = vec![1, 3];
        expected.extend([0xe9, 0x89]);
        expected.extend([3, 0, 0, 0]);
        expected.extend([0xe8, 3, 0, 0]);
        expected.extend([100, 0, 0, 0]);
        expected.extend([0x0d, 0x0c, 0x0b, 0x0a]);
        expected.extend([12, 0, 0, 0]);
        expected.extend([0x70, 0x11, 1, 0, 0, 0, 0, 0]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        expected.extend([
            0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x9a, 0x3b,
        ]);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0]);
        expected.extend([9, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sample(FileKind::Regular).encode(), expected);
    }

    /// A record from before folders were remembered is read, means unknown, and stays as it is.
    #[test]
    fn records_without_a_folder_are_read() {
        for kind in ALL.into_iter().filter(|kind| *kind != FileKind::Directory) {
            let mut bytes = sample(kind).encode();
            bytes[1] &= !NAMED_IN;
            bytes.truncate(bytes.len() - 8);

            let inode = Inode::decode(&bytes).unwrap();

            assert_eq!(inode.parent, Ino(0), "{kind:?}");
            assert_eq!(inode.encode(), bytes, "{kind:?}");
        }
    }

    /// The bytes of a folder end with its parent and its number of entries.
    #[test]
    fn golden_bytes_of_a_folder() {
        let bytes = sample(FileKind::Directory).encode();
        assert_eq!(bytes.len(), 84);
        assert_eq!(bytes[..4], [1, 0, 0xe9, 0x49]);
        assert_eq!(
            bytes[68..],
            [7, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    /// Unknown versions, flags and kinds, impossible times and sizes are refused.
    #[test]
    fn impossible_fields_are_refused() {
        let refused = |kind, offset: usize, byte: u8, problem: &str| {
            let mut bytes = sample(kind).encode();
            bytes[offset] = byte;
            assert_eq!(Inode::decode(&bytes).unwrap_err().problem, problem);
        };
        refused(FileKind::Regular, 0, 2, "unknown version");
        refused(FileKind::Regular, 1, 7, "unknown flag");
        refused(FileKind::Directory, 1, 2, "a second parent of a folder");
        refused(FileKind::Regular, 3, 0x79, "unknown file kind");
        refused(FileKind::Regular, 43, 0x3c, "nanoseconds above one second");
        refused(
            FileKind::Directory,
            1,
            1,
            "a direct write to what is no file",
        );
        refused(FileKind::Directory, 24, 1, "a size of what has no content");
    }
}
