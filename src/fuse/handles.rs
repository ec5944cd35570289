//! File handles, and which inodes are open for writing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use parking_lot::Mutex;

use super::node::NodeId;

const SHARDS: usize = 16;

/// A file handle: the open flags that matter later, and nothing else. A daemon that takes over a
/// live mount understands the handles of its predecessor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Handle(pub(crate) u64);

impl Handle {
    pub(crate) fn from_open_flags(flags: i32) -> Handle {
        Handle((flags & (libc::O_ACCMODE | libc::O_DIRECT)) as u64)
    }

    /// Opened O_DIRECT: the kernel keeps no pages for this handle.
    pub(crate) fn is_direct(self) -> bool {
        self.0 & libc::O_DIRECT as u64 != 0
    }

    pub(crate) fn is_writable(self) -> bool {
        self.0 & libc::O_ACCMODE as u64 != libc::O_RDONLY as u64
    }
}

/// How often each node is open for writing (or mapped: RELEASE comes after the last unmapping).
/// Only these can have dirty pages in the kernel, for close(2) writes them out.
pub(crate) struct WriteOpens {
    shards: Box<[Mutex<HashMap<NodeId, u64>>]>,
}

impl WriteOpens {
    pub(crate) fn new() -> WriteOpens {
        WriteOpens {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard(&self, node: NodeId) -> &Mutex<HashMap<NodeId, u64>> {
        &self.shards[node.0 as usize % SHARDS]
    }

    pub(crate) fn opened(&self, node: NodeId, handle: Handle) {
        if handle.is_writable() {
            *self.shard(node).lock().entry(node).or_insert(0) += 1;
        }
    }

    pub(crate) fn released(&self, node: NodeId, handle: Handle) {
        if !handle.is_writable() {
            return;
        }
        if let Entry::Occupied(mut entry) = self.shard(node).lock().entry(node) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    /// Nodes of this epoch that are open for writing, in order.
    pub(crate) fn nodes(&self, epoch: u16) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            nodes.extend(shard.keys().filter(|node| node.epoch() == Some(epoch)));
        }
        nodes.sort_unstable();
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Ino;

    /// A handle says how the file was opened, and is the same for the same flags.
    #[test]
    fn handles_follow_from_open_flags() {
        let read = Handle::from_open_flags(libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW);
        assert_eq!(read, Handle(0));
        assert!(!read.is_writable() && !read.is_direct());

        let append = Handle::from_open_flags(libc::O_WRONLY | libc::O_APPEND | libc::O_DSYNC);
        assert_eq!(append, Handle(1));
        assert!(append.is_writable() && !append.is_direct());

        let direct = Handle::from_open_flags(libc::O_RDWR | libc::O_DIRECT);
        assert_eq!(direct, Handle(2 | libc::O_DIRECT as u64));
        assert!(direct.is_writable() && direct.is_direct());
    }

    /// A node is listed from its first writable open to its last release; reading does not count.
    #[test]
    fn nodes_open_for_writing_are_counted() {
        let opens = WriteOpens::new();
        let (read, write) = (Handle(0), Handle(1));
        let (a, b) = (NodeId::new(0, Ino(5)), NodeId::new(0, Ino(21)));
        opens.opened(b, write);
        opens.opened(a, read);
        opens.opened(a, write);
        opens.opened(a, write);
        opens.opened(NodeId::new(1, Ino(5)), write);

        assert_eq!(opens.nodes(0), [a, b]);
        opens.released(a, read);
        opens.released(a, write);
        assert_eq!(opens.nodes(0), [a, b]);
        opens.released(a, write);
        assert_eq!(opens.nodes(0), [b]);
        assert_eq!(opens.nodes(1), [NodeId::new(1, Ino(5))]);
    }
}
