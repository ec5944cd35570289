//! Room in the pool.

use crate::volume::records::NAME_BYTES_MAX;
use crate::volume::{FsResult, Volume};

use super::StatFs;

/// Inode numbers are below 2^48: the upper bits of a node id are the epoch.
const INODES: u64 = 1 << 48;

impl Volume {
    /// Blocks of this volume; free room of the pool, or what the volume's limit leaves of it.
    pub fn statfs(&self) -> FsResult<StatFs> {
        let usage = self.usage()?;
        let block_size = self.block_size();
        let blocks_free = usage.free_bytes / u64::from(block_size);
        // With a limit the size is that, even if the pool has less room: tools warn by the free
        // blocks, and reckon in shares of the size.
        let limit = usage.limit_bytes.map(|bytes| bytes / u64::from(block_size));
        let blocks = limit
            .unwrap_or(0)
            .max(usage.blocks.saturating_add(blocks_free));
        Ok(StatFs {
            block_size,
            blocks,
            blocks_free,
            inodes: INODES,
            inodes_free: INODES.saturating_sub(usage.inodes),
            name_max: NAME_BYTES_MAX as u32,
        })
    }
}
