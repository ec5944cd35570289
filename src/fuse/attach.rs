//! mount(2) and umount(2), or fusermount3 for a normal user.

use std::ffi::CString;
use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{getegid, geteuid};

use super::{FS_TYPE, MountError, MountOptions};

const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";
const SUBTYPE: &str = "volfs";

/// Largest READ in bytes.
const READ_BYTES_MAX: u32 = 1 << 20;

/// Mounts, and returns the descriptor on which the kernel's requests arrive. The first one, INIT,
/// waits there already; every access to the mount waits until it has been answered.
pub(crate) fn attach(options: &MountOptions) -> Result<OwnedFd, MountError> {
    check(options)?;
    if geteuid().is_root() {
        attach_as_root(options)
    } else {
        attach_with_helper(options)
    }
}

fn check(options: &MountOptions) -> Result<(), MountError> {
    let invalid = |problem| MountError::Invalid {
        path: options.path.clone(),
        problem,
    };
    let metadata = fs::metadata(&options.path).map_err(|source| MountError::Failed {
        action: "look at",
        path: options.path.clone(),
        source,
    })?;
    if !metadata.is_dir() {
        return Err(invalid("it is not a folder"));
    }
    // fusermount3 takes it as a part of a list of options.
    let plain = |byte: u8| byte.is_ascii_graphic() && !b",\\\"".contains(&byte);
    if options.source.is_empty() || !options.source.bytes().all(plain) {
        return Err(invalid(
            "the name of the source has characters that cannot be shown",
        ));
    }
    Ok(())
}

fn kernel_options(
    device: i32,
    root_mode: u32,
    owner: (u32, u32),
    options: &MountOptions,
) -> String {
    let (uid, gid) = owner;
    let mut text = format!(
        "fd={device},rootmode={:o},user_id={uid},group_id={gid},default_permissions,\
         max_read={READ_BYTES_MAX}",
        root_mode & libc::S_IFMT,
    );
    if options.allow_other {
        text.push_str(",allow_other");
    }
    text
}

fn mount_flags(options: &MountOptions) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::NOSUID, !options.suid);
    flags.set(MountFlags::NODEV, !options.dev);
    flags.set(MountFlags::RDONLY, options.read_only);
    // The kernel keeps no access times of FUSE files: this is what /proc/mounts shows.
    flags.set(MountFlags::NOATIME, options.noatime);
    flags
}

fn attach_as_root(options: &MountOptions) -> Result<OwnedFd, MountError> {
    let failed = |action, path: &Path, error: rustix::io::Errno| MountError::Failed {
        action,
        path: path.to_owned(),
        source: error.into(),
    };
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = openat(CWD, DEVICE, flags, Mode::empty())
        .map_err(|error| failed("open", Path::new(DEVICE), error))?;
    let root_mode = fs::metadata(&options.path).map_or(libc::S_IFDIR, |metadata| metadata.mode());
    let owner = (geteuid().as_raw(), getegid().as_raw());
    let data = kernel_options(device.as_raw_fd(), root_mode, owner, options);
    let data = CString::new(data).map_err(|_| MountError::Invalid {
        path: options.path.clone(),
        problem: "an option contains a NUL",
    })?;
    let source = options.source.as_str();
    mount(
        source,
        &options.path,
        FS_TYPE,
        mount_flags(options),
        data.as_c_str(),
    )
    .map_err(|error| failed("mount at", &options.path, error))?;
    Ok(device)
}

fn helper_options(options: &MountOptions) -> String {
    let mut list = vec![
        format!("fsname={}", options.source),
        format!("subtype={SUBTYPE}"),
        format!("max_read={READ_BYTES_MAX}"),
        "default_permissions".to_owned(),
        if options.read_only { "ro" } else { "rw" }.to_owned(),
    ];
    // nosuid and nodev are fusermount3's own default; it grants the contrary to root only.
    for (wanted, option) in [
        (options.allow_other, "allow_other"),
        (options.suid, "suid"),
        (options.dev, "dev"),
        (options.noatime, "noatime"),
    ] {
        if wanted {
            list.push(option.to_owned());
        }
    }
    list.join(",")
}

/// fusermount3 mounts and sends the descriptor over a socket, whose number it finds in
/// `_FUSE_COMMFD`. Its standard input serves as that socket: nothing else need be inherited.
fn attach_with_helper(options: &MountOptions) -> Result<OwnedFd, MountError> {
    let failed = |action, source| MountError::Failed {
        action,
        path: options.path.clone(),
        source,
    };
    let (ours, theirs) = UnixStream::pair().map_err(|error| failed("mount at", error))?;
    let child = Command::new(HELPER)
        .arg("-o")
        .arg(helper_options(options))
        .arg("--")
        .arg(&options.path)
        .env("_FUSE_COMMFD", "0")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed("start fusermount3 (package fuse3) for", error))?;
    let received = receive_descriptor(&ours);
    let output = child
        .wait_with_output()
        .map_err(|error| failed("mount at", error))?;
    match received {
        Ok(Some(device)) if output.status.success() => Ok(device),
        Err(error) if output.status.success() => Err(failed("mount at", error)),
        _ => Err(helper_error("mount", &options.path, &output.stderr)),
    }
}

