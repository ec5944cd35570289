//! The command line: one file per command, results on stdout, everything else on stderr.

mod args;
mod commands;
mod exit;
mod hooks;
mod interrupt;
mod logging;
mod mount_helper;
mod names;
mod output;
mod pool;
mod progress;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::daemon::Access;
use commands::{
    check, clone, daemon, df, flush, gc, mount, policy, restore, rollback, scrub, snapshot, stats,
    umount, volume,
};
use exit::Outcome;
use pool::PoolLocation;

const AFTER_HELP: &str = "\
Examples:
  volfs volume create pgdata
  volfs mount pgdata /mnt/pgdata
  volfs snapshot create pgdata before-migration
  volfs rollback pgdata@before-migration
  volfs snapshot diff pgdata@before-migration
  volfs restore pgdata@before-migration base/16384
  volfs clone pgdata@before-migration pgtest

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 corruption found, 4 busy, 5 not found,
6 exists already, 7 daemon not reachable, 8 (df) the disk is nearly full.
VOLFS_LOG=debug tells more on stderr.";

/// A volume store for databases: instant snapshots, clones and rollback.
///
/// A pool is a folder that holds volumes; a volume is mounted where a database keeps its data.
#[derive(Parser)]
#[command(name = "volfs", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Folder of the pool [default: $VOLFS_POOL; else /var/lib/volfs for root, and
    /// $XDG_DATA_HOME/volfs or ~/.local/share/volfs for other users]
    #[arg(long, global = true, value_name = "DIR")]
    pool: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create, list, inspect and remove volumes
    #[command(subcommand, visible_alias = "vol")]
    Volume(volume::Command),
    /// Create, list, compare, inspect and remove snapshots
    ///
    /// Where a volume is mounted, MOUNTPOINT/.volfs/snapshots/SNAPSHOT shows what a snapshot holds,
    /// read-only: `cp -a` from there brings a file back. The folder is in no listing.
    #[command(subcommand, visible_alias = "snap")]
    Snapshot(snapshot::Command),
    Mount(mount::Args),
    #[command(visible_alias = "unmount")]
    Umount(umount::Args),
    Clone(clone::Args),
    Rollback(rollback::Args),
    Restore(restore::Args),
    Check(check::Args),
    Scrub(scrub::Args),
    Gc(gc::Args),
    /// Snapshots that are made, and removed again, by themselves
    #[command(subcommand)]
    Policy(policy::Command),
    Df(df::Args),
    Stats(stats::Args),
    /// Start, stop and look at the daemon that serves a pool's mounts
    #[command(subcommand)]
    Daemon(daemon::Command),
    #[command(hide = true)]
    FlushOpenFiles(flush::Args),
}

/// What every command works with.
pub(crate) struct Context {
    pub(crate) location: PoolLocation,
    pub(crate) access: Access,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    if let Some(call) = mount_helper::Call::from_arguments(&arguments) {
        prepare("warn");
        return exit::code(call.run());
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version are no errors; clap knows the stream and the code of each.
        Err(error) => error.exit(),
    };
    prepare(cli.command.log_filter());
    exit::code(run(cli))
}

fn prepare(log_filter: &str) {
    logging::init(log_filter);
    // What lies in a pool is for its owner only, whoever makes the files.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

fn run(cli: Cli) -> Outcome {
    if let Command::FlushOpenFiles(args) = cli.command {
        return args.run();
    }
    let location = PoolLocation::find(cli.pool)?;
    let access = Access::new(location.path.clone());
    let mut context = Context { location, access };
    let outcome = match cli.command {
        Command::Volume(command) => command.run(&mut context),
        Command::Snapshot(command) => command.run(&mut context),
        Command::Mount(args) => args.run(&mut context),
        Command::Umount(args) => args.run(&mut context),
        Command::Clone(args) => args.run(&mut context),
        Command::Rollback(args) => args.run(&mut context),
        Command::Restore(args) => args.run(&mut context),
        Command::Check(args) => args.run(&mut context),
        Command::Scrub(args) => args.run(&mut context),
        Command::Gc(args) => args.run(&mut context),
        Command::Policy(command) => command.run(&mut context),
        Command::Df(args) => args.run(&mut context),
        Command::Stats(args) => args.run(&mut context),
        Command::Daemon(command) => command.run(&mut context),
        Command::FlushOpenFiles(args) => args.run(),
    };
    let closed = context.access.close();
    outcome.and(closed.map_err(Into::into))
}

impl Command {
    /// What is logged when nobody says otherwise.
    fn log_filter(&self) -> &'static str {
        match self {
            Command::Daemon(daemon::Command::Run(_)) => "info",
            Command::Mount(args) if args.foreground => "info",
            _ => "warn",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The definition of the command line is consistent.
    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command and every argument that is shown has a help text.
    #[test]
    fn everything_has_help() {
        fn visit(command: &clap::Command) {
            let name = command.get_name();
            assert!(
                command.is_hide_set() || command.get_about().is_some(),
                "{name} has no help"
            );
            for argument in command.get_arguments() {
                let id = argument.get_id();
                let told = argument.is_hide_set() || argument.get_help().is_some();
                assert!(told || command.is_hide_set(), "{name}: {id} has no help");
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    /// `--pool` may stand before and after the command.
    #[test]
    fn the_pool_may_stand_anywhere() {
        for line in [
            ["volfs", "--pool", "/p", "volume", "ls"],
            ["volfs", "volume", "ls", "--pool", "/p"],
        ] {
            assert_eq!(Cli::try_parse_from(line).unwrap().pool, Some("/p".into()));
        }
    }
}
