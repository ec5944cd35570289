//! The algebra of POSIX 1003.1e draft 17 ACLs, in Linux's attribute format version 2.

use crate::base::{ByteReader, DecodeError, PutBytes};

const VERSION: u32 = 2;
const ENTRY_BYTES: usize = 8;
/// Written where an entry names nobody.
const NOBODY: u32 = u32::MAX;
const RWX: u16 = 0o7;

/// Whom an entry is about; the order of the entries of an ACL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Tag {
    Owner,
    User,
    OwningGroup,
    Group,
    Mask,
    Other,
}

impl Tag {
    const ALL: [Tag; 6] = [
        Tag::Owner,
        Tag::User,
        Tag::OwningGroup,
        Tag::Group,
        Tag::Mask,
        Tag::Other,
    ];

    /// `ACL_USER_OBJ`, `ACL_USER`, `ACL_GROUP_OBJ`, `ACL_GROUP`, `ACL_MASK`, `ACL_OTHER`.
    fn number(self) -> u16 {
        1 << self as u16
    }

    fn from_number(number: u16) -> Option<Tag> {
        Tag::ALL.into_iter().find(|tag| tag.number() == number)
    }

    fn names_somebody(self) -> bool {
        matches!(self, Tag::User | Tag::Group)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    tag: Tag,
    perm: u16,
    id: u32,
}

/// A valid access control list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PosixAcl {
    entries: Vec<Entry>,
}

impl PosixAcl {
    /// The ACL of an attribute's value; none if it has no entries.
    pub(super) fn decode(value: &[u8]) -> Result<Option<PosixAcl>, DecodeError> {
        let mut reader = ByteReader::new("ACL", value);
        if reader.u32()? != VERSION {
            return Err(reader.error("unknown version"));
        }
        let mut entries = Vec::with_capacity(reader.remaining() / ENTRY_BYTES);
        while reader.remaining() > 0 {
            let tag = Tag::from_number(reader.u16()?).ok_or_else(|| reader.error("unknown tag"))?;
            let perm = reader.u16()?;
            let id = reader.u32()?;
            if perm & !RWX != 0 {
                return Err(reader.error("unknown permission"));
            }
            if tag.names_somebody() && id == NOBODY {
                return Err(reader.error("an entry for nobody"));
            }
            let id = if tag.names_somebody() { id } else { NOBODY };
            entries.push(Entry { tag, perm, id });
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let acl = PosixAcl { entries };
        match acl.problem() {
            Some(problem) => Err(reader.error(problem)),
            None => Ok(Some(acl)),
        }
    }

    /// The attribute's value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.entries.len() * ENTRY_BYTES);
        out.put_u32(VERSION);
        for entry in &self.entries {
            out.put_u16(entry.tag.number());
            out.put_u16(entry.perm);
            out.put_u32(entry.id);
        }
        out
    }

    /// Whether permission bits say the same.
    pub(super) fn is_minimal(&self) -> bool {
        self.entries.len() == 3
    }

    /// The permission bits that belong to it.
    pub(super) fn permissions(&self) -> u16 {
        self.perm(Tag::Owner) << 6 | self.perm(self.group_tag()) << 3 | self.perm(Tag::Other)
    }

    /// chmod: the entries that stand for permission bits take these.
    pub(super) fn set_permissions(&mut self, perm: u16) {
        for (tag, shift) in self.classes() {
            self.set(tag, perm >> shift & RWX);
        }
    }

    /// Creation with this mode: the entries that stand for permission bits grant nothing that was
    /// not asked for. Returns the permission bits of both.
    pub(super) fn restrict(&mut self, mode: u16) -> u16 {
        self.set_permissions(self.permissions() & mode);
        self.permissions()
    }

    /// The entries that stand for permission bits, and where in the mode these are.
    fn classes(&self) -> [(Tag, u32); 3] {
        [(Tag::Owner, 6), (self.group_tag(), 3), (Tag::Other, 0)]
    }

    /// The group bits of a mode are the mask, if there is one.
    fn group_tag(&self) -> Tag {
        if self.count(Tag::Mask) > 0 {
            Tag::Mask
        } else {
            Tag::OwningGroup
        }
    }

    fn perm(&self, tag: Tag) -> u16 {
        let entry = self.entries.iter().find(|entry| entry.tag == tag);
        entry.map_or(0, |entry| entry.perm)
    }

    fn set(&mut self, tag: Tag, perm: u16) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.tag == tag) {
            entry.perm = perm;
        }
    }

    fn count(&self, tag: Tag) -> usize {
        self.entries.iter().filter(|entry| entry.tag == tag).count()
    }

    /// What is wrong with it, by Linux's rules.
    fn problem(&self) -> Option<&'static str> {
        if !self.entries.is_sorted_by_key(|entry| entry.tag) {
            return Some("entries out of order");
        }
        let required = [Tag::Owner, Tag::OwningGroup, Tag::Other];
        if required.iter().any(|tag| self.count(*tag) != 1) || self.count(Tag::Mask) > 1 {
            return Some("an entry is missing or there twice");
        }
        let names_somebody = self.entries.iter().any(|entry| entry.tag.names_somebody());
        if names_somebody && self.count(Tag::Mask) == 0 {
            return Some("named entries without a mask");
        }
        None
    }
}
