//! The filesystems that are compared, each with a folder of its own on the same disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{command, run, text, wait_until};

/// How long a server may take to start or a mount to be let go of.
const LIMIT: Duration = Duration::from_secs(60);
/// The pool of zfs-fuse: one a machine.
const ZFS_POOL: &str = "volfsbench";

/// A kind of filesystem.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// A folder of the filesystem that everything lies on: what ratios refer to.
    Ext4,
    /// A mounted volume; always there.
    #[value(skip)]
    Volfs,
    /// A mounted volume of another build of volfs; there when there is one.
    #[value(skip)]
    Against,
    /// A mounted volume with blocks of so many KiB, a power of two from 4 to 128.
    #[value(skip)]
    Blocks(u32),
    /// btrfs on a loop device, with LZO and checksums.
    Btrfs,
    /// XFS on a loop device.
    Xfs,
    /// zfs-fuse on a file, with compression.
    Zfs,
    /// bindfs: FUSE that passes everything on.
    Bindfs,
}

/// A filesystem to measure.
pub struct Peer {
    /// Which.
    pub kind: Kind,
    folder: PathBuf,
    source: PathBuf,
    volfs: PathBuf,
    zfs: Option<Child>,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Volfs => "volfs",
            Kind::Against => "volfs-against",
            Kind::Blocks(kib) => match kib {
                4 => "volfs-4K",
                8 => "volfs-8K",
                16 => "volfs-16K",
                32 => "volfs-32K",
                64 => "volfs-64K",
                _ => "volfs-128K",
            },
            Kind::Btrfs => "btrfs",
            Kind::Xfs => "XFS",
            Kind::Zfs => "zfs-fuse",
            Kind::Bindfs => "bindfs",
        }
    }

    fn is_volfs(self) -> bool {
        matches!(self, Kind::Volfs | Kind::Against | Kind::Blocks(_))
    }
}

impl Peer {
    /// Makes and mounts one in a scratch folder; an image takes so many bytes at most.
    ///
    /// # Errors
    /// A program is missing or fails.
    pub fn make(kind: Kind, scratch: &Path, volfs: &Path, image_bytes: u64) -> Result<Peer> {
        let name = kind.name().to_lowercase();
        let peer = Peer {
            kind,
            folder: scratch.join("mnt").join(&name),
            source: scratch.join(&name),
            volfs: volfs.to_owned(),
            zfs: None,
        };
        fs::create_dir_all(&peer.folder).context("the scratch folder")?;
        match kind {
            Kind::Ext4 => {}
            Kind::Volfs | Kind::Against => peer.volfs(&["volume", "create", "bench"]).map(drop)?,
            Kind::Blocks(kib) => {
                let size = format!("{kib}K");
                let create = ["volume", "create", "bench", "--block-size", &size];
                peer.volfs(&create).map(drop)?;
            }
            Kind::Bindfs => fs::create_dir(&peer.source)?,
            Kind::Btrfs | Kind::Xfs | Kind::Zfs => {
                File::create(&peer.source)?.set_len(image_bytes)?;
            }
        }
        let image = text(&peer.source)?.to_owned();
        match kind {
            Kind::Btrfs => run(&mut command("mkfs.btrfs", ["-q", &image])).map(drop)?,
            Kind::Xfs => run(&mut command("mkfs.xfs", ["-q", &image])).map(drop)?,
            _ => {}
        }
        let mut peer = peer;
        if kind == Kind::Zfs {
            peer.start_zfs(&image)?;
        } else {
            peer.mount()?;
        }
        Ok(peer)
    }

