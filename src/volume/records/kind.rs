//! What kind of file an inode is.

/// What kind of file; the bits of `S_IFMT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A file with content.
    Regular,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    /// The number that stands for it in records: `S_IFMT >> 12`, which is also `d_type`.
    pub fn number(self) -> u8 {
        match self {
            FileKind::Fifo => 1,
            FileKind::CharDevice => 2,
            FileKind::Directory => 4,
            FileKind::BlockDevice => 6,
            FileKind::Regular => 8,
            FileKind::Symlink => 10,
            FileKind::Socket => 12,
        }
    }

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<FileKind> {
        Some(match number {
            1 => FileKind::Fifo,
            2 => FileKind::CharDevice,
            4 => FileKind::Directory,
            6 => FileKind::BlockDevice,
            8 => FileKind::Regular,
            10 => FileKind::Symlink,
            12 => FileKind::Socket,
            _ => return None,
        })
    }

    /// Whether a device number belongs to it.
    pub fn is_device(self) -> bool {
        matches!(self, FileKind::CharDevice | FileKind::BlockDevice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exactly the seven numbers of `S_IFMT` are kinds, and each gives its number back.
    #[test]
    fn numbers_are_those_of_s_ifmt() {
        let known: Vec<u8> = (0..=255)
            .filter(|number| FileKind::from_number(*number).is_some())
            .collect();
        assert_eq!(known, [1, 2, 4, 6, 8, 10, 12]);
        for number in known {
            assert_eq!(FileKind::from_number(number).unwrap().number(), number);
        }
    }
}
