//! What is agreed with the kernel when a session begins.

use fuser::{InitFlags, KernelConfig};

use super::notify::INC_EPOCH_SINCE;

/// Largest WRITE in bytes; the kernel sends no larger requests unless `fs.fuse.max_pages_limit`
/// was raised.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// Readahead, writeback and asynchronous direct requests that may be under way at once.
const BACKGROUND_MAX: u16 = 64;

/// What every mount asks for.
///
/// Left out on purpose: AUTO_INVAL_DATA (a GETATTR with every read, and nobody else changes the
/// files), POSIX_LOCKS and FLOCK_LOCKS (locks stay in the kernel, free of charge), and what fuser
/// 0.18 does not master: SETXATTR_EXT, SECURITY_CTX, CREATE_SUPP_GROUP, ALLOW_IDMAP, PASSTHROUGH,
/// OVER_IO_URING.
const ALWAYS: InitFlags = InitFlags::FUSE_ASYNC_DIO
    .union(InitFlags::FUSE_PARALLEL_DIROPS)
    .union(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP)
    .union(InitFlags::FUSE_ATOMIC_O_TRUNC)
    .union(InitFlags::FUSE_EXPLICIT_INVAL_DATA)
    .union(InitFlags::FUSE_HANDLE_KILLPRIV_V2)
    .union(InitFlags::FUSE_CACHE_SYMLINKS)
    .union(InitFlags::FUSE_DO_READDIRPLUS)
    .union(InitFlags::FUSE_READDIRPLUS_AUTO)
    .union(InitFlags::FUSE_EXPORT_SUPPORT)
    .union(InitFlags::FUSE_NO_OPENDIR_SUPPORT);

/// ACLs need the umask left to us: under a default ACL it does not apply. One without the other
/// would give wrong modes.
const ACL: InitFlags = InitFlags::FUSE_POSIX_ACL.union(InitFlags::FUSE_DONT_MASK);

/// What to ask for of what the kernel offers.
fn wanted(offered: InitFlags, writeback_cache: bool) -> InitFlags {
    let mut flags = ALWAYS;
    if writeback_cache {
        flags |= InitFlags::FUSE_WRITEBACK_CACHE;
    }
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
}

/// Fills in the answer to INIT.
pub(crate) fn negotiate(config: &mut KernelConfig, writeback_cache: bool) -> Kernel {
    let flags = wanted(config.capabilities(), writeback_cache);
    // Neither can be refused: only what was offered is asked for, and both limits are in range.
    let _ = config.add_capabilities(flags);
    let _ = config.set_max_write(WRITE_BYTES_MAX);
    let _ = config.set_max_background(BACKGROUND_MAX);
    let _ = config.set_time_granularity(std::time::Duration::from_nanos(1));
    let version = config.kernel_abi();
    log::debug!("FUSE {}.{}: asking for {flags:?}", version.0, version.1);
    Kernel {
        has_epochs: (version.0, version.1) >= INC_EPOCH_SINCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: InitFlags = InitFlags::FUSE_AUTO_INVAL_DATA
        .union(InitFlags::FUSE_POSIX_LOCKS)
        .union(InitFlags::FUSE_FLOCK_LOCKS)
        .union(InitFlags::FUSE_SETXATTR_EXT)
        .union(InitFlags::FUSE_SECURITY_CTX)
        .union(InitFlags::FUSE_CREATE_SUPP_GROUP)
        .union(InitFlags::FUSE_ALLOW_IDMAP)
        .union(InitFlags::FUSE_OVER_IO_URING)
        .union(InitFlags::FUSE_PASSTHROUGH);

    /// A kernel that offers everything is asked for the stated set and for nothing harmful.
    #[test]
    fn the_stated_set_is_asked_for() {
        let flags = wanted(InitFlags::all(), true);
        assert!(flags.contains(ALWAYS | ACL | InitFlags::FUSE_WRITEBACK_CACHE));
        assert!(!flags.intersects(NEVER));
        assert!(!wanted(InitFlags::all(), false).contains(InitFlags::FUSE_WRITEBACK_CACHE));
    }

    /// Nothing is asked for that the kernel does not offer; ACLs come with DONT_MASK or not at all.
    #[test]
    fn only_offers_are_asked_for() {
        let offered = InitFlags::FUSE_ASYNC_DIO | InitFlags::FUSE_POSIX_ACL;
        assert_eq!(wanted(offered, true), InitFlags::FUSE_ASYNC_DIO);
        let offered = offered | InitFlags::FUSE_DONT_MASK;
        assert_eq!(wanted(offered, true), offered);
    }
}
