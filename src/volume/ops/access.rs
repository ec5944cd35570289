//! Access times.
//!
//! The kernel leaves them to its FUSE servers, so that Linux's relatime is decided here, for the
//! reads that arrive: those that the page cache serves do not. A new access time is a record like
//! any other change; what it may not do is fail or delay the read.

use crate::base::{Ino, Timestamp};
use crate::volume::records::Inode;
use crate::volume::{Request, Volume};

use super::inodes::{load, store};

/// Age at which an access time is renewed although nothing has changed since.
const DAY_SECS: i64 = 24 * 60 * 60;
/// A newer access time is not renewed: many readers and writers of one file would otherwise make
/// a record with every read. As fine as the clock that kernels keep times with.
const TICK_NANOS: i128 = 10_000_000;

impl Volume {
    /// Somebody has read a file, a folder or a link: moves its access time if that is older than
    /// the last change, or than a day. Nothing happens on a read-only volume, where a change would
    /// have to wait, or where it fails.
    pub fn accessed(&self, request: &Request, ino: Ino) {
        if let Ok(inode) = self.read(request, |view| load(view, ino)) {
            self.accessed_as(request, ino, &inode);
        }
    }

    /// The same for an inode that was just looked at.
    pub(super) fn accessed_as(&self, request: &Request, ino: Ino, seen: &Inode) {
        if self.is_read_only() || !is_due(seen, self.now()) || !self.has_room() {
            return;
        }
        let moved = self.update(request, |edit| {
            let (mut inode, now) = (load(edit, ino)?, self.now());
            if is_due(&inode, now) {
                inode.atime = now;
                store(edit, ino, &inode);
            }
            Ok(())
        });
        if let Err(error) = moved {
            log::debug!("the access time of inode {ino} stays: {error}");
        }
    }
}

/// Whether relatime moves the access time.
fn is_due(inode: &Inode, now: Timestamp) -> bool {
    let age = nanos(now) - nanos(inode.atime);
    let is_behind = inode.atime <= inode.mtime || inode.atime <= inode.ctime;
    let is_old = now.secs.saturating_sub(inode.atime.secs) >= DAY_SECS;
    // A time in the future is put right by the next change.
    (is_behind && !(0..TICK_NANOS).contains(&age)) || is_old
}

fn nanos(time: Timestamp) -> i128 {
    i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::records::FileKind;

    const TICK: u32 = TICK_NANOS as u32;

    fn inode(atime: (i64, u32), mtime: (i64, u32), ctime: (i64, u32)) -> Inode {
        let at = |(secs, nanos)| Timestamp { secs, nanos };
        let mut inode = Inode::new(FileKind::Regular, 0o644, (0, 0), Ino(2), at(atime));
        (inode.mtime, inode.ctime) = (at(mtime), at(ctime));
        inode
    }

    /// As in Linux: behind a change of content or attributes, or a day old.
    #[test]
    fn relatime_is_linux_own() {
        let now = Timestamp {
            secs: 1_000_000,
            nanos: 0,
        };
        let due = |atime, mtime, ctime| is_due(&inode(atime, mtime, ctime), now);
        let (old, older) = ((900_000, 0), (800_000, 0));
        let (new, newer) = ((999_990, 0), (999_995, 0));
        assert!(due(new, new, older), "as old as the content");
        assert!(due(new, newer, older), "older than the content");
        assert!(due(new, older, newer), "older than the attributes");
        assert!(!due(newer, new, new), "newer than both");
        assert!(due(old, older, older), "more than a day old");
        assert!(!due((2_000_000, 0), new, new), "in the future");
    }

    /// Within a tick of the last access nothing moves; one set beyond the present time does.
    #[test]
    fn a_tick_is_waited_for() {
        let due = |atime: (i64, u32), now: (i64, u32)| {
            let (secs, nanos) = now;
            is_due(&inode(atime, (6, 0), (6, 0)), Timestamp { secs, nanos })
        };
        assert!(!due((5, 0), (5, TICK - 1)));
        assert!(due((5, 0), (5, TICK)));
        assert!(due((6, 0), (5, TICK)));
    }
}
