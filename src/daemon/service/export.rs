//! Files of a snapshot, written into a folder of the host.
//!
//! It is this process that writes, with its own rights. Nobody gains rights by that: the control
//! socket lets only the user in whose daemon it is, and root.

use std::path::{Component, Path};

use super::Service;
use crate::base::progress::Progress;
use crate::daemon::mounts::in_use;
use crate::daemon::{ExportFiles, Kind, RemoveSnapshot, ServiceError, ServiceResult, Source};
use crate::transfer::{ExportOptions, Exported, HostFolder, export};
use crate::volume::ops::{RestoreError, RestorePath};

impl Service {
    /// Writes files of a snapshot into a folder of the host. The snapshot, and so its volume, are
    /// in use meanwhile.
    pub fn export(
        &self,
        request: &ExportFiles,
        progress: &dyn Progress,
    ) -> ServiceResult<Exported> {
        let paths = request.paths.iter().map(|text| text.parse());
        let paths: Result<Vec<RestorePath>, RestoreError> = paths.collect();
        let options = ExportOptions {
            paths: paths?,
            force: request.force,
        };
        let _reading = self.begin_reading(Source {
            volume: request.volume.clone(),
            snapshot: Some(request.snapshot.clone()),
        });
        // Who has the volume open keeps it from being removed.
        let _volume = self.pool.open_volume(&request.volume)?;
        let snapshot = self
            .pool
            .open_snapshot(&request.volume, &request.snapshot)?;
        let folder = self.open_host_folder(request)?;
        let progress = UntilTheEnd {
            service: self,
            inner: progress,
        };
        Ok(export(
            &snapshot,
            (folder, &request.to),
            &options,
            &progress,
        )?)
    }

    /// The folder that the client means, unless it is the pool's own or in a mount of this process,
    /// which must not wait for itself.
    fn open_host_folder(&self, request: &ExportFiles) -> ServiceResult<HostFolder> {
        let to = &request.to;
        check_plain(to)?;
        let folder = HostFolder::open(to)?;
        let identity = folder.identity();
        let sessions = self.sessions().all();
        let own = sessions
            .iter()
            .find(|session| session.mount.device() == identity.0);
        if let Some(own) = own {
            let message = format!(
                "'{}' is in the mounted '{}', and no folder of the host",
                to.display(),
                own.source
            );
            return Err(ServiceError::new(Kind::Usage, message)
                .hint("--to DIR restores to a folder of the volume, by its path there"));
        }
        if to.starts_with(&self.pool.status().path) {
            let message = format!("'{}' is in the pool's own folder", to.display());
            return Err(ServiceError::new(Kind::Usage, message).hint("choose a folder outside"));
        }
        if request.identity.is_some_and(|seen| seen != identity) {
            let message = format!(
                "the daemon sees another folder at '{}' than this command does",
                to.display()
            );
            return Err(ServiceError::new(Kind::Failed, message)
                .hint("it has mounts of its own, as in a container: run the command there"));
        }
        Ok(folder)
    }

    fn begin_reading(&self, source: Source) -> Reading<'_> {
        self.in_reading.lock().push(source.clone());
        Reading {
            service: self,
            source,
        }
    }

    /// Refuses a snapshot that is being read.
    pub(super) fn check_unread(&self, source: &Source) -> ServiceResult<()> {
        refuse_if_read(&self.in_reading.lock(), source)
    }

    /// Removes a snapshot that nobody reads, nor begins to before it is gone.
    pub(super) fn remove_unread(&self, request: &RemoveSnapshot) -> ServiceResult<()> {
        let (volume, snapshot) = (&request.volume, &request.snapshot);
        let source = Source {
            volume: volume.clone(),
            snapshot: Some(snapshot.clone()),
        };
        let in_reading = self.in_reading.lock();
        refuse_if_read(&in_reading, &source)?;
        Ok(self.pool.remove_snapshot(volume, snapshot)?)
    }
}

fn refuse_if_read(in_reading: &[Source], source: &Source) -> ServiceResult<()> {
    match in_reading.contains(source) {
        true => Err(in_use(
            source,
            &["a restore to the host, which is under way".to_owned()],
        )),
        false => Ok(()),
    }
}

fn check_plain(to: &Path) -> ServiceResult<()> {
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    match to.is_absolute() && to.components().all(is_plain) {
        true => Ok(()),
        false => {
            let message = format!("'{}' is not an absolute path without '..'", to.display());
            Err(ServiceError::new(Kind::Usage, message))
        }
    }
}

/// A snapshot that is being read: not removed so long.
struct Reading<'a> {
    service: &'a Service,
    source: Source,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut in_reading = self.service.in_reading.lock();
        let own = in_reading.iter().position(|one| *one == self.source);
        own.map(|at| in_reading.swap_remove(at));
    }
}

/// The end of the daemon ends it, too.
struct UntilTheEnd<'a> {
    service: &'a Service,
    inner: &'a dyn Progress,
}

impl Progress for UntilTheEnd<'_> {
    fn update(&self, done: u64, total: u64) {
        self.inner.update(done, total);
    }

    fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled() || self.service.sessions().is_stopping()
    }
}
