//! Attributes: stat, chmod, chown, truncate, utimens.

use crate::base::{Ino, Timestamp};
use crate::volume::core::admission::Need;
use crate::volume::records::{FileKind, Inode};
use crate::volume::{Edit, FsError, FsResult, Request, Volume, keys};

use super::inodes::{load, store, without_privileges};
use super::{Attr, SetAttr, SetTime, space};

impl SetAttr {
    /// Whether times are all that is set.
    fn is_only_times(&self) -> bool {
        self.perm.is_none() && self.uid.is_none() && self.gid.is_none() && self.size.is_none()
    }

    /// Whether a file gets a new owner, which ends its privileges.
    fn is_new_owner(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }
}

impl Volume {
    /// An inode's attributes; also of one without names. Fails with NotFound.
    pub fn getattr(&self, request: &Request, ino: Ino) -> FsResult<Attr> {
        self.read(request, |view| Ok(Attr::of(view, ino, &load(view, ino)?)))
    }

    /// Changes attributes and returns the new ones.
    ///
    /// A size ends suid and sgid if an unprivileged caller sets it, a new owner for everybody (of
    /// all but folders). Times of the kernel's own clock may be older than a direct write, which
    /// the kernel does not see: they never move `mtime` and `ctime` back behind it.
    ///
    /// Fails with NotFound, IsDirectory and Invalid (a size of what is no file), FileTooBig.
    pub fn setattr(&self, request: &Request, ino: Ino, set: &SetAttr) -> FsResult<Attr> {
        if *set == SetAttr::default() {
            return self.getattr(request, ino);
        }
        self.warm(&[keys::inode(ino)]);
        let grows = match set.size {
            None | Some(0) => false,
            Some(size) => size > self.getattr(request, ino)?.size,
        };
        if grows {
            self.check_below_limit()?;
        }
        let need = if grows { Need::Room } else { Need::Little };
        self.update_with(need, request, |edit| {
            let now = self.now();
            let mut inode = load(edit, ino)?;
            if set.is_new_owner() {
                self.change_owner(edit, ino, &mut inode, set)?;
            }
            if let Some(perm) = set.perm {
                inode.perm = perm & 0o7777;
                self.chmod_acl(edit, ino, &mut inode)?;
            }
            if let Some(size) = set.size {
                self.resize(edit, request, ino, &mut inode, size)?;
            }
            set_times(&mut inode, set, now);
            store(edit, ino, &inode);
            Ok(Attr::of(edit, ino, &inode))
        })
    }

    fn change_owner(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
        set: &SetAttr,
    ) -> FsResult<()> {
        inode.uid = set.uid.unwrap_or(inode.uid);
        inode.gid = set.gid.unwrap_or(inode.gid);
        if !inode.is_folder() {
            inode.perm = without_privileges(inode.perm);
            self.drop_capabilities(edit, ino, inode)?;
        }
        Ok(())
    }

    fn resize(
        &self,
        edit: &mut Edit<'_>,
        request: &Request,
        ino: Ino,
        inode: &mut Inode,
        size: u64,
    ) -> FsResult<()> {
        match inode.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(FsError::IsDirectory(ino)),
            _ => return Err(FsError::Invalid("only files have a size to set")),
        }
        if request.uid != 0 {
            inode.perm = without_privileges(inode.perm);
        }
        self.drop_capabilities(edit, ino, inode)?;
        space::set_size(edit, ino, inode, size)
    }
}

fn set_times(inode: &mut Inode, set: &SetAttr, now: Timestamp) {
    let time = |set: SetTime| match set {
        SetTime::Now => now,
        SetTime::At(time) => time,
    };
    if let Some(atime) = set.atime {
        inode.atime = time(atime);
    }
    let mut mtime = set.mtime.map(time);
    let mut ctime = set.ctime.unwrap_or(now);
    // The kernel writes its times back without an access time; a caller's utimensat has one.
    if let Some(direct) = inode.direct_write
        && set.is_only_times()
        && set.atime.is_none()
    {
        mtime = mtime.filter(|mtime| *mtime >= direct);
        ctime = ctime.max(inode.ctime);
    }
    if set.size.is_some() {
        mtime = mtime.or(Some(now));
    }
    inode.mtime = mtime.unwrap_or(inode.mtime);
    inode.ctime = ctime;
}
