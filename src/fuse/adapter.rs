//! fuser's requests to operations, and their results to fuser's replies. No decisions here.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, INodeNo, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyBmap, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};

use super::capabilities::{Kernel, Wishes, negotiate};
use super::convert;
use super::errno::{Errno, report};
use super::guard;
use super::handles::Handle;
use super::node::NodeId;
use super::operations::{Answer, Caller, Operations, ReadRange, Write};
use super::replies::{Fuser, SizedXattr};
use super::requests::{Opcode, Payload, Requests, Timed, Timer};
use crate::volume::FsResult;
use crate::volume::ops::{Attr, SetAttr};

/// What fuser calls.
pub(crate) struct Adapter {
    pub(crate) operations: Operations<Fuser>,
    pub(crate) wishes: Wishes,
    pub(crate) requests: Arc<Requests>,
    /// Filled in by INIT.
    pub(crate) kernel: Arc<OnceLock<Kernel>>,
}

fn caller(request: &Request) -> Caller {
    Caller {
        unique: request.unique().0,
        uid: request.uid(),
        gid: request.gid(),
    }
}

impl Adapter {
    /// A request has arrived: it is counted when its reply is sent.
    fn timed<R>(&self, opcode: Opcode, reply: R) -> Timed<R> {
        let timer = Timer::start(&self.requests, opcode);
        Timed { reply, timer }
    }

    /// Answers what needs no look at the volume.
    fn answer(&self, opcode: Opcode, send: impl FnOnce()) {
        let mut timer = Timer::start(&self.requests, opcode);
        timer.note(&Ok(()));
        send();
    }

    /// Runs one operation on this reader.
    fn run<R>(
        &self,
        opcode: Opcode,
        node: INodeNo,
        run: impl FnOnce(&Operations<Fuser>) -> FsResult<R>,
    ) -> Result<R, Errno> {
        let _busy = self.operations.readers.enter();
        let operation = opcode.name();
        guard::catch(operation, || {
            run(&self.operations).map_err(|error| {
                let node = NodeId(node.0);
                report(operation, &self.operations.label(node), node, &error)
            })
        })
        .flatten()
    }

    /// Runs one operation and answers it.
    fn serve<R: Payload>(
        &self,
        opcode: Opcode,
        node: INodeNo,
        reply: impl Answer<R>,
        run: impl FnOnce(&Operations<Fuser>) -> FsResult<R>,
    ) {
        let reply = self.timed(opcode, reply);
        reply.send(self.run(opcode, node, run));
    }

    /// Runs one operation that answers itself, perhaps later.
    fn pass_on(&self, opcode: Opcode, run: impl FnOnce(&Operations<Fuser>)) {
        let _busy = self.operations.readers.enter();
        // After a panic the log has it, and the dropped reply has answered EIO.
        let _ = guard::catch(opcode.name(), || run(&self.operations));
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // INIT comes once per connection.
        let _ = self.kernel.set(negotiate(config, self.wishes));
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.serve::<Option<Attr>>(Opcode::Lookup, parent, reply, |operations| {
            operations.lookup(&caller(request), NodeId(parent.0), name.as_bytes())
        });
    }

