//! A running mount, from mount(2) to the end of its session.

mod changes;
mod rollback;

use std::any::Any;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use fuser::{Config, Session, SessionACL};
use parking_lot::{Condvar, Mutex};

use super::adapter::Adapter;
use super::attach::{Detach, attach, detach};
use super::awake::{self, Awake};
use super::browse::{Browser, Snapshots};
use super::capabilities::{Kernel, Wishes};
use super::errno::chain;
use super::flush::{FlushReport, flush};
use super::handles::Opens;
use super::mount_table::{Visibility, mount_table, visibility};
use super::node::{Lookups, NodeId};
use super::notify::{KernelPages, Notifications};
use super::operations::{Operations, Shared};
use super::owed::OwedTimes;
use super::refresh::Refresher;
use super::requests::{RequestReport, Requests};
use super::{MountError, MountOptions, bdi, guard, workers};
use crate::volume::{FsError, FsResult, Volume};

/// How long a new mount may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the kernel may take to end a session after umount(2): longer only if another mount
/// of the same filesystem is left somewhere.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Called once, when a session has ended and its volume has been synced.
type OnEnd = Box<dyn FnOnce() + Send>;

/// A mounted volume. Dropping it leaves the mount as it is.
pub struct Mount {
    options: MountOptions,
    device: u64,
    kernel: Kernel,
    session: Arc<SessionState>,
}

/// What the session's threads and the mount share.
struct SessionState {
    phase: Mutex<Phase>,
    changed: Condvar,
    /// Until the session ends: then the volume may be closed, and the connection must go.
    live: Mutex<Option<Arc<Live>>>,
    on_end: Mutex<Option<OnEnd>>,
    refresher: Arc<Refresher>,
    owed: Arc<OwedTimes>,
    awake: Arc<Awake>,
    requests: Arc<Requests>,
}

/// How far a session is.
#[derive(Clone)]
enum Phase {
    Running,
    /// The kernel has let go of the filesystem; the volume is being synced.
    Ending,
    /// With the outcome of that sync.
    Ended(Result<(), Arc<FsError>>),
}

/// What a mount shows: a volume, and the snapshots of it.
type Shown = (Arc<Volume>, Option<Arc<dyn Snapshots>>);

struct Live {
    volume: Arc<Volume>,
    browser: Option<Arc<Browser>>,
    lookups: Arc<Lookups>,
    opens: Arc<Opens>,
    notifications: Arc<Notifications>,
}

impl Mount {
    /// Mounts a volume; the mount answers when this returns. A snapshot, or a volume that is
    /// read-only for another reason, is mounted read-only whatever the options say.
    ///
    /// `snapshots` are shown in it under [`ENTRANCE`](super::ENTRANCE); none: there is no such
    /// name.
    ///
    /// `on_end` is called once, on a thread of the session, when it has ended for whatever reason
    /// (unmounted here or by others, or the connection was cut) and the volume has been synced. It
    /// is not called if this fails.
    pub fn start(
        volume: Arc<Volume>,
        snapshots: Option<Arc<dyn Snapshots>>,
        mut options: MountOptions,
        on_end: Box<dyn FnOnce() + Send>,
    ) -> Result<Arc<Mount>, MountError> {
        guard::log_panics();
        options.read_only |= volume.is_read_only();
        options.readers = options.readers.max(MountOptions::READERS_MIN);
        // As the mount table shows it.
        options.path = fs::canonicalize(&options.path)
            .map_err(|source| failed("look at", &options.path, source))?;
        let device = attach(&options)?;
        Self::serve((volume, snapshots), options, device, on_end)
    }

    /// Starts the session on a mounted filesystem, and takes the mount away if that fails.
    fn serve(
        shown: Shown,
        options: MountOptions,
        device: OwnedFd,
        on_end: OnEnd,
    ) -> Result<Arc<Mount>, MountError> {
        let path = options.path.clone();
        let outcome = start_session(shown, &options, device, on_end).and_then(|started| {
            let (session, kernel) = started;
            match wait_for_answer(&path) {
                Ok(device) => Ok(Mount {
                    options,
                    device,
                    kernel,
                    session,
                }),
                Err(error) => {
                    session.on_end.lock().take();
                    Err(error)
                }
            }
        });
        match outcome {
            Ok(mount) => {
                bdi::configure(mount.device, mount.options.dirty_bytes_max);
                log::info!("mounted {} at {}", mount.options.source, path.display());
                Ok(Arc::new(mount))
            }
            Err(error) => {
                if let Err(error) = detach(&path, Detach::Abort) {
                    log::warn!("a mount that failed to start stays: {}", chain(&error));
                }
                Err(error)
            }
        }
    }

