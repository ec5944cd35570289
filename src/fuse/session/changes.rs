//! What changes behind the kernel's back: it is made to look again. All of it with no lock held.

use std::thread;
use std::time::{Duration, Instant};

use super::Mount;
use crate::base::{Ino, SnapshotId, SnapshotName};
use crate::fuse::browse::Folder;
use crate::fuse::holders::{Holder, holders_where};
use crate::fuse::node::{NodeId, Realm};

/// How long the kernel may take to let go of a file that nobody uses, and how often it is asked.
const LET_GO_TIMEOUT: Duration = Duration::from_millis(100);
const LET_GO_PAUSE: Duration = Duration::from_millis(1);

impl Mount {
    /// Makes the kernel look a name up again, which means something else now than it was told. As
    /// for all of these: with no lock held.
    pub fn forget_name(&self, epoch: u16, folder: Ino, name: &[u8]) {
        let folder = NodeId::new(epoch, folder);
        if let Some(live) = self.session.live_with(folder)
            && let Err(error) = live.notifications.drop_name(folder, name)
        {
            log::warn!("the kernel keeps a name in {folder:?}: {error}");
        }
    }

    /// Makes the kernel forget attributes and pages of an inode, or the names of a folder.
    pub fn forget_inode(&self, epoch: u16, ino: Ino) {
        let node = NodeId::new(epoch, ino);
        if let Some(live) = self.session.live_with(node)
            && let Err(error) = live.notifications.drop_contents(node)
        {
            log::warn!("the kernel keeps pages of {node:?}: {error}");
        }
    }

    /// Makes the kernel let go of a file. False: it is in use, and as long as it is the kernel
    /// shows the size and the times that it knows, whatever it is told.
    pub fn let_go(&self, epoch: u16, (folder, name): (Ino, &[u8]), ino: Ino) -> bool {
        let node = NodeId::new(epoch, ino);
        let deadline = Instant::now() + LET_GO_TIMEOUT;
        self.forget_name(epoch, folder, name);
        while let Some(live) = self.session.live_with(node) {
            if Instant::now() >= deadline {
                return !self.options.writeback_cache();
            }
            if self.kernel.can_prune {
                // It stays while it is in use; for a moment, the closing uses it.
                let _ = live.notifications.drop_unused(node);
            }
            thread::sleep(LET_GO_PAUSE);
        }
        true
    }

    /// Makes the kernel list the snapshots anew, after one has come or gone. With no lock held.
    pub fn snapshots_changed(&self) {
        let Some(live) = self.session.live() else {
            return;
        };
        if let Err(error) = live.notifications.drop_contents(Folder::Snapshots.node()) {
            log::warn!("the kernel keeps an old listing of snapshots: {error}");
        }
    }

    /// Closes what is open of a snapshot that is removed, and makes the kernel forget it: whoever
    /// still holds something of it gets ESTALE. Call it before the removal, so that nothing is read
    /// that garbage collection may take, and after it, for whoever came between. With no lock held.
    pub fn close_snapshot(&self, snapshot: SnapshotId, name: &SnapshotName) {
        let Some(live) = self.session.live() else {
            return;
        };
        if let Some(browser) = &live.browser {
            browser.views().close(snapshot);
        }
        let folder = Folder::Snapshots.node();
        if let Err(error) = live
            .notifications
            .drop_name(folder, name.as_str().as_bytes())
        {
            log::warn!("the kernel keeps the name of snapshot {name}: {error}");
        }
        self.snapshots_changed();
    }

    /// Who holds something of the live volume, as [`holders`](crate::fuse::holders): not who only
    /// looks at its snapshots.
    pub fn holders_of_live(&self) -> Vec<Holder> {
        holders_where(self.device, &|inode| NodeId(inode).is_live())
    }

    /// Who holds something of a snapshot through this mount.
    pub fn holders_of_snapshot(&self, snapshot: SnapshotId) -> Vec<Holder> {
        let browser = self.session.live().and_then(|live| live.browser.clone());
        let Some(number) = browser.and_then(|browser| browser.views().number_of(snapshot)) else {
            return Vec::new();
        };
        let realm = Realm::View(number);
        holders_where(self.device, &|inode| NodeId(inode).realm() == realm)
    }
}
