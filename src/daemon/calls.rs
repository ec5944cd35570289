//! The control API as a table: which use case answers which request, under which path.
//!
//! One declaration serves the server, the client and commands that work without a daemon. Fields
//! named in the path travel there; the others as a query string of a GET, else as a JSON body.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::*;
use super::{Service, ServiceResult};
use crate::base::progress::Progress;
use crate::pool::{CheckReport, GcReport};

/// Verb of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// Makes or does something.
    Post,
    /// Ends something.
    Delete,
}

/// A request, and how it is answered.
pub trait Call: Serialize + DeserializeOwned + Send + 'static {
    /// The answer.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// Verb.
    const VERB: Verb;
    /// Path, with the names of fields in braces.
    const PATH: &'static str;
    /// What a user calls it: the command that asks for it. None: it is not counted.
    const NAME: Option<&'static str>;
    /// The answer is a stream: lines that report progress, then the answer.
    const REPORTS_PROGRESS: bool = false;
    /// It is answered even when the daemon is about to end.
    const ALWAYS: bool = false;

    /// Carries the request out.
    fn run(&self, service: &Service, progress: &dyn Progress) -> ServiceResult<Self::Answer>;
}

macro_rules! calls {
    ($(
        $verb:ident $path:literal $request:ident $name:literal => $answer:ty,
        |$self:ident, $service:ident| $run:expr;
    )*) => {$(
        impl Call for $request {
            type Answer = $answer;
            const VERB: Verb = Verb::$verb;
            const PATH: &'static str = $path;
            const NAME: Option<&'static str> = Some($name);

            fn run(&self, $service: &Service, _: &dyn Progress) -> ServiceResult<$answer> {
                let $self = self;
                $run
            }
        }
    )*};
}

calls! {
    Get "/v1/volumes" ListVolumes "volume ls" => Vec<VolumeDetails>,
        |_call, service| Ok(service.volumes());
    Post "/v1/volumes" CreateVolume "volume create" => VolumeDetails,
        |call, service| service.create_volume(call);
    Delete "/v1/volumes/{volume}" RemoveVolume "volume rm" => Done,
        |call, service| service.remove_volume(call).map(|()| Done {});
    Post "/v1/volumes/{volume}/set" SetVolume "volume set" => VolumeDetails,
        |call, service| service.set_volume(call);
    Get "/v1/policies" ListPolicies "policy show" => Vec<PolicyDetails>,
        |_call, service| service.policies();
    Post "/v1/volumes/{volume}/policy" SetPolicy "policy set" => Done,
        |call, service| service.set_policy(call).map(|()| Done {});
    Post "/v1/volumes/{volume}/policy/run" RunPolicy "policy run" => PolicyRun,
        |call, service| service.run_policy(call);
    Get "/v1/trash" ListTrash "volume ls --trash" => Vec<TrashDetails>,
        |_call, service| Ok(service.trash());
    Post "/v1/trash/{volume}/undelete" UndeleteVolume "volume undelete" => VolumeDetails,
        |call, service| service.undelete_volume(call);
    Post "/v1/volumes/{volume}/snapshots/{snapshot}/hold" HoldSnapshot "snapshot hold" => Done,
        |call, service| service.hold_snapshot(call).map(|()| Done {});
    Post "/v1/volumes/{volume}/clone" CloneVolume "clone" => Cloned,
        |call, service| service.clone_volume(call);
    Post "/v1/volumes/{volume}/rollback" RollbackVolume "rollback" => RolledBack,
        |call, service| service.rollback(call);
    Post "/v1/snapshots" CreateSnapshots "snapshot create" => SnapshotsCreated,
        |call, service| service.create_snapshots(call);
    Delete "/v1/volumes/{volume}/snapshots/{snapshot}" RemoveSnapshot "snapshot rm" => Done,
        |call, service| service.remove_snapshot(call).map(|()| Done {});
    Post "/v1/volumes/{volume}/snapshots/{snapshot}/diff" CompareSnapshot "snapshot diff" =>
        Compared,
        |call, service| service.compare(call);
    Get "/v1/mounts" ListMounts "mount ls" => Vec<MountReport>,
        |_call, service| Ok(service.mounted());
    Post "/v1/mounts" MountVolume "mount" => Mounted, |call, service| service.mount(call);
    Delete "/v1/mounts" Unmount "umount" => Unmounted, |call, service| service.unmount(call);
    Post "/v1/mounts/all" MountAll "mount --all" => AllMounted,
        |_call, service| service.mount_all();
    Get "/v1/volumes/{volume}/stats" VolumeStats "stats" => StatsReport,
        |call, service| service.volume_stats(call);
    Get "/v1/status" DaemonStatus "daemon status" => StatusReport,
        |_call, service| Ok(service.status());
    Post "/v1/daemon/keep" KeepDaemon "daemon start" => Done,
        |_call, service| service.keep().map(|()| Done {});
    Post "/v1/daemon/stop" StopDaemon "daemon stop" => Done,
        |call, service| service.stop(call).map(|()| Done {});
}

impl Call for Hello {
    type Answer = Introduction;
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/hello";
    const NAME: Option<&'static str> = None;
    const ALWAYS: bool = true;

    fn run(&self, service: &Service, _: &dyn Progress) -> ServiceResult<Introduction> {
        Ok(service.introduce())
    }
}

/// Calls that may take long: they tell how they go on.
macro_rules! long_calls {
    ($($verb:ident $path:literal $request:ident $name:literal => $answer:ty, $run:path;)*) => {$(
        impl Call for $request {
            type Answer = $answer;
            const VERB: Verb = Verb::$verb;
            const PATH: &'static str = $path;
            const NAME: Option<&'static str> = Some($name);
            const REPORTS_PROGRESS: bool = true;

            fn run(&self, service: &Service, progress: &dyn Progress) -> ServiceResult<$answer> {
                $run(service, self, progress)
            }
        }
    )*};
}

long_calls! {
    Get "/v1/volumes/{volume}" InspectVolume "volume inspect" => VolumeDetails, Service::volume;
    Post "/v1/prune" PruneVolumes "volume prune" => Pruned, Service::prune_volumes;
    Get "/v1/snapshots" ListSnapshots "snapshot ls" => Vec<SnapshotDetails>, Service::snapshots;
    Get "/v1/volumes/{volume}/snapshots/{snapshot}" InspectSnapshot "snapshot inspect" =>
        SnapshotDetails,
        Service::snapshot;
    Get "/v1/space" MeasureSpace "df" => SpaceReport, Service::space;
    Post "/v1/space/removal" MeasureRemoval "rm --dry-run" => Freed, Service::space_of_removal;
    Post "/v1/volumes/{volume}/snapshots/{snapshot}/restore" RestoreFiles "restore" =>
        FilesRestored,
        Service::restore;
    Post "/v1/volumes/{volume}/snapshots/{snapshot}/export" ExportFiles "restore --to-host" =>
        Exported,
        Service::export;
    Post "/v1/check" CheckPool "check" => CheckReport, Service::check;
    Post "/v1/scrub" ScrubPool "scrub" => CheckReport, Service::scrub;
    Post "/v1/gc" CollectGarbage "gc" => GcReport, Service::collect_garbage;
}
