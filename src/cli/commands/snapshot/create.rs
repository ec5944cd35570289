//! `volfs snapshot create`.

use crate::base::{SnapshotName, VolumeName};
use crate::cli::args::{self, FlushArgs};
use crate::cli::exit::{Outcome, warn};
use crate::cli::hooks::HookArgs;
use crate::cli::{Context, names, output};
use crate::daemon::{
    By, CreateSnapshots, InspectVolume, Kind, ServiceError, ServiceResult, Source,
};

const AFTER_HELP: &str = "\
How the words are read:
  VOLUME                        one volume; the snapshot is named by the time, in UTC
  VOLUME SNAPSHOT               one volume and the name of its snapshot
  VOLUME@SNAPSHOT...            one or several volumes, each with a name, in one cut
  --name SNAPSHOT VOLUME...     several volumes in one cut, the same name for each
  --auto VOLUME...              several volumes in one cut, named by the time

A snapshot of a running database is right without any preparation: it starts from it as after a
power loss. Commands before and after get the names in VOLFS_SNAPSHOT, the one after also
VOLFS_RESULT, ok or failed.

Examples:
  volfs snapshot create pgdata before-migration
  volfs snapshot create pgdata nightly --quiesce postgres --after 'logger snapshot: $VOLFS_RESULT'
  volfs snapshot create pgdata@before pgwal@before
  volfs snapshot create --name before pgdata pgwal";

/// Take a snapshot of a volume, or of several in one cut
///
/// It holds everything that was fsynced, closed or written with O_DIRECT before; files that are
/// open for writing are flushed first. Takes an instant and no space, whatever the size. Prints
/// the name of the snapshot; for several, VOLUME@SNAPSHOT of each. Where the volume is mounted,
/// its files are in MOUNTPOINT/.volfs/snapshots/SNAPSHOT from then on, read-only.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// A volume and the name of its snapshot; more forms are told below
    #[arg(value_name = "VOLUME[@SNAPSHOT]", required = true)]
    words: Vec<String>,

    /// Name of the snapshots; every word is then a volume
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "auto")]
    name: Option<SnapshotName>,

    /// Name the snapshots by the time; every word is then a volume
    #[arg(long)]
    auto: bool,

    /// A label of the snapshots; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = args::label)]
    labels: Vec<(String, String)>,

    #[command(flatten)]
    flush: FlushArgs,

    #[command(flatten)]
    hooks: HookArgs,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let of = self.sources()?;
        if let [volume, name] = &self.words[..]
            && of.len() == 1
        {
            refuse_second_volume(context, volume, name)?;
        }
        let call = CreateSnapshots {
            of,
            flush_ms: self.flush.flush_ms(),
            labels: self.labels.into_iter().collect(),
        };
        let created = self
            .hooks
            .around(&call.of, || context.access.call(By::Anyone, &call))?;
        warn(&created.warnings);
        match &created.snapshots[..] {
            [one] => output::line(&one.snapshot)?,
            several => {
                let names: Vec<&str> = several.iter().map(|one| one.name.as_str()).collect();
                output::line(names.join("\n"))?;
            }
        }
        Ok(())
    }

    fn sources(&self) -> ServiceResult<Vec<Source>> {
        let plain = |word: &String| !word.contains('@');
        if self.auto || self.name.is_some() {
            let source = |word: &String| {
                let volume = word.parse::<VolumeName>()?;
                Ok(Source {
                    volume,
                    snapshot: self.name.clone(),
                })
            };
            return self.words.iter().map(source).collect();
        }
        match &self.words[..] {
            [volume, name] if plain(volume) && plain(name) => Ok(vec![Source {
                volume: volume.parse()?,
                snapshot: Some(name.parse()?),
            }]),
            [one] => Ok(vec![names::source(one)?]),
            several if several.iter().any(plain) => Err(unclear()),
            several => several
                .iter()
                .map(|word| Ok(names::source(word)?))
                .collect(),
        }
    }
}

/// `snapshot create pgdata pgwal`: was a cut of both volumes meant?
fn refuse_second_volume(context: &mut Context, volume: &str, name: &str) -> ServiceResult<()> {
    let Ok(second) = name.parse() else {
        return Ok(());
    };
    let call = InspectVolume {
        volume: second,
        space: false,
    };
    match context.access.call(By::Anyone, &call) {
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => {
            let message = format!("'{name}' is a volume: what is meant is not clear");
            Err(ServiceError::new(Kind::Usage, message)
                .hint(format!("for a snapshot of that name: {volume}@{name}"))
                .hint(format!(
                    "for one cut of both: --auto {volume} {name}, or --name SNAPSHOT"
                )))
        }
    }
}

fn unclear() -> ServiceError {
    ServiceError::new(Kind::Usage, "which words are volumes is not clear")
        .hint("for one cut of several volumes: --name SNAPSHOT VOLUME..., or VOLUME@SNAPSHOT...")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn sources(line: &str) -> Result<Vec<String>, Kind> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|_| Kind::Usage)?;
        let sources = line.args.sources().map_err(|error| error.kind)?;
        Ok(sources.iter().map(Source::to_string).collect())
    }

    /// Every documented form is read as documented.
    #[test]
    fn the_forms_are_read_as_documented() {
        for (line, wanted) in [
            ("create pgdata", vec!["pgdata"]),
            ("create pgdata before", vec!["pgdata@before"]),
            ("create pgdata@before", vec!["pgdata@before"]),
            ("create pgdata@a pgwal@b", vec!["pgdata@a", "pgwal@b"]),
            (
                "create --name before pgdata pgwal",
                vec!["pgdata@before", "pgwal@before"],
            ),
            ("create pgdata --name before", vec!["pgdata@before"]),
            ("create --auto pgdata pgwal", vec!["pgdata", "pgwal"]),
        ] {
            assert_eq!(sources(line).unwrap(), wanted, "{line}");
        }
    }

    /// What could mean two things, and what is malformed, is a usage error.
    #[test]
    fn unclear_words_are_refused() {
        for line in [
            "create",
            "create a b c",
            "create a@x b",
            "create a b@x",
            "create --name x a@y",
            "create --name x --auto a",
            "create --name x/y a",
            "create a@",
            "create a b/c",
            "create a --no-flush --flush-timeout 3",
        ] {
            assert_eq!(sources(line), Err(Kind::Usage), "{line}");
        }
    }
}