    /// How and where it is mounted; the path is absolute and without symbolic links.
    pub fn options(&self) -> &MountOptions {
        &self.options
    }

    /// The mount point.
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// Device number (`st_dev`) of the files in it.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Whether the session runs.
    pub fn is_alive(&self) -> bool {
        matches!(*self.session.phase.lock(), Phase::Running)
    }

    /// What was asked of it since it was mounted.
    pub fn requests(&self) -> RequestReport {
        self.session.requests.report()
    }

    /// Whether the volume may be rolled back while it is mounted: the kernel can be told to drop
    /// all names that it knows (FUSE 7.44).
    pub fn supports_rollback(&self) -> bool {
        self.kernel.has_epochs
    }

    /// Unmounts. Not lazy: waits until the session has ended and the volume is durable; `Busy` if
    /// anything is in use, then it stays mounted. Lazy: takes it out of the tree of folders at
    /// once, and the session ends when the last user has gone.
    ///
    /// A mount that somebody else has unmounted is only waited for.
    pub fn unmount(&self, lazy: bool) -> Result<(), MountError> {
        if self.is_alive() {
            let path = self.path();
            let table =
                mount_table().map_err(|source| failed("read the mount table for", path, source))?;
            match visibility(&table, path, self.device) {
                Visibility::Top => detach(path, if lazy { Detach::Lazy } else { Detach::Plain })?,
                Visibility::Covered => {
                    return Err(MountError::Covered {
                        path: path.to_owned(),
                    });
                }
                Visibility::Gone => {}
            }
        }
        if lazy { Ok(()) } else { self.wait_for_end() }
    }

    fn wait_for_end(&self) -> Result<(), MountError> {
        let mut phase = self.session.phase.lock();
        loop {
            match &*phase {
                Phase::Running => {
                    let wait = self.session.changed.wait_for(&mut phase, END_TIMEOUT);
                    if wait.timed_out() && matches!(*phase, Phase::Running) {
                        return Err(MountError::Lingering {
                            path: self.path().to_owned(),
                        });
                    }
                }
                Phase::Ending => self.session.changed.wait(&mut phase),
                Phase::Ended(Ok(())) => return Ok(()),
                Phase::Ended(Err(error)) => {
                    let (path, source) = (self.path().to_owned(), error.clone());
                    return Err(MountError::Unsynced { path, source });
                }
            }
        }
    }

