//! The life of a daemon.
//!
//! 1. Take the pool's lock and open the pool. Whoever loses a race waits here, and leaves when
//!    the winner answers.
//! 2. Listen: the socket's name appears when requests can be answered.
//! 3. Serve until a signal, a request to stop, or (unless it stays) the end of the last mount.
//!    From then on requests are answered with "stopping" and none is begun; the name of the
//!    socket goes, and every connection that had come before is still answered. So a client that
//!    hears nothing knows that the daemon died.
//! 4. Unmount, close the pool, release the lock. Policies and the trash are not waited for.

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::serve::Listener;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

use super::access::{OWNER_PATIENCE, check_exists, locked};
use super::chores::Chores;
use super::client::Client;
use super::service::{Life, Service};
use super::wait::OwnerWatch;
use super::{Kind, MountVolume, Mounted, ServiceError, ServiceResult, api, launch, socket};
use crate::base::{Clock, SystemClock};
use crate::pool::PoolError;

/// A daemon that was started for a mount, but never asked for it, ends after this time at the
/// latest; and how often chores are looked for: the trash, policies.
const IDLE_PATIENCE: Duration = Duration::from_secs(15);

/// How long requests that are under way may take when the daemon ends.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// How long those who have connected, and have not been heard yet, may take to send their request:
/// from then on such a connection is closed without an answer.
const DRAIN_PATIENCE: Duration = Duration::from_millis(100);

/// How to be a daemon.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// The pool's folder, absolute.
    pub pool: PathBuf,
    /// When it ends.
    pub life: Life,
    /// Started in the background by a command that waits for a report.
    pub detached: bool,
    /// Mounted before it serves.
    pub mount: Option<MountVolume>,
}

/// Opened, or somebody else serves the pool.
enum Opened {
    Here(Box<Service>),
    Elsewhere { pid: u32 },
}

impl Daemon {
    /// Serves until told to end. `on_mount` hears of the mount that was asked for.
    pub fn run(&self, on_mount: impl FnOnce(&Mounted)) -> ServiceResult<()> {
        let begun = self.begin(on_mount);
        if self.detached {
            let outcome = begun.as_ref().map(drop);
            launch::report(outcome).map_err(|error| {
                ServiceError::environment("redirect to", Path::new("/dev/null"), &error)
            })?;
        }
        let Some((service, listener)) = begun? else {
            return Ok(());
        };
        let served = serve_until_stopped(&service, listener, &self.pool);
        let closed = service.close();
        log::info!("the daemon ends");
        served.and(closed)
    }

    /// Everything up to the point where requests can be answered; none if another daemon already
    /// serves the pool.
    fn begin(
        &self,
        on_mount: impl FnOnce(&Mounted),
    ) -> ServiceResult<Option<(Arc<Service>, StdListener)>> {
        // Before the pool is opened: a signal from here on ends the daemon in good order.
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| {
            ServiceError::new(Kind::Environment, format!("cannot handle signals: {error}"))
        })?;
        let service = match self.open()? {
            Opened::Here(service) => Arc::<Service>::from(service),
            Opened::Elsewhere { .. } if self.detached => return Ok(None),
            Opened::Elsewhere { pid } => {
                let message = format!(
                    "a daemon (pid {pid}) serves pool '{}' already",
                    self.pool.display()
                );
                return Err(ServiceError::new(Kind::Busy, message)
                    .hint("without --foreground, `volfs mount` uses it"));
            }
        };
        self.watch_signals(signals, service.clone());
        let prepared = self.prepare(&service, on_mount);
        match prepared {
            Ok(listener) => {
                log::info!("volfs {} serves '{}'", super::VERSION, self.pool.display());
                Ok(Some((service, listener)))
            }
            Err(error) => {
                if let Err(error) = service.close() {
                    log::error!("{error}");
                }
                Err(error)
            }
        }
    }

    fn prepare(
        &self,
        service: &Service,
        on_mount: impl FnOnce(&Mounted),
    ) -> ServiceResult<StdListener> {
        let fail = |error: io::Error| ServiceError::environment("listen in", &self.pool, &error);
        if let Some(mount) = &self.mount {
            on_mount(&service.mount(mount)?);
        }
        let listener = socket::listen(&self.pool).map_err(fail)?;
        Ok(listener)
    }

    fn open(&self) -> ServiceResult<Opened> {
        check_exists(&self.pool)?;
        let clock = SystemClock::new();
        loop {
            let failed = |error: io::Error| ServiceError::environment("watch", &self.pool, &error);
            let watch = OwnerWatch::new(&self.pool).map_err(failed)?;
            let owner = match Client::connect(&self.pool)? {
                Some(client) if !client.daemon().stopping => {
                    return Ok(Opened::Elsewhere {
                        pid: client.daemon().pid,
                    });
                }
                Some(client) => client.daemon().pid,
                None => match Service::open(&self.pool, self.life) {
                    Ok(service) => return Ok(Opened::Here(Box::new(service))),
                    Err(PoolError::Locked { pid, .. }) => pid,
                    Err(error) => return Err(error.into()),
                },
            };
            let rest = OWNER_PATIENCE.saturating_sub(clock.monotonic());
            if rest.is_zero() {
                return Err(locked(&self.pool, owner));
            }
            watch.wait(owner, rest).map_err(failed)?;
        }
    }

    fn watch_signals(&self, mut signals: Signals, service: Arc<Service>) {
        let detached = self.detached;
        // It ends with the process.
        thread::spawn(move || {
            for signal in signals.forever() {
                if signal == SIGHUP && detached {
                    log::info!("SIGHUP means nothing to a daemon without a terminal");
                    continue;
                }
                log::info!("signal {signal}: the daemon ends");
                service.sessions().stop();
            }
        });
    }
}

