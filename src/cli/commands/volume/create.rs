//! `volfs volume create`.

use crate::base::VolumeName;
use crate::cli::exit::Outcome;
use crate::cli::{Context, args, output};
use crate::daemon::{By, CreateVolume};

const AFTER_HELP: &str = "\
Names are as Docker's: letters, digits, '_', '.', '-', at most 128 bytes, a letter or digit first.

A profile chooses the size of a block and nothing else, and is not remembered. For a database that
has none, --block-size is best the size of its pages. docs/decisions/0002 has what was measured.

Examples:
  volfs volume create pgdata
  volfs volume create shop --profile mysql
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

    /// What the volume is for, instead of the size of a block
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "block_size")]
    profile: Option<Profile>,

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

/// What a volume is for. Why which block size: docs/decisions/0002.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Profile {
    /// 8K, the size of its pages and the usual default: the best size, or near it, for pages that
    /// are read and written at random
    Postgres,
    /// 16K, the size of InnoDB's pages: takes less room beside the data, and is read faster from
    /// end to end. Not for page compression: that wants --block-size 4K
    Mysql,
    /// 4K, the size of its pages: with 8K the other half of a block would be read and written again
    /// with each of them. Read more slowly from end to end
    Sqlite,
    /// The pool's default, 8K: appends are about as fast with blocks of any size
    Redis,
    /// The pool's default, 8K, as without a profile
    General,
}

impl Profile {
    /// In bytes; none: the pool's default is as good as any other.
    fn block_size(self) -> Option<u32> {
        match self {
            Profile::Postgres => Some(8 << 10),
            Profile::Mysql => Some(16 << 10),
            Profile::Sqlite => Some(4 << 10),
            Profile::Redis | Profile::General => None,
        }
    }
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
            block_size: self.block_size.or_else(|| self.profile?.block_size()),
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

#[cfg(test)]
mod tests {
    use clap::{Parser, ValueEnum, error::ErrorKind};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
        let line = Line::try_parse_from([&["create", "data"], words].concat());
        line.map(|line| line.args)
    }

    /// Each profile stands for a block size or leaves it to the pool.
    #[test]
    fn profiles_stand_for_block_sizes() {
        for (name, bytes) in [
            ("postgres", Some(8192)),
            ("mysql", Some(16384)),
            ("sqlite", Some(4096)),
            ("redis", None),
            ("general", None),
        ] {
            let profile = parsed(&["--profile", name]).ok().unwrap().profile;
            assert_eq!(profile.unwrap().block_size(), bytes, "{name}");
        }
        assert_eq!(Profile::value_variants().len(), 5);
        assert_eq!(parsed(&[]).ok().unwrap().profile, None);
    }

    /// A profile beside a block size is refused: it would say nothing. So is an unknown one, and
    /// the known ones are told.
    #[test]
    fn profiles_that_say_nothing_are_refused() {
        let error = parsed(&["--profile", "mysql", "--block-size", "8K"]).err();
        assert_eq!(error.unwrap().kind(), ErrorKind::ArgumentConflict);
        let error = parsed(&["--profile", "oracle"]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidValue);
        let told = error.to_string();
        assert!(
            told.contains("postgres, mysql, sqlite, redis, general"),
            "{told}"
        );
    }
}
