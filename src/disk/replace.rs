//! Replacing a whole small file so that a crash leaves the old or the new one.

use super::{Disk, DiskResult, Step};

/// The two steps of a replacement.
#[derive(Clone, Copy, Debug)]
pub struct Replacing {
    /// The bytes are durable.
    pub written: Step,
    /// The name stands for them durably.
    pub named: Step,
}

/// Writes `bytes` as `dir/name`.
///
/// Order: temporary file, its sync, rename, sync of the folder. Without the first sync the rename
/// can survive a crash that the bytes did not; without the second the rename can be lost.
pub fn replace_file(
    disk: &dyn Disk,
    dir: &str,
    name: &str,
    bytes: &[u8],
    steps: Replacing,
) -> DiskResult<()> {
    let at = |name: &str| {
        if dir.is_empty() {
            name.to_owned()
        } else {
            format!("{dir}/{name}")
        }
    };
    let temporary = at(&format!("{name}.tmp"));
    match disk.remove(&temporary) {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    let file = disk.create(&temporary)?;
    file.write_at(&[bytes], 0)?;
    file.sync(steps.written)?;
    disk.rename(&temporary, &at(name))?;
    disk.sync_dir(dir, steps.named)
}