fn helper_error(action: &'static str, path: &Path, stderr: &[u8]) -> MountError {
    let message = String::from_utf8_lossy(stderr).trim().to_owned();
    MountError::Helper {
        action,
        path: path.to_owned(),
        message,
    }
}

/// None if the other side closed the socket without sending one.
fn receive_descriptor(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok(descriptors.flatten().next())
}

/// How to take a mount away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detach {
    /// Not while it is in use.
    Plain,
    /// From the tree of folders at once; it ends when nobody uses it any more.
    Lazy,
    /// As lazy, and requests under way fail. For a mount that never worked.
    Abort,
}

/// Takes the topmost mount at `path` away.
pub(crate) fn detach(path: &Path, how: Detach) -> Result<(), MountError> {
    let flags = UnmountFlags::NOFOLLOW
        | match how {
            Detach::Plain => UnmountFlags::empty(),
            Detach::Lazy => UnmountFlags::DETACH,
            Detach::Abort => UnmountFlags::DETACH | UnmountFlags::FORCE,
        };
    match unmount(path, flags) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::BUSY) => Err(MountError::Busy {
            path: path.to_owned(),
        }),
        Err(rustix::io::Errno::PERM) => detach_with_helper(path, how),
        Err(error) => Err(MountError::Failed {
            action: "unmount",
            path: path.to_owned(),
            source: error.into(),
        }),
    }
}

fn detach_with_helper(path: &Path, how: Detach) -> Result<(), MountError> {
    let mut command = Command::new(HELPER);
    command.arg("-u");
    if how != Detach::Plain {
        command.arg("-z");
    }
    // Its messages are matched below.
    command
        .arg("--")
        .arg(path)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    let output = command.output().map_err(|source| MountError::Failed {
        action: "start fusermount3 (package fuse3) for",
        path: path.to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    if String::from_utf8_lossy(&output.stderr).contains("busy") {
        return Err(MountError::Busy {
            path: path.to_owned(),
        });
    }
    Err(helper_error("unmount", path, &output.stderr))
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    fn options() -> MountOptions {
        MountOptions {
            source: "pgdata@monday".into(),
            path: PathBuf::from("/mnt/pgdata"),
            read_only: false,
            allow_other: true,
            suid: false,
            dev: false,
            write_through: false,
            noatime: false,
            nohandles: false,
            readers: 4,
            dirty_bytes_max: 256 << 20,
            poll_idle_cores: true,
        }
    }

    /// The kernel and fusermount3 get the options that the design states.
    #[test]
    fn options_are_written_as_text() {
        let mut options = options();
        assert_eq!(
            kernel_options(5, 0o40755, (0, 7), &options),
            "fd=5,rootmode=40000,user_id=0,group_id=7,default_permissions,max_read=1048576,\
             allow_other"
        );
        assert_eq!(
            helper_options(&options),
            "fsname=pgdata@monday,subtype=volfs,max_read=1048576,default_permissions,rw,allow_other"
        );
        assert_eq!(
            mount_flags(&options),
            MountFlags::NOSUID | MountFlags::NODEV
        );

        (options.read_only, options.allow_other) = (true, false);
        (options.suid, options.dev, options.noatime) = (true, true, true);
        assert!(!kernel_options(5, 0o40755, (0, 7), &options).contains("allow_other"));
        assert_eq!(
            helper_options(&options),
            "fsname=pgdata@monday,subtype=volfs,max_read=1048576,default_permissions,ro,suid,dev,\
             noatime"
        );
        assert_eq!(
            mount_flags(&options),
            MountFlags::RDONLY | MountFlags::NOATIME
        );
    }

    /// A file as mount point, or a source that would be taken for more options, is refused.
    #[test]
    fn senseless_options_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let at = |path: &Path, source: &str| {
            check(&MountOptions {
                path: path.into(),
                source: source.into(),
                ..options()
            })
        };
        at(folder.path(), "pgdata").unwrap();
        assert!(matches!(
            at(&file, "pgdata"),
            Err(MountError::Invalid { .. })
        ));
        assert!(matches!(
            at(Path::new("/no/such"), "pgdata"),
            Err(MountError::Failed { .. })
        ));
        for source in ["", "a,allow_other", "a b", "a\n", "a\\"] {
            let refused = at(folder.path(), source);
            assert!(
                matches!(refused, Err(MountError::Invalid { .. })),
                "{source:?}"
            );
        }
    }

    /// A descriptor sent as fusermount3 sends it arrives; a closed socket is no descriptor.
    #[test]
    fn the_descriptor_is_received() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sent = fs::File::open("/proc/self/status").unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [sent.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(
            &theirs,
            &[IoSlice::new(&[0])],
            &mut control,
            SendFlags::empty(),
        )
        .unwrap();
        drop(theirs);

        let received = receive_descriptor(&ours).unwrap().unwrap();
        let (expected, got) = (sent.metadata().unwrap(), fs::File::from(received));
        assert_eq!(got.metadata().unwrap().ino(), expected.ino());
        assert!(receive_descriptor(&ours).unwrap().is_none());
    }

    /// Unmounting what is no mount says so.
    #[test]
    fn unmounting_a_folder_fails() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = detach(folder.path(), Detach::Plain);
        assert!(
            matches!(
                outcome,
                Err(MountError::Failed {
                    action: "unmount",
                    ..
                })
            ),
            "{outcome:?}"
        );
    }
}