    /// Makes the kernel hand over its dirty pages of the files that are open for writing, as far
    /// as it gets within `deadline`. They are then acknowledged, not yet durable.
    pub fn flush_open_files(&self, deadline: Duration) -> FlushReport {
        let Some(live) = self.session.live() else {
            return FlushReport::default();
        };
        let epoch = live.volume.epoch();
        let nodes = live.opens.written(epoch);
        let is_open = |node| live.opens.is_open_to_write(node);
        flush(self.path(), self.device, &nodes, deadline, &is_open)
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> MountError {
    MountError::Failed {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Answers INIT and starts the readers.
fn start_session(
    (volume, snapshots): Shown,
    options: &MountOptions,
    device: OwnedFd,
    on_end: OnEnd,
) -> Result<(Arc<SessionState>, Kernel), MountError> {
    let failed = |source| failed("start the session of", &options.path, source);
    let (lookups, opens) = (Arc::new(Lookups::new()), Arc::new(Opens::new()));
    let kernel = Arc::new(OnceLock::new());
    let refresher = Arc::new(Refresher::new());
    let owed = Arc::new(OwedTimes::new(options.writeback_cache()));
    let pages = Arc::new(KernelPages::default());
    let browser = snapshots.map(|snapshots| Arc::new(Browser::new(snapshots, volume.clone())));
    let shared = Shared {
        volume: volume.clone(),
        lookups: lookups.clone(),
        opens: opens.clone(),
        refresher: refresher.clone(),
        owed: owed.clone(),
        pages: pages.clone(),
        browser: browser.clone(),
    };
    let operations = Operations::start(shared, options).map_err(failed)?;
    let awake = Arc::new(Awake::new(
        options.poll_idle_cores && awake::do_cores_halt(),
    ));
    let requests = Arc::new(Requests::new(awake.clone()));
    let adapter = Adapter {
        operations,
        requests: requests.clone(),
        wishes: Wishes {
            writeback_cache: options.writeback_cache(),
            lasting_handles: !options.nohandles,
        },
        kernel: kernel.clone(),
    };
    let mut config = Config::default();
    config.n_threads = Some(options.readers);
    // All readers share one descriptor: requests on cloned ones could not be taken over.
    config.clone_fd = false;
    let notification_device = device.try_clone().map_err(failed)?;
    // Who may use the mount is checked by the kernel (allow_other), not again with each request.
    let session = Session::from_fd(adapter, device, SessionACL::All, config).map_err(failed)?;
    let Some(kernel) = kernel.get().copied() else {
        return Err(failed(io::Error::other("the kernel sent no INIT")));
    };
    let notifier = session.notifier();
    let notifications = Arc::new(Notifications {
        device: notification_device,
        notifier,
    });
    pages.connect(&notifications);
    let live = Live {
        volume: volume.clone(),
        lookups,
        opens,
        notifications,
        browser,
    };
    let state = Arc::new(SessionState {
        phase: Mutex::new(Phase::Running),
        changed: Condvar::new(),
        live: Mutex::new(Some(Arc::new(live))),
        on_end: Mutex::new(Some(on_end)),
        refresher,
        owed,
        awake,
        requests,
    });
    workers::spawn("volfs-owed", {
        let state = state.clone();
        move || state.owed.run(|node| state.drop_unused(node))
    })
    .map_err(failed)?;
    workers::spawn("volfs-attributes", {
        let state = state.clone();
        // Without the writeback cache the kernel takes our times as they are.
        let may_be_wrong = options.writeback_cache() && kernel.can_prune;
        move || {
            let drop_unused = |node| !may_be_wrong || state.drop_unused(node);
            state
                .refresher
                .run(|node| state.forget_attributes(node), drop_unused);
        }
    })
    .map_err(failed)?;
    if state.awake.is_wanted() {
        let awake = state.awake.clone();
        let keep = move || awake.run(awake::keep_cores_awake);
        workers::spawn("volfs-awake", keep).map_err(failed)?;
    }
    // fuser starts the readers from this thread, and they inherit what it is.
    workers::spawn("volfs-session", {
        let (state, path) = (state.clone(), options.path.clone());
        move || state.run(session, volume, &path)
    })
    .inspect_err(|_| {
        state.refresher.end();
        state.owed.end();
        state.awake.end();
    })
    .map_err(failed)?;
    Ok((state, kernel))
}

/// Asks the mount for its device number, as any other program would; on a thread of its own, which
/// a mount that hangs may keep.
fn wait_for_answer(path: &Path) -> Result<u64, MountError> {
    let (answer, answered) = bounded(1);
    let asked: PathBuf = path.to_owned();
    let ask = move || -> io::Result<u64> {
        rustix::fs::statfs(&asked)?;
        Ok(fs::metadata(&asked)?.dev())
    };
    thread::Builder::new()
        .name("volfs-probe".into())
        .spawn(move || answer.send(ask()))
        .map_err(|source| failed("start the session of", path, source))?;
    match answered.recv_timeout(ANSWER_TIMEOUT) {
        Ok(outcome) => outcome.map_err(|source| failed("use the new mount at", path, source)),
        Err(_) => Err(MountError::NoAnswer {
            path: path.to_owned(),
        }),
    }
}

impl SessionState {
    /// None once the session has ended.
    fn live(&self) -> Option<Arc<Live>> {
        self.live.lock().clone()
    }

    /// None if the kernel does not know the node.
    fn live_with(&self, node: NodeId) -> Option<Arc<Live>> {
        self.live()
            .filter(|live| node == NodeId::ROOT || live.lookups.is_known(node))
    }

    fn forget_attributes(&self, node: NodeId) {
        if let Some(live) = self.live()
            && let Err(error) = live.notifications.drop_attributes(node)
        {
            log::debug!("the kernel keeps attributes of {node:?}: {error}");
        }
    }

    /// Whether the kernel has let go of the node; it answers with FORGET, so that the first call
    /// says no.
    fn drop_unused(&self, node: NodeId) -> bool {
        let Some(live) = self.live() else { return true };
        if !live.lookups.is_known(node) {
            return true;
        }
        let dropped = live.notifications.drop_unused(node);
        if let Err(error) = &dropped {
            log::debug!("the kernel keeps {node:?}: {error}");
        }
        dropped.is_err()
    }

    fn set_phase(&self, phase: Phase) {
        *self.phase.lock() = phase;
        self.changed.notify_all();
    }

    /// Runs the session to its end.
    ///
    /// 1. fuser's readers end, because the kernel let go of the filesystem or cut the connection.
    /// 2. Replies that are still parked are sent, and the threads beside the readers end.
    /// 3. Our last descriptors of the connection are closed: callers that still wait get errors.
    /// 4. The volume is synced (an unmounted FUSE filesystem gets no last fsync), then let go.
    /// 5. Who waits in `unmount` is woken, and `on_end` is called.
    fn run(&self, session: Session<Adapter>, volume: Arc<Volume>, path: &Path) {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| session.run()));
        *self.live.lock() = None;
        self.refresher.end();
        self.owed.end();
        self.awake.end();
        log_end(outcome);
        take_dead_mount_away(path);
        self.set_phase(Phase::Ending);
        let synced = guard::catch("end of the session", || close(&volume));
        drop(volume);
        let synced =
            synced.unwrap_or_else(|_| Err(FsError::Poisoned("the last sync panicked".to_owned())));
        if let Err(error) = &synced {
            log::error!("after unmounting {}: {}", path.display(), chain(error));
        }
        self.set_phase(Phase::Ended(synced.map_err(Arc::new)));
        log::info!("unmounted {}", path.display());
        if let Some(on_end) = self.on_end.lock().take() {
            on_end();
        }
    }
}

/// What the kernel knew when it let go, it has forgotten without saying so.
fn close(volume: &Volume) -> FsResult<()> {
    if !volume.is_read_only() {
        volume.reap_orphans()?;
    }
    volume.sync()
}

/// Unmounting and aborting the connection are normal ends.
fn log_end(outcome: Result<io::Result<()>, Box<dyn Any + Send>>) {
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) if is_normal_end(&error) => {}
        Ok(Err(error)) => log::error!("the FUSE session broke: {}", chain(&error)),
        Err(_) => log::error!("the FUSE session panicked"),
    }
}

