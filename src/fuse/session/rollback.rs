//! What the kernel holds of the state that a rollback has left.

use std::sync::Arc;

use super::{Mount, SessionState};
use crate::fuse::node::NodeId;
use crate::fuse::workers;
use crate::volume::ops::FileKind;

impl Mount {
    /// Makes the kernel forget the state that a rollback has left. Call it when the volume has its
    /// new epoch, with no lock held: the kernel writes its dirty pages of the old state first, as
    /// requests that are refused.
    ///
    /// The pages of files that nobody has open are freed behind its return: some 100 ms a GiB.
    pub fn after_rollback(&self, old_epoch: u16) {
        let Some(live) = self.session.live() else {
            return;
        };
        // First the names: from now on every path leads to nodes of the new epoch.
        if let Err(error) = live.notifications.drop_all_names() {
            log::error!("the kernel keeps names from before the rollback: {error}");
        }
        // Then what hangs on the old nodes, so that open and mapped files do not show old pages,
        // nor folders that somebody is in old names. A closed file is opened no more.
        let is_closed = |(node, kind): &(NodeId, FileKind)| {
            *kind == FileKind::Regular && !live.opens.is_open(*node)
        };
        let nodes = live.lookups.of_epoch(old_epoch);
        let (closed, others): (Vec<_>, Vec<_>) = nodes.into_iter().partition(is_closed);
        for (node, _) in others {
            self.session.forget_contents(node);
        }
        // The same node id before and after.
        self.session.forget_contents(NodeId::ROOT);
        for (node, _) in &closed {
            self.session.forget_attributes(*node);
        }
        let session = Arc::downgrade(&self.session);
        let free_pages = move || {
            for (node, _) in closed {
                if let Some(session) = session.upgrade() {
                    session.forget_contents(node);
                }
            }
        };
        if let Err(error) = workers::spawn("volfs-forget", free_pages) {
            log::warn!("the kernel keeps pages from before the rollback: {error}");
        }
    }
}

impl SessionState {
    fn forget_contents(&self, node: NodeId) {
        if let Some(live) = self.live()
            && let Err(error) = live.notifications.drop_contents(node)
        {
            log::warn!("the kernel keeps pages of inode {node:?}: {error}");
        }
    }
}