/// Answers requests until the daemon is to end; nobody listens any more when it returns.
pub(crate) fn serve_until_stopped(
    service: &Arc<Service>,
    listener: StdListener,
    pool: &Path,
) -> ServiceResult<()> {
    let fail = |error: io::Error| ServiceError::environment("listen in", pool, &error);
    listener.set_nonblocking(true).map_err(fail)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(fail)?;
    let served = runtime.block_on(serve(service, listener, pool));
    // Requests that outlast their patience fail at the closed pool.
    runtime.shutdown_background();
    served
}

async fn serve(service: &Arc<Service>, listener: StdListener, pool: &Path) -> ServiceResult<()> {
    let fail = |error: io::Error| ServiceError::environment("listen in", pool, &error);
    let (stop, stopped) = watch::channel(false);
    let (drained, all_answered) = oneshot::channel();
    let listener = DrainingListener {
        inner: UnixListener::from_std(listener).map_err(fail)?,
        stopped,
        drained: Some(drained),
    };
    let server =
        axum::serve(listener, api::router(service.clone())).with_graceful_shutdown(async move {
            // An error is the listener's end, which is the same.
            let _ = all_answered.await;
            tokio::time::sleep(DRAIN_PATIENCE).await;
        });
    let chores = start_chores(service).map_err(fail)?;
    let serving = tokio::spawn(server.into_future());
    live(service, &chores).await;
    socket::unlink(pool);
    // An error means that nobody listens any more.
    let _ = stop.send(true);
    match tokio::time::timeout(REQUEST_PATIENCE, serving).await {
        Err(_) => log::warn!("requests are still under way: the daemon ends without them"),
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => return Err(fail(error)),
        Ok(Err(error)) => return Err(fail(io::Error::other(error))),
    }
    Ok(())
}

/// The trash and policies: they may take seconds, as the flush before a snapshot does.
fn start_chores(service: &Arc<Service>) -> io::Result<Chores> {
    let service = service.clone();
    Chores::start(move || {
        service.expire_trash(true);
        service.run_policies();
    })
}

/// Until the daemon is to end.
async fn live(service: &Arc<Service>, chores: &Chores) {
    while !service.sessions().is_stopping() {
        // A timeout is a look as good as any.
        let _ = tokio::time::timeout(IDLE_PATIENCE, service.sessions().woken()).await;
        let sessions = service.sessions().clone();
        // Letting a session go may wait for its threads.
        if let Err(error) = tokio::task::spawn_blocking(move || sessions.reap()).await {
            log::error!("{error}");
        }
        chores.ask();
    }
}

/// Accepts until it is told to stop, and then whatever has connected before.
struct DrainingListener {
    inner: UnixListener,
    stopped: watch::Receiver<bool>,
    drained: Option<oneshot::Sender<()>>,
}

impl DrainingListener {
    /// A connection that came before the end; none when all of them are accepted.
    fn accept_rest(&self) -> io::Result<Option<UnixStream>> {
        socket::accept_waiting(&self.inner)?
            .map(UnixStream::from_std)
            .transpose()
    }
}

impl Listener for DrainingListener {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        loop {
            if *self.stopped.borrow() {
                match self.accept_rest() {
                    Ok(Some(connection)) => return (connection, ()),
                    Ok(None) => {}
                    Err(error) => log::warn!("cannot accept a connection: {error}"),
                }
                if let Some(drained) = self.drained.take() {
                    // An error means that the server has ended already.
                    let _ = drained.send(());
                }
                std::future::pending::<()>().await;
            }
            tokio::select! {
                accepted = self.inner.accept() => match accepted {
                    Ok((connection, _)) => return (connection, ()),
                    Err(error) => {
                        log::warn!("cannot accept a connection: {error}");
                        // Out of descriptors, most likely: others must close some first.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                _ = self.stopped.changed() => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::pool::Pool;

    /// A test that hangs says so after this time.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// The daemon's end does not wait for chores that are under way, however long they take.
    #[test]
    fn chores_do_not_delay_the_end() {
        let folder = tempfile::tempdir().unwrap();
        Pool::create(folder.path()).unwrap();
        let service = Arc::new(Service::open(folder.path(), Life::Stays).unwrap());
        let (begun, begins) = channel();
        let (go_on, goes_on) = channel::<()>();
        let chores = Chores::start(move || {
            begun.send(()).unwrap();
            // An error is the end of the test.
            let _ = goes_on.recv();
        });
        let chores = chores.unwrap();
        let (ended, ends) = channel();
        let living = thread::spawn({
            let service = service.clone();
            move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(live(&service, &chores));
                ended.send(()).unwrap();
            }
        });
        // Something has ended: a look.
        service.sessions().ended(0);
        begins.recv_timeout(PATIENCE).unwrap();
        service.sessions().stop();
        ends.recv_timeout(PATIENCE)
            .expect("the end waits for the chores");
        drop(go_on);
        living.join().unwrap();
        service.close().unwrap();
    }
}
