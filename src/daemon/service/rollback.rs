//! The way back to a snapshot, mounted or not.

use super::Service;
use crate::daemon::mounts::{holders_of_live, in_use};
use crate::daemon::{Kind, RollbackVolume, RolledBack, ServiceError, ServiceResult, Source};

impl Service {
    /// Puts a volume back to a snapshot.
    ///
    /// 1. Refuse while somebody holds files of it open, unless forced. Who only looks at its
    ///    snapshots through the mount may go on.
    /// 2. Flush files open for writing, so that the state that is left, kept as a snapshot, has
    ///    them.
    /// 3. Roll back; from here on the daemon answers requests for the old state with ESTALE.
    /// 4. Tell the kernel to forget what it has cached of the old state.
    pub fn rollback(&self, request: &RollbackVolume) -> ServiceResult<RolledBack> {
        self.pool
            .snapshot_info(&request.volume, &request.snapshot)?;
        let _held = self.mounts.hold();
        let source = Source::live(request.volume.clone());
        let session = self.sessions().find(&source);
        if session
            .as_ref()
            .is_some_and(|session| !session.mount.supports_rollback())
        {
            let message = format!(
                "this kernel cannot roll '{source}' back while it is mounted: unmount it first"
            );
            return Err(ServiceError::new(Kind::Busy, message));
        }
        if let Some(session) = &session
            && !request.force
        {
            let users = holders_of_live(session);
            if !users.is_empty() {
                return Err(in_use(&source, &users).hint(
                    "stop them first; --force rolls back under them: their open files then \
                     answer ESTALE",
                ));
            }
        }
        let warnings = self.flush(&[&request.volume], request.flush_ms);
        let rollback = self.pool.rollback(&request.volume, &request.snapshot)?;
        if let Some(session) = session {
            session.mount.after_rollback(rollback.old_epoch);
            session.mount.snapshots_changed();
        }
        Ok(RolledBack {
            kept: format!("{}@{}", request.volume, rollback.kept),
            warnings,
        })
    }
}
