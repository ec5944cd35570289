//! File handles, and which inodes are open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;

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

    pub(crate) fn is_readable(self) -> bool {
        self.0 & libc::O_ACCMODE as u64 != libc::O_WRONLY as u64
    }

    pub(crate) fn is_writable(self) -> bool {
        self.0 & libc::O_ACCMODE as u64 != libc::O_RDONLY as u64
    }
}

/// How often each node is open (or mapped: RELEASE comes after the last unmapping). Only those open
/// for writing can have dirty pages in the kernel, for close(2) writes them out, and the last
/// unmapping of a file does.
pub(crate) struct Opens {
    shards: Box<[Mutex<HashMap<NodeId, Count>>]>,
}

#[derive(Default)]
struct Count {
    readers: u64,
    writers: u64,
    /// Those of the writers through the page cache.
    cached: u64,
    /// The kernel was told more blocks than there are.
    is_overstated: bool,
}

impl Opens {
    pub(crate) fn new() -> Opens {
        Opens {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard(&self, node: NodeId) -> &Mutex<HashMap<NodeId, Count>> {
        &self.shards[node.0 as usize % SHARDS]
    }

    pub(crate) fn opened(&self, node: NodeId, handle: Handle) {
        let mut shard = self.shard(node).lock();
        let count = shard.entry(node).or_default();
        if handle.is_writable() {
            count.writers += 1;
            count.cached += u64::from(!handle.is_direct());
        } else {
            count.readers += 1;
        }
    }

    /// True if the node is no longer open for writing and the kernel was told too many blocks of
    /// it meanwhile.
    pub(crate) fn released(&self, node: NodeId, handle: Handle) -> bool {
        let mut shard = self.shard(node).lock();
        let Entry::Occupied(mut entry) = shard.entry(node) else {
            return false;
        };
        let count = entry.get_mut();
        let mut was_overstated = false;
        if handle.is_writable() {
            count.writers = count.writers.saturating_sub(1);
            count.cached -= u64::from(!handle.is_direct()).min(count.cached);
            if count.writers == 0 {
                was_overstated = mem::take(&mut count.is_overstated);
            }
        } else {
            count.readers = count.readers.saturating_sub(1);
        }
        if (count.readers, count.writers) == (0, 0) {
            entry.remove();
        }
        was_overstated
    }

    /// Whether anybody has a node open or mapped.
    pub(crate) fn is_open(&self, node: NodeId) -> bool {
        self.shard(node).lock().contains_key(&node)
    }

    /// Whether a node is open for writing.
    pub(crate) fn is_open_to_write(&self, node: NodeId) -> bool {
        let shard = self.shard(node).lock();
        shard.get(&node).is_some_and(|count| count.writers > 0)
    }

    /// Whether a node may be longer than the daemon knows: only a write through the page cache
    /// makes it so.
    pub(crate) fn may_be_longer(&self, node: NodeId) -> bool {
        let shard = self.shard(node).lock();
        shard.get(&node).is_some_and(|count| count.cached > 0)
    }

    /// Notes that the kernel is told more blocks of a node than there are, if it is open for
    /// writing; else returns false.
    pub(crate) fn overstate(&self, node: NodeId) -> bool {
        let mut shard = self.shard(node).lock();
        let written = shard.get_mut(&node).filter(|count| count.writers > 0);
        written.is_some_and(|count| {
            count.is_overstated = true;
            true
        })
    }

    /// Nodes of this epoch that are open for writing, in order.
    pub(crate) fn written(&self, epoch: u16) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let written = shard.iter().filter(|(_, count)| count.writers > 0);
            nodes.extend(
                written
                    .map(|(node, _)| *node)
                    .filter(|node| node.epoch() == Some(epoch)),
            );
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
        let opens = Opens::new();
        let (read, write) = (Handle(0), Handle(1));
        let (a, b) = (NodeId::new(0, Ino(5)), NodeId::new(0, Ino(21)));
        opens.opened(b, write);
        opens.opened(a, read);
        opens.opened(a, write);
        opens.opened(a, write);
        opens.opened(NodeId::new(1, Ino(5)), write);

        assert_eq!(opens.written(0), [a, b]);
        opens.released(a, read);
        opens.released(a, write);
        assert_eq!(opens.written(0), [a, b]);
        assert!(opens.is_open_to_write(a));
        opens.released(a, write);
        assert!(!opens.is_open_to_write(a) && opens.is_open_to_write(b));
        assert_eq!(opens.written(0), [b]);
        assert_eq!(opens.written(1), [NodeId::new(1, Ino(5))]);
    }

    /// A node is open while anybody reads or writes it, however the one follows the other.
    #[test]
    fn readers_keep_a_node_open() {
        let opens = Opens::new();
        let (read, write) = (Handle(0), Handle(2));
        let node = NodeId::new(0, Ino(5));
        for (first, second) in [(read, write), (write, read)] {
            opens.opened(node, first);
            opens.opened(node, second);
            opens.released(node, first);
            assert!(opens.is_open(node));
            assert_eq!(opens.is_open_to_write(node), second == write);
            opens.released(node, second);
            assert!(!opens.is_open(node));
        }
        assert!(!opens.released(node, read), "it is not open");
    }

    /// A file grows unseen only while it is open for writing through the page cache.
    #[test]
    fn direct_handles_hide_no_growth() {
        let opens = Opens::new();
        let (direct, cached) = (Handle(2 | libc::O_DIRECT as u64), Handle(2));
        let node = NodeId::new(0, Ino(5));
        opens.opened(node, direct);
        assert!(opens.is_open_to_write(node) && !opens.may_be_longer(node));
        opens.opened(node, cached);
        opens.released(node, direct);
        assert!(opens.may_be_longer(node));
        opens.opened(node, direct);
        opens.released(node, cached);
        assert!(!opens.may_be_longer(node));
    }

    /// The last release of a node says whether its blocks were overstated while it was open.
    #[test]
    fn the_last_release_tells_of_overstated_blocks() {
        let opens = Opens::new();
        let (node, write) = (NodeId::new(0, Ino(5)), Handle(1));
        assert!(!opens.overstate(node), "it is not open");
        opens.opened(node, write);
        opens.opened(node, write);
        assert!(opens.overstate(node));
        opens.opened(node, Handle(0));
        assert!(!opens.released(node, write));
        assert!(opens.released(node, write), "a reader is left");
        assert!(!opens.overstate(node));
        opens.opened(node, write);
        assert!(!opens.released(node, write));
    }
}