    fn forget(&self, _request: &Request, ino: INodeNo, references: u64) {
        self.answer(Opcode::Forget, || {
            self.pass_on(Opcode::Forget, |operations| {
                operations.forget(NodeId(ino.0), references)
            });
        });
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.serve(Opcode::Getattr, ino, reply, |operations| {
            operations.getattr(&caller(request), NodeId(ino.0))
        });
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = SetAttr {
            perm: mode.map(convert::perm),
            uid,
            gid,
            size,
            atime: atime.map(convert::set_time),
            mtime: mtime.map(convert::set_time),
            ctime: ctime.map(convert::timestamp),
        };
        self.serve(Opcode::Setattr, ino, reply, |operations| {
            operations.setattr(&caller(request), NodeId(ino.0), &set)
        });
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        self.serve::<Vec<u8>>(Opcode::Readlink, ino, reply, |operations| {
            operations.readlink(&caller(request), NodeId(ino.0))
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        self.serve::<Attr>(Opcode::Mknod, parent, reply, |operations| {
            let new = convert::new_node(mode, umask, rdev)?;
            operations.make(&caller(request), NodeId(parent.0), name.as_bytes(), &new)
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        self.serve::<Attr>(Opcode::Mkdir, parent, reply, |operations| {
            let new = convert::new_folder(mode, umask);
            operations.make(&caller(request), NodeId(parent.0), name.as_bytes(), &new)
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.serve(Opcode::Unlink, parent, reply, |operations| {
            operations.unlink(&caller(request), NodeId(parent.0), name.as_bytes())
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.serve(Opcode::Rmdir, parent, reply, |operations| {
            operations.rmdir(&caller(request), NodeId(parent.0), name.as_bytes())
        });
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        self.serve::<Attr>(Opcode::Symlink, parent, reply, |operations| {
            let (name, target) = (name.as_bytes(), target.as_os_str().as_bytes());
            operations.symlink(&caller(request), NodeId(parent.0), name, target)
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.serve(Opcode::Rename, parent, reply, |operations| {
            let from = (NodeId(parent.0), name.as_bytes());
            let to = (NodeId(new_parent.0), new_name.as_bytes());
            operations.rename(&caller(request), from, to, convert::rename_mode(flags)?)
        });
    }

    fn link(
        &self,
        request: &Request,
        ino: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        self.serve::<Attr>(Opcode::Link, ino, reply, |operations| {
            let (node, parent) = (NodeId(ino.0), NodeId(new_parent.0));
            operations.link(&caller(request), node, parent, new_name.as_bytes())
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let reply = self.timed(Opcode::Open, reply);
        self.pass_on(Opcode::Open, |operations| {
            operations.open(&caller(request), NodeId(ino.0), flags.0, reply);
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.serve(Opcode::Create, parent, reply, |operations| {
            let new = convert::new_node(mode, umask, 0)?;
            operations.create(
                &caller(request),
                NodeId(parent.0),
                name.as_bytes(),
                &new,
                flags,
            )
        });
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let what = ReadRange {
            node: NodeId(ino.0),
            handle: Handle(fh.0),
            offset,
            len: size as usize,
            is_access: convert::is_access(Handle(fh.0), flags.0),
        };
        let reply = self.timed(Opcode::Read, reply);
        self.pass_on(Opcode::Read, |operations| {
            operations.read(&caller(request), what, reply);
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mode = convert::write_mode(Handle(fh.0), write_flags);
        let durable = convert::is_durable(mode, flags.0);
        let write = Write {
            node: NodeId(ino.0),
            offset,
            mode,
            durable,
        };
        let reply = self.timed(Opcode::Write, reply);
        self.pass_on(Opcode::Write, |operations| {
            operations.write(&caller(request), write, data, reply);
        });
    }

    /// Nothing to do at close(2): the kernel has written its pages and keeps the locks. It is
    /// answered all the same, so that close fails where the connection is broken
    /// (docs/decisions/0006).
    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.answer(Opcode::Flush, || reply.ok());
    }

    fn release(
        &self,
        _request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.serve(Opcode::Release, ino, reply, |operations| {
            operations.release(NodeId(ino.0), Handle(fh.0));
            Ok(())
        });
    }

    fn fsync(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let reply = self.timed(Opcode::Fsync, reply);
        self.pass_on(Opcode::Fsync, |operations| {
            operations.sync(&caller(request), NodeId(ino.0), reply);
        });
    }

    /// The kernel then opens folders by itself and caches their listings.
    fn opendir(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.answer(Opcode::Opendir, || reply.error(fuser::Errno::ENOSYS));
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let mut reply = self.timed(Opcode::Readdir, reply);
        let outcome = self.run(Opcode::Readdir, ino, |operations| {
            operations.readdir(&caller(request), NodeId(ino.0), offset, &mut |entry| {
                let node = INodeNo(NodeId::new(entry.epoch, entry.ino).0);
                let kind = convert::file_type(entry.kind);
                !reply
                    .reply
                    .add(node, entry.cookie, kind, OsStr::from_bytes(entry.name))
            })
        });
        reply.send(outcome);
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let mut reply = self.timed(Opcode::Readdirplus, reply);
        let outcome = self.run(Opcode::Readdirplus, ino, |operations| {
            operations.readdir_plus(
                &caller(request),
                NodeId(ino.0),
                offset,
                &mut |entry, attr| {
                    let (ttl, generation) = (convert::name_ttl(attr), convert::generation(attr));
                    let (name, attr) = (OsStr::from_bytes(entry.name), convert::file_attr(attr));
                    !reply
                        .reply
                        .add(attr.ino, entry.cookie, name, &ttl, &attr, generation)
                },
            )
        });
        reply.send(outcome);
    }

    fn fsyncdir(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let reply = self.timed(Opcode::Fsyncdir, reply);
        self.pass_on(Opcode::Fsyncdir, |operations| {
            operations.sync(&caller(request), NodeId(ino.0), reply);
        });
    }

    fn statfs(&self, _request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.serve(Opcode::Statfs, ino, reply, Operations::statfs);
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.serve(Opcode::Setxattr, ino, reply, |operations| {
            let (mode, name) = (convert::xattr_mode(flags)?, name.as_bytes());
            operations.setxattr(&caller(request), NodeId(ino.0), name, value, mode)
        });
    }

    fn getxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        let reply = SizedXattr {
            reply,
            buffer_bytes: size,
        };
        self.serve(Opcode::Getxattr, ino, reply, |operations| {
            operations.getxattr(&caller(request), NodeId(ino.0), name.as_bytes())
        });
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let reply = SizedXattr {
            reply,
            buffer_bytes: size,
        };
        self.serve(Opcode::Listxattr, ino, reply, |operations| {
            operations.listxattr(&caller(request), NodeId(ino.0))
        });
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.serve(Opcode::Removexattr, ino, reply, |operations| {
            operations.removexattr(&caller(request), NodeId(ino.0), name.as_bytes())
        });
    }

    /// The kernel checks modes by itself (default_permissions).
    fn access(&self, _request: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        self.answer(Opcode::Access, || reply.error(fuser::Errno::ENOSYS));
    }

    fn bmap(&self, _request: &Request, _ino: INodeNo, _unit: u32, _index: u64, reply: ReplyBmap) {
        self.answer(Opcode::Bmap, || reply.error(fuser::Errno::ENOSYS));
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _input: &[u8],
        _output_bytes: u32,
        reply: ReplyIoctl,
    ) {
        self.answer(Opcode::Ioctl, || reply.error(fuser::Errno::ENOTTY));
    }

    /// The kernel then takes files as always ready.
    fn poll(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _notifier: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        self.answer(Opcode::Poll, || reply.error(fuser::Errno::ENOSYS));
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.serve(Opcode::Fallocate, ino, reply, |operations| {
            let mode = convert::allocate_mode(mode)?;
            operations.allocate(&caller(request), NodeId(ino.0), offset, length, mode)
        });
    }

    fn lseek(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let reply = self.timed(Opcode::Lseek, reply);
        self.pass_on(Opcode::Lseek, |operations| match convert::seek(whence) {
            Ok(what) => operations.seek(&caller(request), NodeId(ino.0), (offset, what), reply),
            Err(error) => reply.send(Err(Errno::of(&error))),
        });
    }

    fn copy_file_range(
        &self,
        request: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        self.serve(Opcode::CopyFileRange, ino_out, reply, |operations| {
            let from = (NodeId(ino_in.0), offset_in);
            let to = (NodeId(ino_out.0), offset_out);
            operations.copy_range(&caller(request), from, to, len)
        });
    }
}
