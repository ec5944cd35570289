//! POSIX ACLs of inodes: kept as attributes, in step with the permission bits.

use crate::base::Ino;
use crate::volume::records::{FileKind, Inode, Xattr};
use crate::volume::{Edit, FsError, FsResult, Volume};

use super::XattrMode;
use super::inodes::State;
use super::posix_acl::PosixAcl;

const PERMISSIONS: u16 = 0o777;

/// Which of an inode's two ACLs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AclKind {
    /// Who may use it.
    Access,
    /// What new inodes in a folder inherit.
    Default,
}

impl AclKind {
    /// The ACL that an attribute's name means.
    pub(super) fn of(name: &[u8]) -> Option<AclKind> {
        [AclKind::Access, AclKind::Default]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    fn name(self) -> &'static [u8] {
        match self {
            AclKind::Access => b"system.posix_acl_access",
            AclKind::Default => b"system.posix_acl_default",
        }
    }
}

/// What a new inode gets from its folder's default ACL.
pub(super) struct Inherited {
    access: Option<PosixAcl>,
    default: Option<PosixAcl>,
}

impl Volume {
    /// Sets or, if it is empty, removes an ACL. An access ACL sets the permission bits too.
    ///
    /// The kernel does not tell whether the caller is in the file's group, so an owner who is not
    /// keeps an sgid bit that he could not have set.
    pub(super) fn set_acl(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
        kind: AclKind,
        value: &[u8],
    ) -> FsResult<()> {
        if inode.kind == FileKind::Symlink {
            return Err(FsError::Unsupported("ACLs of symbolic links"));
        }
        let acl = match value {
            [] => None,
            _ => PosixAcl::decode(value).map_err(|_| FsError::Invalid("a malformed ACL"))?,
        };
        if kind == AclKind::Default && acl.is_some() && !inode.is_folder() {
            return Err(FsError::PermissionDenied);
        }
        let acl = acl.filter(|acl| {
            if kind == AclKind::Default {
                return true;
            }
            inode.perm = inode.perm & !PERMISSIONS | acl.permissions();
            !acl.is_minimal()
        });
        match acl {
            Some(acl) => self.put_acl(edit, ino, inode, kind, &acl),
            None => self.remove_xattr(edit, ino, inode, kind.name()).map(|_| ()),
        }
    }

    /// After chmod: the ACL's entries follow the permission bits.
    pub(super) fn chmod_acl(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
    ) -> FsResult<()> {
        let Some(mut acl) = self.find_acl(&*edit, ino, inode, AclKind::Access)? else {
            return Ok(());
        };
        acl.set_permissions(inode.perm);
        self.put_acl(edit, ino, inode, AclKind::Access, &acl)
    }

    /// What the folder's default ACL makes of a new inode: takes away permission bits that it does
    /// not grant. None without a default ACL.
    pub(super) fn inherit_acl(
        &self,
        state: &impl State,
        parent: Ino,
        folder: &Inode,
        inode: &mut Inode,
    ) -> FsResult<Option<Inherited>> {
        let Some(default) = self.find_acl(state, parent, folder, AclKind::Default)? else {
            return Ok(None);
        };
        let mut access = default.clone();
        let permissions = access.restrict(inode.perm);
        inode.perm = inode.perm & !PERMISSIONS | permissions;
        Ok(Some(Inherited {
            access: (!access.is_minimal()).then_some(access),
            default: inode.is_folder().then_some(default),
        }))
    }

    /// Gives a new inode what it inherits.
    pub(super) fn put_inherited(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
        inherited: Option<Inherited>,
    ) -> FsResult<()> {
        let Some(inherited) = inherited else {
            return Ok(());
        };
        let kinds = [
            (AclKind::Access, inherited.access),
            (AclKind::Default, inherited.default),
        ];
        for (kind, acl) in kinds {
            if let Some(acl) = acl {
                self.put_acl(edit, ino, inode, kind, &acl)?;
            }
        }
        Ok(())
    }

    fn find_acl(
        &self,
        state: &impl State,
        ino: Ino,
        inode: &Inode,
        kind: AclKind,
    ) -> FsResult<Option<PosixAcl>> {
        let Some(value) = self.find_xattr(state, ino, inode, kind.name())? else {
            return Ok(None);
        };
        PosixAcl::decode(&value).map_err(|source| FsError::Malformed { ino, source })
    }

    fn put_acl(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
        kind: AclKind,
        acl: &PosixAcl,
    ) -> FsResult<()> {
        let xattr = Xattr {
            name: kind.name(),
            value: &acl.encode(),
        };
        self.put_xattr(edit, ino, inode, &xattr, XattrMode::Any)
    }
}