    /// Where files go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn volfs(&self, arguments: &[&str]) -> Result<String> {
        let pool = text(&self.source)?;
        let mut command = command(text(&self.volfs)?, ["--pool", pool]);
        run(command.args(arguments))
    }

    fn start_zfs(&mut self, image: &str) -> Result<()> {
        // A benchmark that is killed takes its server along.
        let zfs_fuse = ["--pdeathsig", "TERM", "zfs-fuse", "--no-daemon"];
        let server = command("setpriv", zfs_fuse).spawn();
        self.zfs = Some(server.context("cannot run zfs-fuse")?);
        wait_until("zfs-fuse answers", LIMIT, || {
            run(&mut command("zpool", ["list"])).is_ok()
        })?;
        // zfs-fuse remembers the pool of a benchmark that was killed; mostly there is none.
        let _ = run(&mut command("zpool", ["destroy", "-f", ZFS_POOL]));
        let folder = text(&self.folder)?.to_owned();
        let create = ["create", "-f", "-m", &folder, ZFS_POOL, image];
        run(&mut command("zpool", create))?;
        run(&mut command("zfs", ["set", "compression=on", ZFS_POOL]))?;
        Ok(())
    }

    fn mount(&self) -> Result<()> {
        let (source, folder) = (text(&self.source)?, text(&self.folder)?);
        let mut command = match self.kind {
            Kind::Ext4 => return Ok(()),
            Kind::Volfs | Kind::Against | Kind::Blocks(_) => {
                return self.volfs(&["mount", "bench", folder]).map(drop);
            }
            Kind::Btrfs => command("mount", ["-o", "loop,compress=lzo", source, folder]),
            Kind::Xfs => command("mount", ["-o", "loop", source, folder]),
            Kind::Bindfs => command("bindfs", [source, folder]),
            Kind::Zfs => {
                let parent = self.source.parent().context("an image has a folder")?;
                command("zpool", ["import", "-d", text(parent)?, ZFS_POOL])
            }
        };
        run(&mut command).map(drop)
    }

    fn umount(&self) -> Result<()> {
        match self.kind {
            Kind::Ext4 => Ok(()),
            kind if kind.is_volfs() => self.volfs(&["daemon", "stop", "--force"]).map(drop),
            Kind::Zfs => run(&mut command("zpool", ["export", ZFS_POOL])).map(drop),
            _ => run(&mut command("umount", [text(&self.folder)?])).map(drop),
        }
    }

    /// Nothing of what was written is in any cache afterwards, and no server has anything in its
    /// memory.
    ///
    /// # Errors
    /// It cannot be unmounted or mounted.
    pub fn cool(&self) -> Result<()> {
        self.umount()?;
        run(&mut command("sync", []))?;
        fs::write("/proc/sys/vm/drop_caches", "3").context("root may drop caches")?;
        self.mount()
    }

    /// Has it store what it would otherwise store some seconds later, beside whoever is measured then.
    /// The others are told by sync(2).
    ///
    /// # Errors
    /// The daemon cannot.
    pub fn settle(&self) -> Result<()> {
        if !self.kind.is_volfs() {
            return Ok(());
        }
        // It looks at what is published, and so publishes all there is.
        self.volfs(&["gc", "--dry-run"]).map(drop)
    }

    /// Blocks that were found stored already when they were written, of volfs.
    ///
    /// # Errors
    /// The daemon does not say.
    pub fn duplicates(&self) -> Result<Option<u64>> {
        if !self.kind.is_volfs() {
            return Ok(None);
        }
        self.status("dedup_hits").map(Some)
    }

    /// Bytes of the pool's segments, of volfs; garbage that was not collected yet among them.
    ///
    /// # Errors
    /// The daemon does not say.
    pub fn stored(&self) -> Result<Option<u64>> {
        if !self.kind.is_volfs() {
            return Ok(None);
        }
        self.status("segment_bytes").map(Some)
    }

    fn status(&self, key: &str) -> Result<u64> {
        let status = self.volfs(&["daemon", "status", "--format", "json"])?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        match find(&status, key).and_then(serde_json::Value::as_u64) {
            Some(value) => Ok(value),
            None => bail!("the daemon's status has no {key}"),
        }
    }
}

/// The value of a key, wherever it is.
fn find<'a>(value: &'a serde_json::Value, key: &str) -> Option<&'a serde_json::Value> {
    match value {
        serde_json::Value::Object(fields) => fields
            .get(key)
            .or_else(|| fields.values().find_map(|field| find(field, key))),
        serde_json::Value::Array(values) => values.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Err(error) = self.umount() {
            eprintln!("bench: {}: {error:#}", self.kind.name());
        }
        if let Some(mut server) = self.zfs.take() {
            // Killed, it would leave its mount of statistics behind, and the next one complain.
            let _ = kill_process(Pid::from_child(&server), Signal::TERM);
            let _ = server.wait();
        }
    }
}
