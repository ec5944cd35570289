//! The daemon's socket in the pool's folder.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const SOCKET: &str = "control.sock";
const NEW_SOCKET: &str = "control.sock.new";

/// Longest path that fits in a socket address, in bytes.
const ADDRESS_BYTES_MAX: usize = 107;

/// Listens, 0600, in place of whatever socket lies there. Only for the owner of the pool's lock:
/// a socket that lies there then is a dead one.
///
/// The name appears only once somebody listens behind it, so that who sees it can connect.
pub(crate) fn listen(pool: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(pool.join(NEW_SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = at_short_path(pool, NEW_SOCKET, |path| UnixListener::bind(path))?;
    fs::set_permissions(pool.join(NEW_SOCKET), Permissions::from_mode(0o600))?;
    fs::rename(pool.join(NEW_SOCKET), pool.join(SOCKET))?;
    Ok(listener)
}

/// Connects; `NotFound` or `ConnectionRefused` when nobody listens.
pub(crate) fn connect(pool: &Path) -> io::Result<UnixStream> {
    at_short_path(pool, SOCKET, |path| UnixStream::connect(path))
}

/// Takes the name away; connections and the listener stay.
pub(crate) fn unlink(pool: &Path) {
    if let Err(error) = fs::remove_file(pool.join(SOCKET)) {
        log::warn!("cannot remove {SOCKET}: {error}");
    }
}

/// A connection that waits at the listener; none if there is none.
pub(crate) fn accept_waiting(listener: impl AsFd) -> io::Result<Option<UnixStream>> {
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    loop {
        match rustix::net::accept_with(&listener, flags) {
            Ok(connection) => return Ok(Some(connection.into())),
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Socket addresses hold short paths only: a long one goes through the folder's descriptor.
fn at_short_path<T>(
    pool: &Path,
    name: &str,
    call: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let path = pool.join(name);
    if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
        return call(&path);
    }
    let folder = File::open(pool)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
    call(&short)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dead socket is replaced, the new one is for its owner only, and a connection that waits
    /// is found without blocking.
    #[test]
    fn a_dead_socket_is_replaced() {
        let pool = tempfile::tempdir().unwrap();
        assert_eq!(
            connect(pool.path()).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        drop(listen(pool.path()).unwrap());
        assert_eq!(
            connect(pool.path()).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );

        let listener = listen(pool.path()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mode = fs::metadata(pool.path().join(SOCKET))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(accept_waiting(&listener).unwrap().is_none());
        let _client = connect(pool.path()).unwrap();
        unlink(pool.path());
        assert!(accept_waiting(&listener).unwrap().is_some());
        assert!(connect(pool.path()).is_err());
    }

    /// A pool may lie deeper than a socket address is long.
    #[test]
    fn long_paths_work() {
        let folder = tempfile::tempdir().unwrap();
        let pool = folder.path().join("x".repeat(200));
        fs::create_dir(&pool).unwrap();
        let _listener = listen(&pool).unwrap();
        connect(&pool).unwrap();
    }
}