fn is_normal_end(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENODEV | libc::ECONNABORTED)
    )
}

/// A connection that ended without unmounting leaves a mount that answers with errors only.
fn take_dead_mount_away(path: &Path) {
    if let Err(error) = super::clean_stale(path) {
        log::warn!("a dead mount stays: {}", chain(&error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that answers has its device number; one that does not exist is an error at once.
    #[test]
    fn a_mount_must_answer() {
        let folder = tempfile::tempdir().unwrap();
        let device = fs::metadata(folder.path()).unwrap().dev();
        assert_eq!(wait_for_answer(folder.path()).unwrap(), device);
        let missing = wait_for_answer(&folder.path().join("missing"));
        assert!(
            matches!(missing, Err(MountError::Failed { .. })),
            "{missing:?}"
        );
    }

    /// Unmounting and aborting are normal ends; other errors are not.
    #[test]
    fn ends_are_told_apart() {
        let normal = |number| is_normal_end(&io::Error::from_raw_os_error(number));
        assert!(normal(libc::ENODEV) && normal(libc::ECONNABORTED));
        assert!(!normal(libc::EBADF) && !is_normal_end(&io::Error::other("bug")));
    }

    fn mount_in(phase: Phase) -> Mount {
        let options = MountOptions {
            source: "pgdata".into(),
            path: "/no/such/mount".into(),
            read_only: false,
            allow_other: false,
            suid: false,
            dev: false,
            write_through: false,
            noatime: false,
            nohandles: false,
            readers: 4,
            dirty_bytes_max: 1 << 20,
            poll_idle_cores: false,
        };
        let awake = Arc::new(Awake::new(false));
        let session = Arc::new(SessionState {
            phase: Mutex::new(phase),
            changed: Condvar::new(),
            live: Mutex::new(None),
            on_end: Mutex::new(None),
            refresher: Arc::new(Refresher::new()),
            owed: Arc::new(OwedTimes::new(false)),
            requests: Arc::new(Requests::new(awake.clone())),
            awake,
        });
        Mount {
            options,
            device: 0,
            kernel: Kernel {
                has_epochs: true,
                can_prune: true,
            },
            session,
        }
    }

    /// Unmounting waits until the volume is synced, and says so if that failed.
    #[test]
    fn unmounting_waits_for_the_last_sync() {
        let mount = mount_in(Phase::Running);
        assert!(mount.is_alive());
        thread::scope(|scope| {
            let waiter = scope.spawn(|| mount.unmount(false));
            mount.session.set_phase(Phase::Ending);
            mount.session.set_phase(Phase::Ended(Ok(())));
            waiter.join().unwrap().unwrap();
        });
        assert!(!mount.is_alive());

        let error = Arc::new(FsError::Poisoned("disk".into()));
        let mount = mount_in(Phase::Ended(Err(error)));
        assert!(matches!(
            mount.unmount(false),
            Err(MountError::Unsynced { .. })
        ));
        mount.unmount(true).unwrap();
    }

    /// A session that has ended has nothing to flush and nothing to forget.
    #[test]
    fn an_ended_session_is_left_alone() {
        let mount = mount_in(Phase::Ended(Ok(())));
        assert_eq!(
            mount.flush_open_files(Duration::ZERO),
            FlushReport::default()
        );
        mount.after_rollback(0);
        assert_eq!(
            (mount.device(), mount.path()),
            (0, Path::new("/no/such/mount"))
        );
        assert!(mount.supports_rollback());
    }
}
