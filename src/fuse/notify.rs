//! Telling the kernel to forget what a rollback made wrong, and to hand over what it holds.

use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Weak};

use fuser::{INodeNo, Notifier};
use parking_lot::Mutex;

use super::node::NodeId;

/// FUSE version that knows FUSE_NOTIFY_INC_EPOCH.
pub(crate) const INC_EPOCH_SINCE: (u32, u32) = (7, 44);
/// FUSE version that knows FUSE_NOTIFY_PRUNE.
pub(crate) const PRUNE_SINCE: (u32, u32) = (7, 45);

const FUSE_NOTIFY_INC_EPOCH: i32 = 8;
const FUSE_NOTIFY_PRUNE: i32 = 9;
const HEADER_BYTES: usize = 16;
/// Header, `struct fuse_notify_prune_out`, one node id.
const PRUNE_BYTES: usize = HEADER_BYTES + 16 + 8;

/// The way to the kernel outside of requests. It keeps the connection open, so that it must go
/// when the session ends.
pub(crate) struct Notifications {
    pub(crate) device: OwnedFd,
    pub(crate) notifier: Notifier,
}

/// `struct fuse_out_header`: length, notification code, and 0 where a reply names its request.
#[expect(
    clippy::host_endian_bytes,
    reason = "FUSE speaks in the host's byte order"
)]
fn bare_notification(code: i32) -> [u8; HEADER_BYTES] {
    let mut message = [0; HEADER_BYTES];
    message[..4].copy_from_slice(&(HEADER_BYTES as u32).to_ne_bytes());
    message[4..8].copy_from_slice(&code.to_ne_bytes());
    message
}

/// `struct fuse_notify_prune_out` says how many node ids follow.
#[expect(
    clippy::host_endian_bytes,
    reason = "FUSE speaks in the host's byte order"
)]
fn prune_notification(node: NodeId) -> [u8; PRUNE_BYTES] {
    let mut message = [0; PRUNE_BYTES];
    message[..4].copy_from_slice(&(PRUNE_BYTES as u32).to_ne_bytes());
    message[4..8].copy_from_slice(&FUSE_NOTIFY_PRUNE.to_ne_bytes());
    message[16..20].copy_from_slice(&1_u32.to_ne_bytes());
    message[32..].copy_from_slice(&node.0.to_ne_bytes());
    message
}

impl Notifications {
    /// Makes the kernel look every name up again, those that it knows to be missing too.
    pub(crate) fn drop_all_names(&self) -> io::Result<()> {
        rustix::io::write(&self.device, &bare_notification(FUSE_NOTIFY_INC_EPOCH))?;
        Ok(())
    }

    /// Makes the kernel look up a name again, also one that it knows to be missing, and let go of
    /// what is below it as far as nobody uses it. A file that is mounted on the name is unmounted.
    /// Waits for requests on names in this folder.
    pub(crate) fn drop_name(&self, folder: NodeId, name: &[u8]) -> io::Result<()> {
        self.notifier
            .inval_entry(INodeNo(folder.0), OsStr::from_bytes(name))
    }

    /// Makes the kernel ask for a node's attributes again; its pages stay. A node that the kernel
    /// does not know any more is no failure.
    pub(crate) fn drop_attributes(&self, node: NodeId) -> io::Result<()> {
        self.notifier.inval_inode(INodeNo(node.0), -1, 0)
    }

    /// Makes the kernel let go of a node that nobody uses, with its names, attributes and pages.
    /// One that is in use stays.
    pub(crate) fn drop_unused(&self, node: NodeId) -> io::Result<()> {
        rustix::io::write(&self.device, &prune_notification(node))?;
        Ok(())
    }

    /// Makes the kernel drop a node's attributes and pages. Dirty pages are written first: this
    /// waits for WRITE requests, so that no lock may be held and readers must be running.
    pub(crate) fn drop_contents(&self, node: NodeId) -> io::Result<()> {
        self.notifier.inval_inode(INodeNo(node.0), 0, 0)
    }

    /// The same for the pages of a range of bytes, which may end at `u64::MAX`.
    fn drop_range(&self, node: NodeId, range: Range<u64>) -> io::Result<()> {
        let Some((offset, len)) = inval_range(&range) else {
            return Ok(());
        };
        self.notifier.inval_inode(INodeNo(node.0), offset, len)
    }
}

/// The offset and length that name a range to the kernel, with length 0 for what has no end.
fn inval_range(range: &Range<u64>) -> Option<(i64, i64)> {
    let offset = i64::try_from(range.start).ok()?;
    match i64::try_from(range.end) {
        Err(_) => Some((offset, 0)),
        Ok(end) => (end > offset).then_some((offset, end - offset)),
    }
}

/// The way to pages and names that the kernel holds, for threads beside the readers. It leads
/// nowhere before the session runs and after its end.
#[derive(Default)]
pub(crate) struct KernelPages(Mutex<Weak<Notifications>>);

impl KernelPages {
    pub(crate) fn connect(&self, notifications: &Arc<Notifications>) {
        *self.0.lock() = Arc::downgrade(notifications);
    }

    /// Makes the kernel write its dirty pages of a range, and returns when that has been answered.
    /// As [`Notifications::drop_contents`]: never on a reader, and with no lock held.
    pub(crate) fn write_out(&self, node: NodeId, range: Range<u64>) -> io::Result<()> {
        self.notifications()?.drop_range(node, range)
    }

    /// As [`Notifications::drop_name`]: never on a reader, and with no lock held.
    pub(crate) fn drop_name(&self, folder: NodeId, name: &[u8]) -> io::Result<()> {
        self.notifications()?.drop_name(folder, name)
    }

    fn notifications(&self) -> io::Result<Arc<Notifications>> {
        let ended = || io::Error::from_raw_os_error(libc::ENOTCONN);
        self.0.lock().upgrade().ok_or_else(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message is the header alone, as the kernel requires for this code.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_bare_notification_is_a_header() {
        let message = bare_notification(FUSE_NOTIFY_INC_EPOCH);
        assert_eq!(message, [16, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    /// A range without an end has length 0, which is what the kernel takes for the whole rest; so
    /// an empty one must not be sent.
    #[test]
    fn ranges_are_named_as_the_kernel_reads_them() {
        assert_eq!(inval_range(&(4096..8192)), Some((4096, 4096)));
        assert_eq!(inval_range(&(4096..u64::MAX)), Some((4096, 0)));
        assert_eq!(inval_range(&(4096..4096)), None);
        assert_eq!(inval_range(&(1 << 63..u64::MAX)), None);
    }

    /// Without a session there is no kernel to ask.
    #[test]
    fn without_a_session_nothing_is_written_out() {
        let pages = KernelPages::default();
        let error = pages.write_out(NodeId(5), 0..u64::MAX).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
    }

    /// Header, count, spare bytes, and the node's id.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_prune_notification_names_its_node() {
        let message = prune_notification(NodeId(0x0102));
        let mut expected = vec![40, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message[..], expected);
    }
}
