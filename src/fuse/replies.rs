//! Results of operations to fuser's replies.

use fuser::{
    FileHandle, FopenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
};

use super::convert::{self, FOREVER, GENERATION};
use super::errno::Errno;
use super::handles::Handle;
use super::operations::{Answer, Transport};
use super::requests::Timed;
use crate::volume::ops::{Attr, StatFs};

/// fuser as a transport.
pub(crate) struct Fuser;

impl Transport for Fuser {
    type Done = Timed<ReplyEmpty>;
    type Written = Timed<ReplyWrite>;
    type Bytes = Timed<ReplyData>;
    type Offset = Timed<ReplyLseek>;
    type Opened = Timed<ReplyOpen>;
}

/// A reply of a type that names the value it carries.
macro_rules! answer {
    ($reply:ty, $value:ty, |$this:ident, $ok:ident| $send:expr) => {
        impl Answer<$value> for $reply {
            fn send(self, outcome: Result<$value, Errno>) {
                let $this = self;
                match outcome {
                    Ok($ok) => $send,
                    Err(errno) => $this.error(errno.into()),
                }
            }
        }
    };
}

answer!(ReplyEmpty, (), |reply, _done| reply.ok());
answer!(ReplyDirectory, (), |reply, _listed| reply.ok());
answer!(ReplyDirectoryPlus, (), |reply, _listed| reply.ok());
answer!(ReplyWrite, u32, |reply, bytes| reply.written(bytes));
answer!(ReplyData, Vec<u8>, |reply, bytes| reply.data(&bytes));
answer!(ReplyLseek, u64, |reply, offset| reply.offset(offset as i64));
answer!(ReplyAttr, Attr, |reply, attr| reply
    .attr(&convert::attr_ttl(&attr), &convert::file_attr(&attr)));
answer!(ReplyOpen, Handle, |reply, handle| reply
    .opened(FileHandle(handle.0), cache_policy(handle)));
answer!(ReplyEntry, Attr, |reply, attr| send_entry(reply, &attr));
answer!(ReplyEntry, Option<Attr>, |reply, found| {
    match found {
        Some(attr) => send_entry(reply, &attr),
        None => reply.entry(&FOREVER, &convert::negative_entry(), GENERATION),
    }
});
answer!(ReplyCreate, (Attr, Handle), |reply, created| {
    let (attr, handle) = created;
    let (attr, fh) = (convert::file_attr(&attr), FileHandle(handle.0));
    reply.created(&FOREVER, &attr, GENERATION, fh, cache_policy(handle));
});
answer!(ReplyStatfs, StatFs, |reply, stat| {
    let (free, unit) = (stat.blocks_free, stat.block_size);
    let (inodes, inodes_free) = (stat.inodes, stat.inodes_free);
    reply.statfs(
        stat.blocks,
        free,
        free,
        inodes,
        inodes_free,
        unit,
        stat.name_max,
        unit,
    );
});

fn send_entry(reply: ReplyEntry, attr: &Attr) {
    reply.entry_with_ttls(
        &convert::attr_ttl(attr),
        &convert::name_ttl(attr),
        &convert::file_attr(attr),
        convert::generation(attr),
    );
}

impl<'a> Answer<&'a [u8]> for ReplyData {
    fn send(self, outcome: Result<&'a [u8], Errno>) {
        match outcome {
            Ok(bytes) => self.data(bytes),
            Err(errno) => self.error(errno.into()),
        }
    }
}

/// A reply to a caller who said how large his buffer is; 0 asks for the size.
pub(crate) struct SizedXattr {
    pub(crate) reply: ReplyXattr,
    pub(crate) buffer_bytes: u32,
}

impl Answer<Vec<u8>> for SizedXattr {
    fn send(self, outcome: Result<Vec<u8>, Errno>) {
        match outcome {
            Ok(value) if self.buffer_bytes == 0 => self.reply.size(value.len() as u32),
            Ok(value) if value.len() > self.buffer_bytes as usize => {
                self.reply.error(fuser::Errno::ERANGE);
            }
            Ok(value) => self.reply.data(&value),
            Err(errno) => self.reply.error(errno.into()),
        }
    }
}

/// How the kernel caches an open file: files opened O_DIRECT not at all, all others across opens.
fn cache_policy(handle: Handle) -> FopenFlags {
    if handle.is_direct() {
        FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
    } else {
        FopenFlags::FOPEN_KEEP_CACHE
    }
}
