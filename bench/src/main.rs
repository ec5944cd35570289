//! Workloads on a volume and on other filesystems of the same disk, in turn. `scripts/bench.sh`
//! installs what it needs and calls it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser};

use volfs_bench::attempts::least_disturbed;
use volfs_bench::command::{command, run};
use volfs_bench::peers::{Kind, Peer};
use volfs_bench::report::{Report, Sample};
use volfs_bench::workloads::{self, Places, Postgres, Run, Size, Workload};
use volfs_bench::{growth, micro};

const MIB: u64 = 1 << 20;

/// Measures a volume beside other filesystems on the same disk.
#[derive(Parser)]
#[command(name = "volfs-bench")]
enum Command {
    /// Prints the workloads
    List,
    /// Prints what single layers do beside their limits
    Micro {
        /// Folder of criterion's results
        results: PathBuf,
    },
    /// Tells and draws what operations cost as something grows
    Growth {
        /// What was measured
        measured: PathBuf,
        /// The chart to write
        chart: PathBuf,
    },
    /// Makes small files, a thousand in a folder
    FillFolder {
        /// Where
        folder: PathBuf,
        /// Files that are there already
        before: u64,
        /// Files that there are then
        count: u64,
    },
    /// Times calls on small files among those that fill-folder has made
    TimeFolder {
        /// Where
        folder: PathBuf,
        /// Files that are there
        count: u64,
    },
    /// Measures
    Run(Box<Arguments>),
}

#[derive(Args)]
struct Arguments {
    /// What to compare with; ext4 is always there: the filesystem that everything lies on
    #[arg(long, value_delimiter = ',', default_value = "btrfs,xfs,zfs,bindfs")]
    peers: Vec<Kind>,
    /// Rounds; in each of them every workload runs once on every filesystem, in every other one from
    /// the last filesystem to the first
    #[arg(long, default_value_t = 4)]
    rounds: u32,
    /// How often a run is taken at most where the host takes processors away from it: the one that
    /// is disturbed least counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// Small and short, each run once: shows that everything works, and measures little
    #[arg(long)]
    quick: bool,
    /// Only these workloads, by their short names
    #[arg(long, value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// The program to measure
    #[arg(long)]
    volfs: PathBuf,
    /// Another build of it, measured in the same rounds
    #[arg(long)]
    against: Option<PathBuf>,
    /// Instead of a volume as it is by default: one for each of these sizes of a block, in KiB
    #[arg(long, value_delimiter = ',', value_parser = block_sizes())]
    block_sizes: Vec<u32>,
    /// Folder with the job files of fio
    #[arg(long)]
    jobs: PathBuf,
    /// Folder with the source that is compiled
    #[arg(long)]
    source: PathBuf,
    /// An empty folder on the disk to measure
    #[arg(long)]
    folder: PathBuf,
    /// Folder for results.json, table.md and ratios.svg
    #[arg(long)]
    results: PathBuf,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(workloads::ALL.map(|one| one.job))
}

