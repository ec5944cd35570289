//! Earlier states beside the present one: comparing them, and putting files back.

use super::Service;
use crate::base::Ino;
use crate::base::progress::Progress;
use crate::daemon::mounts::Session;
use crate::daemon::{
    CompareSnapshot, Compared, FilesRestored, Kind, RestoreFiles, ServiceError, ServiceResult,
    Source,
};
use crate::volume::ops::{RestoreError, RestoreOptions, RestorePath, Watch};

impl Service {
    /// What differs between a snapshot and another state. Of a volume that is its state at the
    /// command; files open for writing are flushed before.
    pub fn compare(&self, request: &CompareSnapshot) -> ServiceResult<Compared> {
        self.pool
            .snapshot_info(&request.volume, &request.snapshot)?;
        let live = Source::live(request.volume.clone());
        let with = request.with.as_ref().unwrap_or(&live);
        let warnings = match &with.snapshot {
            Some(snapshot) => self
                .pool
                .snapshot_info(&with.volume, snapshot)
                .map(|_| Vec::new())?,
            None => {
                self.pool.volume_info(&with.volume)?;
                self.flush(&[&with.volume], request.flush_ms)
            }
        };
        let before = (&request.volume, Some(&request.snapshot));
        let report = self
            .pool
            .compare_states(before, (&with.volume, with.snapshot.as_ref()))?;
        Ok(Compared { report, warnings })
    }

    /// Puts files of a snapshot back into its volume.
    ///
    /// 1. Flush files open for writing: the kernel must not write old pages over what is put back.
    /// 2. Put back; after each file tell the kernel to forget what it knows of it.
    pub fn restore(
        &self,
        request: &RestoreFiles,
        progress: &dyn Progress,
    ) -> ServiceResult<FilesRestored> {
        let path = |text: &String| text.parse::<RestorePath>();
        let paths: Result<Vec<RestorePath>, RestoreError> =
            request.paths.iter().map(path).collect();
        let options = RestoreOptions {
            paths: paths?,
            to: request.to.as_ref().map(path).transpose()?,
            force: request.force,
        };
        self.pool
            .snapshot_info(&request.volume, &request.snapshot)?;
        let source = Source::live(request.volume.clone());
        if let Some(session) = self.sessions().find(&source)
            && !session.is_writable()
        {
            let message = format!("'{source}' is mounted read-only: nothing is put back into it");
            return Err(ServiceError::new(Kind::Failed, message)
                .hint("unmount it, or mount it for writing"));
        }
        let warnings = self.flush(&[&request.volume], request.flush_ms);
        let kernel = Kernel {
            service: self,
            source,
            epoch: self.pool.open_volume(&request.volume)?.epoch(),
        };
        let restored = self.pool.restore(
            (&request.volume, &request.snapshot),
            &options,
            &kernel,
            progress,
        )?;
        Ok(FilesRestored { restored, warnings })
    }
}

/// The kernel, as far as the volume is mounted at the moment.
struct Kernel<'a> {
    service: &'a Service,
    source: Source,
    epoch: u16,
}

impl Kernel<'_> {
    fn session(&self) -> Option<Session> {
        self.service.sessions().find(&self.source)
    }
}

impl Watch for Kernel<'_> {
    fn lets_go(&self, folder: Ino, name: &[u8], ino: Ino) -> bool {
        self.session()
            .is_none_or(|session| session.mount.let_go(self.epoch, (folder, name), ino))
    }

    fn name_changed(&self, folder: Ino, name: &[u8]) {
        if let Some(session) = self.session() {
            session.mount.forget_name(self.epoch, folder, name);
        }
    }

    fn inode_changed(&self, ino: Ino) {
        if let Some(session) = self.session() {
            session.mount.forget_inode(self.epoch, ino);
        }
    }
}
