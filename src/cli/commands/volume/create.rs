//! `volfs volume create`.

use crate::base::VolumeName;
use crate::cli::exit::Outcome;
use crate::cli::{Context, args, output};
use crate::daemon::{By, CreateVolume};

const AFTER_HELP: &str = "\
Names are as Docker's: letters, digits, '_', '.', '-', at most 128 bytes, a letter or digit first.

Examples:
  volfs volume create pgdata
  volfs volume create pgdata --size 20G
  volfs volume create pgdata --block-size 8K --label app=shop --owner 999:999 --mode 0700";

/// Create an empty volume
///
/// Makes the pool as well if there is none yet. Prints the name of the volume.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Name of the volume
    name: VolumeName,

    /// Size of a block, a power of two from 4K to 128K: best the database's page size
    /// [default: the pool's, 8K]
    #[arg(long, value_name = "SIZE", value_parser = args::block_size)]
    block_size: Option<u32>,

    /// What its data may take before compression and sharing, as 20G [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = args::bytes)]
    size: Option<u64>,

    /// A label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = args::label)]
    labels: Vec<(String, String)>,

    /// Owner of the volume's root folder, as numbers [default: who creates it]
    #[arg(long, value_name = "UID[:GID]", value_parser = args::owner)]
    owner: Option<(u32, Option<u32>)>,

    /// Permissions of the volume's root folder, in octal
    #[arg(long, value_name = "MODE", value_parser = args::mode, default_value = "0755")]
    mode: u16,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let creators_group = rustix::process::getegid().as_raw();
        let (uid, gid) = match self.owner {
            Some((uid, gid)) => (uid, gid.unwrap_or(creators_group)),
            None => (rustix::process::geteuid().as_raw(), creators_group),
        };
        let call = CreateVolume {
            volume: self.name,
            block_size: self.block_size,
            labels: self.labels.into_iter().collect(),
            uid,
            gid,
            mode: self.mode,
            limit: self.size,
        };
        context.access.create_pool()?;
        let volume = context.access.call(By::Anyone, &call)?;
        Ok(output::line(volume.name)?)
    }
}
