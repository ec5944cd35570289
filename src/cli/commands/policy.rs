//! `volfs policy`.

use clap::Subcommand;

use crate::base::VolumeName;
use crate::cli::exit::{Outcome, for_each, warn};
use crate::cli::output::{self, Format, human_age};
use crate::cli::{Context, args};
use crate::daemon::{By, ListPolicies, PolicyDetails, RunPolicy, SetPolicy};
use crate::pool::Policy;

/// Commands on policies.
#[derive(Subcommand)]
pub(crate) enum Command {
    Set(SetArgs),
    Show(ShowArgs),
    /// End the policies of volumes; what they have made stays
    #[command(visible_alias = "remove")]
    Rm(NamesArgs),
    Run(RunArgs),
}

const SET_AFTER_HELP: &str = "\
The daemon makes the snapshots, named auto- and the time in UTC, while it runs; what was missed
while it did not is made up for by one. It runs while something is mounted, or always after `volfs
daemon start`.

Of each period (hours, days, weeks from Monday on, months, in UTC) the newest snapshot is kept, for
so many periods that have one. Only what a policy has made is removed by it, and nothing that is
held or mounted.

Example:
  volfs policy set pgdata --every 15m --keep-last 4 --keep-hourly 24 --keep-daily 7 \\
      --keep-weekly 4 --keep-monthly 12";

/// Let snapshots of a volume be made by themselves, and those be removed that are not kept
#[derive(clap::Args)]
#[command(after_help = SET_AFTER_HELP)]
pub(crate) struct SetArgs {
    /// Name of the volume
    name: VolumeName,

    /// Time between two snapshots, as 15m, 6h, 1d; a minute at least
    #[arg(long, value_name = "TIME", value_parser = args::span)]
    every: u64,

    /// Keep the newest ones
    #[arg(long, value_name = "COUNT", default_value = "0")]
    keep_last: u32,

    /// Keep the newest one of each of so many hours
    #[arg(long, value_name = "COUNT", default_value = "0")]
    keep_hourly: u32,

    /// Keep the newest one of each of so many days
    #[arg(long, value_name = "COUNT", default_value = "0")]
    keep_daily: u32,

    /// Keep the newest one of each of so many weeks
    #[arg(long, value_name = "COUNT", default_value = "0")]
    keep_weekly: u32,

    /// Keep the newest one of each of so many months
    #[arg(long, value_name = "COUNT", default_value = "0")]
    keep_monthly: u32,
}

/// Show the policies of all volumes, or of some
#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// Only those of these volumes
    names: Vec<VolumeName>,

    /// How to print them
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

/// Volumes.
#[derive(clap::Args)]
pub(crate) struct NamesArgs {
    /// Names of volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,
}

/// Do at once what the policies of volumes say: a snapshot, and the end of those not kept
///
/// Prints each as VOLUME@SNAPSHOT with a + or a - before it.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
    /// Names of volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,

    /// Only say what they would do now: make one if it is time, and remove
    #[arg(long)]
    dry_run: bool,
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        match self {
            Command::Set(args) => args.run(context),
            Command::Show(args) => args.run(context),
            Command::Rm(args) => args.remove(context),
            Command::Run(args) => args.run(context),
        }
    }
}

impl SetArgs {
    fn run(self, context: &mut Context) -> Outcome {
        let policy = Policy {
            every: self.every,
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
        };
        let call = SetPolicy {
            volume: self.name,
            policy: Some(policy),
        };
        context.access.call(By::Anyone, &call)?;
        Ok(output::line(&call.volume)?)
    }
}

impl ShowArgs {
    fn run(self, context: &mut Context) -> Outcome {
        let mut policies = context.access.call(By::Anyone, &ListPolicies {})?;
        let is_wanted = |one: &PolicyDetails| {
            self.names.is_empty() || self.names.iter().any(|name| name.as_str() == one.volume)
        };
        policies.retain(is_wanted);
        match self.format {
            Format::Json => output::json(&policies)?,
            Format::Table => output::text(&output::table(
                &[
                    "VOLUME",
                    "EVERY",
                    "LAST",
                    "HOURLY",
                    "DAILY",
                    "WEEKLY",
                    "MONTHLY",
                    "SNAPSHOTS",
                    "NEWEST",
                ],
                &policies.iter().map(row).collect::<Vec<_>>(),
            ))?,
        }
        Ok(())
    }
}

fn row(one: &PolicyDetails) -> Vec<String> {
    let policy = &one.policy;
    let counts = [
        policy.keep_last,
        policy.keep_hourly,
        policy.keep_daily,
        policy.keep_weekly,
        policy.keep_monthly,
    ];
    let mut row = vec![one.volume.clone(), human_age(policy.every)];
    row.extend(counts.iter().map(ToString::to_string));
    row.push(one.snapshots.to_string());
    row.push(one.last.clone().unwrap_or_else(|| "-".to_owned()));
    row
}

impl NamesArgs {
    fn remove(self, context: &mut Context) -> Outcome {
        for_each(self.names, |volume| {
            let call = SetPolicy {
                volume,
                policy: None,
            };
            context.access.call(By::Anyone, &call)?;
            Ok(output::line(&call.volume)?)
        })
    }
}

impl RunArgs {
    fn run(self, context: &mut Context) -> Outcome {
        for_each(self.names, |volume| {
            let call = RunPolicy {
                volume,
                dry_run: self.dry_run,
            };
            let run = context.access.call(By::Anyone, &call)?;
            warn(&run.warnings);
            if let Some(name) = run.created {
                output::line(format!("+ {name}"))?;
            }
            for name in run.removed {
                output::line(format!("- {name}"))?;
            }
            Ok(())
        })
    }
}
