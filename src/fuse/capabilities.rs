//! What is agreed with the kernel when a session begins.

use fuser::{InitFlags, KernelConfig};

use super::notify::{INC_EPOCH_SINCE, PRUNE_SINCE};

/// Largest WRITE in bytes; the kernel sends no larger requests unless `fs.fuse.max_pages_limit`
/// was raised.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// Readahead, writeback and asynchronous direct requests that may be under way at once.
const BACKGROUND_MAX: u16 = 64;

/// What every mount asks for.
///
/// Left out on purpose: AUTO_INVAL_DATA (a GETATTR with every read, and nobody else changes the
/// files), ATOMIC_O_TRUNC (OPEN would truncate before the kernel has found that the file is a
/// running program, which must stay as it is), POSIX_LOCKS and FLOCK_LOCKS (locks stay in the
/// kernel, free of charge), and what fuser 0.18 does not master: SETXATTR_EXT, SECURITY_CTX,
/// CREATE_SUPP_GROUP, ALLOW_IDMAP, PASSTHROUGH, OVER_IO_URING.
const ALWAYS: InitFlags = InitFlags::FUSE_ASYNC_DIO
    .union(InitFlags::FUSE_PARALLEL_DIROPS)
    .union(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP)
    .union(InitFlags::FUSE_EXPLICIT_INVAL_DATA)
    .union(InitFlags::FUSE_HANDLE_KILLPRIV_V2)
    .union(InitFlags::FUSE_CACHE_SYMLINKS)
    .union(InitFlags::FUSE_DO_READDIRPLUS)
    .union(InitFlags::FUSE_READDIRPLUS_AUTO)
    .union(InitFlags::FUSE_NO_OPENDIR_SUPPORT);

/// ACLs need the umask left to us: under a default ACL it does not apply. One without the other
/// would give wrong modes.
const ACL: InitFlags = InitFlags::FUSE_POSIX_ACL.union(InitFlags::FUSE_DONT_MASK);

/// What a mount's options decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wishes {
    /// The kernel collects writes in its page cache.
    pub(crate) writeback_cache: bool,
    /// File handles lead to inodes that the kernel has forgotten, too.
    pub(crate) lasting_handles: bool,
}

/// What to ask for of what the kernel offers.
fn wanted(offered: InitFlags, wishes: Wishes) -> InitFlags {
    let mut flags = ALWAYS;
    flags.set(InitFlags::FUSE_WRITEBACK_CACHE, wishes.writeback_cache);
    flags.set(InitFlags::FUSE_EXPORT_SUPPORT, wishes.lasting_handles);
    if offered.contains(ACL) {
        flags |= ACL;
    }
    flags & offered
}

/// What the kernel can do that matters later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kernel {
    /// It can be told to drop all names it knows, which a rollback of a live mount needs.
    pub(crate) has_epochs: bool,
    /// It can be told to let go of an inode that nobody uses.
    pub(crate) can_prune: bool,
}

/// Fills in the answer to INIT.
pub(crate) fn negotiate(config: &mut KernelConfig, wishes: Wishes) -> Kernel {
    let flags = wanted(config.capabilities(), wishes);
    // Neither can be refused: only what was offered is asked for, and both limits are in range.
    let _ = config.add_capabilities(flags);
    let _ = config.set_max_write(WRITE_BYTES_MAX);
    let _ = config.set_max_background(BACKGROUND_MAX);
    let _ = config.set_time_granularity(std::time::Duration::from_nanos(1));
    let version = config.kernel_abi();
    log::debug!("FUSE {}.{}: asking for {flags:?}", version.0, version.1);
    Kernel {
        has_epochs: (version.0, version.1) >= INC_EPOCH_SINCE,
        can_prune: (version.0, version.1) >= PRUNE_SINCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: InitFlags = InitFlags::FUSE_AUTO_INVAL_DATA
        .union(InitFlags::FUSE_ATOMIC_O_TRUNC)
        .union(InitFlags::FUSE_POSIX_LOCKS)
        .union(InitFlags::FUSE_FLOCK_LOCKS)
        .union(InitFlags::FUSE_SETXATTR_EXT)
        .union(InitFlags::FUSE_SECURITY_CTX)
        .union(InitFlags::FUSE_CREATE_SUPP_GROUP)
        .union(InitFlags::FUSE_ALLOW_IDMAP)
        .union(InitFlags::FUSE_OVER_IO_URING)
        .union(InitFlags::FUSE_PASSTHROUGH);

    const ALL: Wishes = Wishes {
        writeback_cache: true,
        lasting_handles: true,
    };

    /// A kernel that offers everything is asked for the stated set and for nothing harmful.
    #[test]
    fn the_stated_set_is_asked_for() {
        let optional = InitFlags::FUSE_WRITEBACK_CACHE | InitFlags::FUSE_EXPORT_SUPPORT;
        let flags = wanted(InitFlags::all(), ALL);
        assert!(flags.contains(ALWAYS | ACL | optional));
        assert!(!flags.intersects(NEVER));
        let none = Wishes {
            writeback_cache: false,
            lasting_handles: false,
        };
        assert_eq!(wanted(InitFlags::all(), none), flags - optional);
    }

    /// Nothing is asked for that the kernel does not offer; ACLs come with DONT_MASK or not at all.
    #[test]
    fn only_offers_are_asked_for() {
        let offered = InitFlags::FUSE_ASYNC_DIO | InitFlags::FUSE_POSIX_ACL;
        assert_eq!(wanted(offered, ALL), InitFlags::FUSE_ASYNC_DIO);
        let offered = offered | InitFlags::FUSE_DONT_MASK;
        assert_eq!(wanted(offered, ALL), offered);
    }
}
