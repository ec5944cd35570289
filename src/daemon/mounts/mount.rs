//! Mounting.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::MountTable;
use super::ground::{self, Ground};
use super::kernel;
use super::options;
use super::saved::SavedMount;
use super::sessions::{Place, Session};
use super::users::{holders_of, in_use};
use crate::base::Ino;
use crate::daemon::{Kind, MountVolume, Mounted, ServiceError, ServiceResult};
use crate::fuse::{self, ENTRANCE, Mount, Snapshots};
use crate::volume::{Request, Volume};

/// What is to be mounted.
pub(crate) struct Opened {
    /// A volume or a snapshot.
    pub(crate) volume: Arc<Volume>,
    /// The snapshots that are shown in it.
    pub(crate) snapshots: Option<Arc<dyn Snapshots>>,
    /// What the pool says of [`fuse::MountOptions::poll_idle_cores`].
    pub(crate) poll_idle_cores: bool,
}

impl Opened {
    /// Whether the volume has a file of its own where its snapshots would be.
    fn hides_snapshots(&self) -> bool {
        let name = ENTRANCE.as_bytes();
        let look = || self.volume.lookup(&Request::default(), Ino::ROOT, name);
        self.snapshots.is_some() && look().is_ok()
    }
}

/// What the list and the bare folder were before a mount, to be put back if it fails.
struct Prepared {
    saved_before: Option<SavedMount>,
    protected_now: bool,
}

impl MountTable {
    /// Mounts. `open` gives the volume or snapshot; it runs first, so that an unknown name is
    /// told before anything is made.
    pub(crate) fn mount(
        &self,
        request: &MountVolume,
        open: impl FnOnce() -> ServiceResult<Opened>,
    ) -> ServiceResult<Mounted> {
        let _work = self.sessions.begin()?;
        let _turn = self.turn.lock();
        self.let_end(self.sessions.find(&request.source));
        let opened = open()?;
        let path = match &request.path {
            Some(path) => ground::resolve(path)?,
            None => {
                let path = self.default_path(&request.source);
                ground::create_default(&self.pool, &path)?;
                path
            }
        };
        match self.sessions.find(&request.source) {
            Some(session) => self.mount_beside(&session, request, path),
            None => self.mount_first(request, path, opened),
        }
    }

    /// A source that has a session already: nothing to do at the same place, a bind mount at
    /// another one.
    fn mount_beside(
        &self,
        session: &Session,
        request: &MountVolume,
        path: PathBuf,
    ) -> ServiceResult<Mounted> {
        if let Some(place) = session.places.iter().find(|place| place.path == path) {
            check_same_place(session, place, request)?;
            return Ok(Mounted {
                path,
                warnings: Vec::new(),
            });
        }
        let Some(first) = session.places.first() else {
            return Err(in_use(&request.source, &holders_of(session))
                .hint("it was detached and cannot be mounted again before they have ended"));
        };
        let at = first.path.display();
        if !rustix::process::geteuid().is_root() {
            let message = format!("'{}' is already mounted at '{at}'", request.source);
            return Err(ServiceError::new(Kind::Busy, message)
                .hint("root could mount it at a second place too"));
        }
        if !session.is_writable() && !request.flags.read_only && request.source.snapshot.is_none() {
            let message = format!("volume '{}' is mounted read-only at '{at}'", request.source);
            return Err(ServiceError::new(Kind::Busy, message)
                .hint("unmount it there first, or mount it here with --read-only"));
        }
        let mut flags = request.flags.clone();
        flags.read_only |= request.source.snapshot.is_some();
        // Access times are kept by the session, whichever place a file is read at.
        flags.noatime = session.mount.options().noatime;
        let mut warnings = Vec::new();
        if flags.noatime != request.flags.noatime {
            let how = if flags.noatime { "noatime" } else { "relatime" };
            warnings.push(format!(
                "'{}' is mounted with {how} at '{at}', and so it is here",
                request.source
            ));
        }
        self.cover(&path, request, &mut warnings, |ground| {
            kernel::bind(&first.path, &ground.path, &flags).map_err(|error| {
                ServiceError::environment("mount a second time at", &ground.path, &error)
            })
        })?;
        self.sessions.add_place(
            session,
            Place {
                path: path.clone(),
                flags: request.flags.clone(),
            },
        );
        log::info!(
            "'{}' is also mounted at '{}'",
            request.source,
            path.display()
        );
        Ok(Mounted { path, warnings })
    }

    /// The first place: a FUSE session of its own.
    fn mount_first(
        &self,
        request: &MountVolume,
        path: PathBuf,
        opened: Opened,
    ) -> ServiceResult<Mounted> {
        let source = &request.source;
        let (mut options, mut warnings) = options::plan(source, &path, &request.flags)?;
        if opened.hides_snapshots() {
            warnings.push(format!(
                "'{source}' has a file '{ENTRANCE}' of its own: its snapshots cannot be seen there \
                 before it bears another name"
            ));
        }
        let Opened {
            volume,
            snapshots,
            poll_idle_cores,
        } = opened;
        options.poll_idle_cores &= poll_idle_cores;
        options.dirty_bytes_max = volume.accepted_bytes_max();
        let id = self.sessions.reserve();
        let mount = self.cover(&path, request, &mut warnings, |_| {
            let sessions = Arc::downgrade(&self.sessions);
            let on_end = Box::new(move || {
                if let Some(sessions) = sessions.upgrade() {
                    sessions.ended(id);
                }
            });
            Ok(Mount::start(volume.clone(), snapshots, options, on_end)?)
        })?;
        let place = Place {
            path: path.clone(),
            flags: request.flags.clone(),
        };
        self.sessions
            .enter(id, source.clone(), volume, mount, place);
        Ok(Mounted { path, warnings })
    }