fn block_sizes() -> impl TypedValueParser<Value = u32> {
    PossibleValuesParser::new(["4", "8", "16", "32", "64", "128"])
        .map(|text| text.parse().expect("the possible values are numbers"))
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::List => {
            list();
            Ok(())
        }
        Command::Micro { results } => micro::table(&results).map(|table| print!("{table}")),
        Command::Growth { measured, chart } => {
            growth::tell(&measured, &chart).map(|table| print!("{table}"))
        }
        Command::FillFolder {
            folder,
            before,
            count,
        } => growth::fill_folder(&folder, before, count).context("a folder of small files"),
        Command::TimeFolder { folder, count } => {
            growth::time_folder(&folder, count).map(|lines| print!("{lines}"))
        }
        Command::Run(arguments) => compare(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for one in workloads::ALL {
        println!("{:<22}{}: {}", one.job, one.name, one.about);
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    let chosen = chosen(&arguments.only);
    let size = size_of(arguments.quick);
    fs::create_dir_all(&arguments.results)?;
    let mut kinds = vec![Kind::Ext4];
    match arguments.block_sizes.as_slice() {
        [] => kinds.push(Kind::Volfs),
        sizes => kinds.extend(sizes.iter().map(|kib| Kind::Blocks(*kib))),
    }
    if arguments.against.is_some() {
        kinds.push(Kind::Against);
    }
    for kind in &arguments.peers {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    let peers = make_peers(arguments, &kinds, &size)?;
    let mut report = Report {
        machine: machine(arguments)?,
        reference: Kind::Ext4.name(),
        peers: kinds.iter().map(|kind| kind.name()).collect(),
        judged: Kind::Volfs.name(),
        bars: chosen
            .iter()
            .filter_map(|one| Some((one.name, one.bar?)))
            .collect(),
        samples: Vec::new(),
    };
    measure(arguments, &chosen, &peers, &size, &mut report)?;
    for peer in &peers {
        if let Some(bytes) = peer.stored()? {
            println!(
                "{}: {} MiB in segments at the end",
                peer.kind.name(),
                bytes / MIB
            );
        }
    }
    let file = |name: &str| arguments.results.join(name);
    fs::write(file("results.json"), serde_json::to_string_pretty(&report)?)?;
    let table = [report.table(), report.disturbed(), report.latencies()].join("\n");
    fs::write(file("table.md"), &table)?;
    report.chart(&file("ratios.svg"))?;
    println!("\n{table}");
    Ok(())
}

fn make_peers(arguments: &Arguments, kinds: &[Kind], size: &Size) -> Result<Vec<Peer>> {
    // Room for what all workloads leave, and as much again for what they have removed; an image is
    // sparse.
    let written = 4 * size.file_bytes + size.stream_bytes + 64 * MIB * u64::from(size.scale);
    let peers = kinds.iter().map(|kind| {
        let program = match (kind, &arguments.against) {
            (Kind::Against, Some(other)) => other,
            _ => &arguments.volfs,
        };
        Peer::make(*kind, &arguments.folder, program, 2 * written + (2 << 30))
            .with_context(|| kind.name())
    });
    peers.collect()
}

fn chosen(only: &[String]) -> Vec<Workload> {
    let is_chosen = |one: &Workload| only.is_empty() || only.iter().any(|name| name == one.job);
    workloads::ALL.into_iter().filter(is_chosen).collect()
}

fn size_of(is_quick: bool) -> Size {
    match is_quick {
        true => Size {
            file_bytes: 64 * MIB,
            stream_bytes: 128 * MIB,
            time: Duration::from_secs(2),
            files: 2000,
            tree_files: 500,
            scale: 2,
            rows: 2000,
            requests: 2000,
            server_time: Duration::from_secs(3),
        },
        false => Size {
            file_bytes: 512 * MIB,
            stream_bytes: 1024 * MIB,
            time: Duration::from_secs(6),
            files: 20_000,
            tree_files: 5000,
            scale: 30,
            rows: 50_000,
            requests: 50_000,
            server_time: Duration::from_secs(20),
        },
    }
}

/// All rounds: first what works on files, then what needs a server that stays up, which keeps a
/// filesystem from being unmounted.
fn measure(
    arguments: &Arguments,
    chosen: &[Workload],
    peers: &[Peer],
    size: &Size,
    report: &mut Report,
) -> Result<()> {
    let places = Places {
        jobs: arguments.jobs.clone(),
        source: arguments.source.clone(),
        scratch: arguments.folder.clone(),
    };
    let on = |peer, postgres| Run {
        peer,
        postgres,
        size,
        places: &places,
    };
    let (with_server, without): (Vec<Workload>, _) =
        chosen.iter().partition(|one| one.needs_postgres());
    for workload in &without {
        for peer in peers {
            let failed = || format!("{} on {}", workload.name, peer.kind.name());
            workload.prepare(&on(peer, None)).with_context(failed)?;
        }
    }
    let attempts = match arguments.quick {
        true => 1,
        false => arguments.attempts,
    };
    let turn = |round| Turn { round, attempts };
    for round in 0..arguments.rounds {
        for workload in &without {
            for peer in there_and_back(peers.iter(), round) {
                take(workload, &on(peer, None), turn(round), report)?;
            }
        }
    }
    if with_server.is_empty() {
        return Ok(());
    }
    let servers = peers.iter().map(|peer| {
        let socket = arguments
            .folder
            .join(format!("socket-{}", peer.kind.name()));
        Postgres::make(peer.folder(), socket, size.scale)
            .with_context(|| format!("Postgres on {}", peer.kind.name()))
    });
    let servers: Vec<Postgres> = servers.collect::<Result<_>>()?;
    for round in 0..arguments.rounds {
        for workload in &with_server {
            for (peer, server) in there_and_back(peers.iter().zip(&servers), round) {
                take(workload, &on(peer, Some(server)), turn(round), report)?;
            }
        }
    }
    Ok(())
}

/// When a workload is run, and how often at most.
#[derive(Clone, Copy)]
struct Turn {
    round: u32,
    attempts: u32,
}

/// All of them, in every other round from the last one to the first: a disk that was just worked
/// on answers otherwise than one that has rested, and nobody is to come behind the same one always.
fn there_and_back<T>(all: impl DoubleEndedIterator<Item = T>, round: u32) -> Vec<T> {
    match round.is_multiple_of(2) {
        true => all.collect(),
        false => all.rev().collect(),
    }
}

/// Runs a workload, again where the host disturbs it, and keeps the run that counts.
fn take(workload: &Workload, on: &Run, turn: Turn, report: &mut Report) -> Result<()> {
    let most = match workload.is_repeatable() {
        true => turn.attempts,
        false => 1,
    };
    let stolen = |sample: &Sample| sample.stolen;
    let (mut sample, attempts) =
        least_disturbed(most, stolen, || attempt(workload, on, turn.round))?;
    sample.attempts = attempts;
    report.samples.push(sample);
    Ok(())
}

fn attempt(workload: &Workload, on: &Run, round: u32) -> Result<Sample> {
    let name = on.peer.kind.name();
    let before = on.peer.duplicates()?;
    let outcome = workload
        .run(on, fresh_seed()?)
        .with_context(|| format!("{} on {name}", workload.name))?;
    // A daemon that was started anew counts from zero.
    let after = on.peer.duplicates()?;
    let duplicates = after
        .zip(before)
        .map(|(after, before)| match after < before {
            true => after,
            false => after - before,
        });
    let others = outcome.others.iter();
    let others: String = others
        .map(|(other, value)| format!(", {other} {value:.1}"))
        .collect();
    println!(
        "round {}, {}, {name}: {:.1} {}{others}, stolen ms {:.0}",
        round + 1,
        workload.name,
        outcome.value,
        workload.unit,
        outcome.stolen.ms
    );
    Ok(Sample {
        workload: workload.name,
        unit: workload.unit,
        peer: name,
        round,
        value: outcome.value,
        others: outcome.others.into_iter().collect(),
        latencies: outcome.latencies,
        duplicates,
        stolen: outcome.stolen,
        attempts: 1,
    })
}

/// Another one each time, in later runs, too.
fn fresh_seed() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64)
}

fn machine(arguments: &Arguments) -> Result<BTreeMap<&'static str, String>> {
    let first_line = |program: &str, words: &[&str]| -> Result<String> {
        let told = run(&mut command(program, words.iter().copied()))?;
        Ok(told.lines().next().unwrap_or_default().to_owned())
    };
    let folder = arguments
        .folder
        .to_str()
        .context("the folder's path is not UTF-8")?;
    let below = run(&mut command("df", ["--output=fstype", folder]))?;
    let below = below.lines().last().unwrap_or_default().to_owned();
    ensure!(Path::new("/dev/fuse").exists(), "there is no /dev/fuse");
    Ok([
        ("cores", std::thread::available_parallelism()?.to_string()),
        ("kernel", first_line("uname", &["-r"])?),
        ("below", below),
        ("date", first_line("date", &["-u", "+%F"])?),
        (
            "load before",
            fs::read_to_string("/proc/loadavg")?.trim().to_owned(),
        ),
        (
            "volfs",
            first_line(arguments.volfs.to_str().context("a path")?, &["--version"])?,
        ),
        ("fio", first_line("fio", &["--version"])?),
    ]
    .into())
}
