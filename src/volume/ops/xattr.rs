//! Extended attributes.

use std::ops::ControlFlow;

use crate::base::{Ino, Value};
use crate::volume::records::{Inode, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX, Xattr};
use crate::volume::{Edit, FsError, FsResult, Request, Volume, keys};

use super::XattrMode;
use super::acl::AclKind;
use super::chain::Slot;
use super::inodes::{State, load, store};

/// Longest list of names in bytes, as in Linux: what listxattr can return.
const LIST_BYTES_MAX: u32 = 64 * 1024;
const CAPABILITY: &[u8] = b"security.capability";
const TRUSTED: &[u8] = b"trusted.";

impl Volume {
    /// Sets an attribute. An access ACL also sets the permission bits, and is not kept if they say
    /// it all.
    ///
    /// Fails with NotFound, Range (the name), TooBig (the value), AttributesFull, Unsupported (the
    /// namespace), Exists, NoAttribute, Invalid (an ACL), PermissionDenied (a default ACL of
    /// what is no folder).
    pub fn setxattr(
        &self,
        request: &Request,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> FsResult<()> {
        check_name(name)?;
        if value.len() > XATTR_VALUE_BYTES_MAX {
            return Err(FsError::TooBig);
        }
        self.warm_xattr(ino, name);
        self.update(request, |edit| {
            let mut inode = load(edit, ino)?;
            match AclKind::of(name) {
                Some(kind) => self.set_acl(edit, ino, &mut inode, kind, value)?,
                None => self.put_xattr(edit, ino, &mut inode, &Xattr { name, value }, mode)?,
            }
            inode.ctime = self.now();
            store(edit, ino, &inode);
            Ok(())
        })
    }

    /// An attribute's value. Fails with NotFound, NoAttribute, Range, Unsupported.
    pub fn getxattr(&self, request: &Request, ino: Ino, name: &[u8]) -> FsResult<Vec<u8>> {
        check_name(name)?;
        self.read(request, |view| {
            let inode = load(view, ino)?;
            self.find_xattr(view, ino, &inode, name)?
                .ok_or(FsError::NoAttribute)
        })
    }

    /// Names, each with a NUL behind it; those of `trusted.` only for root. Fails with NotFound.
    pub fn listxattr(&self, request: &Request, ino: Ino) -> FsResult<Vec<u8>> {
        self.read(request, |view| {
            let mut list = Vec::new();
            if load(view, ino)?.xattr_list_bytes == 0 {
                return Ok(list);
            }
            let (from, to) = keys::all(ino, keys::XATTR);
            view.scan(&from, &to, &mut |_, value| {
                let decoded = Xattr::decode(&value.bytes);
                let xattr = decoded.map_err(|source| FsError::Malformed { ino, source })?;
                if let Some(xattr) = xattr
                    && (request.uid == 0 || !xattr.name.starts_with(TRUSTED))
                {
                    list.extend_from_slice(xattr.name);
                    list.push(0);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(list)
        })
    }

    /// Removes an attribute; an ACL need not be there.
    ///
    /// Fails with NotFound, NoAttribute, Range, Unsupported.
    pub fn removexattr(&self, request: &Request, ino: Ino, name: &[u8]) -> FsResult<()> {
        check_name(name)?;
        self.warm_xattr(ino, name);
        self.update(request, |edit| {
            let mut inode = load(edit, ino)?;
            if !self.remove_xattr(edit, ino, &mut inode, name)? {
                return match AclKind::of(name) {
                    Some(_) => Ok(()),
                    None => Err(FsError::NoAttribute),
                };
            }
            inode.ctime = self.now();
            store(edit, ino, &inode);
            Ok(())
        })
    }

    /// An attribute's value, if there is one. Without attributes nothing is looked up: the kernel
    /// asks for `security.capability` often.
    pub(super) fn find_xattr(
        &self,
        state: &impl State,
        ino: Ino,
        inode: &Inode,
        name: &[u8],
    ) -> FsResult<Option<Vec<u8>>> {
        if inode.xattr_list_bytes == 0 {
            return Ok(None);
        }
        match self.xattrs().find(state, ino, name)? {
            Slot::Free { .. } => Ok(None),
            Slot::Taken { value, .. } => {
                let decoded = Xattr::decode(&value.bytes);
                let xattr = decoded.map_err(|source| FsError::Malformed { ino, source })?;
                Ok(xattr.map(|xattr| xattr.value.to_vec()))
            }
        }
    }

    /// Sets an attribute's record and counts its name in the inode, which the caller stores.
    pub(super) fn put_xattr(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
        xattr: &Xattr<'_>,
        mode: XattrMode,
    ) -> FsResult<()> {
        let xattrs = self.xattrs();
        let sub = match (xattrs.find(edit, ino, xattr.name)?, mode) {
            (Slot::Taken { .. }, XattrMode::Create | XattrMode::CreateAndReplace) => {
                return Err(FsError::Exists);
            }
            (Slot::Free { .. }, XattrMode::Replace | XattrMode::CreateAndReplace) => {
                return Err(FsError::NoAttribute);
            }
            (Slot::Taken { sub, .. }, _) => sub,
            (Slot::Free { sub }, _) => {
                inode.xattr_list_bytes += listed_bytes(xattr.name);
                if inode.xattr_list_bytes > LIST_BYTES_MAX {
                    return Err(FsError::AttributesFull);
                }
                sub
            }
        };
        edit.put(xattrs.key(ino, sub), Value::record(xattr.encode()));
        Ok(())
    }

    /// Removes an attribute's record and its name from the inode, which the caller stores. False
    /// if there was none.
    pub(super) fn remove_xattr(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
        name: &[u8],
    ) -> FsResult<bool> {
        if inode.xattr_list_bytes == 0 {
            return Ok(false);
        }
        let xattrs = self.xattrs();
        let Slot::Taken { sub, .. } = xattrs.find(edit, ino, name)? else {
            return Ok(false);
        };
        xattrs.remove(edit, ino, sub)?;
        inode.xattr_list_bytes = inode.xattr_list_bytes.saturating_sub(listed_bytes(name));
        Ok(true)
    }

    /// A write, a truncation and a new owner end a file's capabilities.
    pub(super) fn drop_capabilities(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
    ) -> FsResult<()> {
        self.remove_xattr(edit, ino, inode, CAPABILITY).map(|_| ())
    }

    fn warm_xattr(&self, ino: Ino, name: &[u8]) {
        self.warm(&[keys::inode(ino), self.xattrs().start_key(ino, name)]);
    }
}

/// Says whether two inodes have the same attributes, which can be many and long.
pub(super) fn fingerprints(state: &impl State, ino: Ino) -> FsResult<Vec<(u64, blake3::Hash)>> {
    let (from, to) = keys::all(ino, keys::XATTR);
    let mut found = Vec::new();
    state.scan(&from, &to, &mut |key, value| {
        found.push((key.sub(), blake3::hash(&value.bytes)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// What a name takes in a list.
pub(super) fn listed_bytes(name: &[u8]) -> u32 {
    name.len() as u32 + 1
}

fn check_name(name: &[u8]) -> FsResult<()> {
    if name.is_empty() || name.len() > XATTR_NAME_BYTES_MAX {
        return Err(FsError::Range);
    }
    if name.contains(&0) {
        return Err(FsError::Invalid("an attribute name with NUL"));
    }
    if AclKind::of(name).is_some() {
        return Ok(());
    }
    let namespaces: [&[u8]; 3] = [b"user.", TRUSTED, b"security."];
    match namespaces
        .iter()
        .find_map(|namespace| name.strip_prefix(*namespace))
    {
        None => Err(FsError::Unsupported("this attribute namespace")),
        Some([]) => Err(FsError::Invalid("an attribute name without a name")),
        Some(_) => Ok(()),
    }
}