    /// Checks the ground, notes the wish, protects the bare folder, mounts.
    ///
    /// 1. The list: what is wanted, and that the folder's flag is ours. A crash after it leaves a
    ///    wish, and an umount that clears a flag which is not there.
    /// 2. The immutable flag. A crash after it leaves a protected folder that is listed as such.
    /// 3. The mount. If it fails, 2 and 1 are taken back.
    fn cover<T>(
        &self,
        path: &Path,
        request: &MountVolume,
        warnings: &mut Vec<String>,
        mount: impl FnOnce(&Ground) -> ServiceResult<T>,
    ) -> ServiceResult<T> {
        fuse::clean_stale(path)?;
        let table = ground::mount_table()?;
        let ground = ground::inspect(path, request.flags.over, &self.pool, &table)?;
        let prepared = self.prepare(&ground, request, warnings);
        mount(&ground).inspect_err(|_| self.take_back(&ground, prepared))
    }

    fn prepare(
        &self,
        ground: &Ground,
        request: &MountVolume,
        warnings: &mut Vec<String>,
    ) -> Prepared {
        let mut saved = self.saved.lock();
        let saved_before = saved.at(&ground.path).cloned();
        let protect = ground.empty
            && rustix::process::geteuid().is_root()
            && ground::can_protect(&ground.path);
        let line = SavedMount {
            source: request.source.clone(),
            path: ground.path.clone(),
            flags: request.flags.clone(),
            immutable: protect || saved_before.as_ref().is_some_and(|line| line.immutable),
        };
        if let Err(error) = saved.add(line) {
            // A full disk must not keep a database from its data; a flag that nobody would
            // remember is not set.
            warnings.push(format!("the mount will not be remembered: {error}"));
            return Prepared {
                saved_before,
                protected_now: false,
            };
        }
        let set = if protect {
            ground::set_immutable(&ground.path, true)
        } else {
            Ok(())
        };
        if let Err(error) = &set {
            // Host filesystems without the flag are many; the mount is as good without it.
            log::info!("cannot make '{}' immutable: {error}", ground.path.display());
        }
        Prepared {
            saved_before,
            protected_now: protect && set.is_ok(),
        }
    }

    fn take_back(&self, ground: &Ground, prepared: Prepared) {
        let path = &ground.path;
        if prepared.protected_now
            && let Err(error) = ground::set_immutable(path, false)
        {
            log::warn!(
                "cannot clear the immutable flag of '{}': {error}",
                path.display()
            );
        }
        let mut saved = self.saved.lock();
        let restored = match prepared.saved_before {
            Some(line) => saved.add(line),
            None => saved.remove(path),
        };
        if let Err(error) = restored {
            log::warn!("{error}");
        }
    }

    /// What was mounted when the pool was last in use.
    pub(crate) fn wanted(&self) -> ServiceResult<Vec<MountVolume>> {
        let lines = self.saved.lock().all()?;
        // A default place is asked for as such: it is made again if it is missing.
        let request = |line: SavedMount| MountVolume {
            path: (line.path != self.default_path(&line.source)).then_some(line.path),
            source: line.source,
            flags: line.flags,
        };
        Ok(lines.into_iter().map(request).collect())
    }
}

fn check_same_place(session: &Session, place: &Place, request: &MountVolume) -> ServiceResult<()> {
    let is_snapshot = session.source.snapshot.is_some();
    if is_snapshot || place.flags.read_only == request.flags.read_only {
        return Ok(());
    }
    let how = if place.flags.read_only {
        "read-only"
    } else {
        "read-write"
    };
    let at = place.path.display();
    let message = format!(
        "volume '{}' is already mounted {how} at '{at}'",
        session.source
    );
    Err(ServiceError::new(Kind::Busy, message).hint(format!("unmount it first: volfs umount {at}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::mounts::PoolSnapshots;
    use crate::pool::{NewVolume, Pool, PoolOptions};
    use crate::volume::ops::{FileKind, NewNode};

    /// Only a volume with such a file of its own hides its snapshots; a snapshot shows none.
    #[test]
    fn a_file_in_the_way_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        Pool::create(folder.path()).unwrap();
        let pool = Pool::open(folder.path(), PoolOptions::default()).unwrap();
        let new = NewVolume {
            name: "v".parse().unwrap(),
            block_size: None,
            labels: Default::default(),
            uid: 0,
            gid: 0,
            mode: 0o755,
            limit_bytes: None,
        };
        pool.create_volume(&new).unwrap();
        let volume = pool.open_volume(&new.name).unwrap();
        let opened = |shows: bool| {
            let snapshots = || PoolSnapshots::new(pool.clone(), new.name.clone());
            Opened {
                volume: volume.clone(),
                snapshots: shows.then(|| Arc::new(snapshots()) as Arc<dyn Snapshots>),
                poll_idle_cores: true,
            }
        };
        assert!(!opened(true).hides_snapshots());
        let file = NewNode {
            kind: FileKind::Regular,
            perm: 0o644,
            umask: 0,
            rdev: 0,
        };
        let name = ENTRANCE.as_bytes();
        volume
            .create(&Request::default(), Ino::ROOT, name, &file)
            .unwrap();
        assert!(opened(true).hides_snapshots());
        assert!(!opened(false).hides_snapshots());
    }
}
