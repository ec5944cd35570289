//! Telling the kernel to forget what a rollback made wrong.

use std::io;
use std::os::fd::OwnedFd;

use fuser::{INodeNo, Notifier};

use super::node::NodeId;

/// FUSE version that knows FUSE_NOTIFY_INC_EPOCH.
pub(crate) const INC_EPOCH_SINCE: (u32, u32) = (7, 44);

const FUSE_NOTIFY_INC_EPOCH: i32 = 8;
const HEADER_BYTES: usize = 16;

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

impl Notifications {
    /// Makes the kernel look every name up again, those that it knows to be missing too.
    pub(crate) fn drop_all_names(&self) -> io::Result<()> {
        rustix::io::write(&self.device, &bare_notification(FUSE_NOTIFY_INC_EPOCH))?;
        Ok(())
    }

    /// Makes the kernel ask for a node's attributes again; its pages stay. A node that the kernel
    /// does not know any more is no failure.
    pub(crate) fn drop_attributes(&self, node: NodeId) -> io::Result<()> {
        self.notifier.inval_inode(INodeNo(node.0), -1, 0)
    }

    /// Makes the kernel drop a node's attributes and pages. Dirty pages are written first: this
    /// waits for WRITE requests, so that no lock may be held and readers must be running.
    pub(crate) fn drop_contents(&self, node: NodeId) -> io::Result<()> {
        self.notifier.inval_inode(INodeNo(node.0), 0, 0)
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
}
