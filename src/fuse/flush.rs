//! Getting the kernel's dirty pages of files that are open for writing, before a snapshot.
//!
//! A process that serves a mount must never wait for its own mount, so a helper process does it:
//! this same program with a hidden subcommand (`flush_helper`). It gets node ids on its standard
//! input and answers a line for each on its standard output:
//!
//! ```text
//! flushed NODE          its pages have been handed to the daemon
//! missing NODE          no open file was found
//! failed NODE REASON    could not be opened or written
//! ```
//!
//! The helper opens the mount point itself, and checks that it reaches the right filesystem. A
//! descriptor of the mount kept by the daemon would make every plain umount(8) fail as busy.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, select, unbounded};

use super::flush_helper::SUBCOMMAND;
use super::node::NodeId;

/// What became of a flush of open files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlushReport {
    /// Files whose dirty pages have all been handed over.
    pub flushed: usize,
    /// One line per file that could not be flushed.
    pub failed: Vec<String>,
}

/// One line of the helper's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Flushed(NodeId),
    Missing(NodeId),
    Failed(NodeId, String),
}

impl Outcome {
    pub(super) fn to_line(&self) -> String {
        match self {
            Outcome::Flushed(node) => format!("flushed {}", node.0),
            Outcome::Missing(node) => format!("missing {}", node.0),
            Outcome::Failed(node, reason) => {
                format!("failed {} {}", node.0, reason.replace('\n', " "))
            }
        }
    }

    fn parse(line: &str) -> Option<Outcome> {
        let mut words = line.splitn(3, ' ');
        let verb = words.next()?;
        let node = NodeId(words.next()?.parse().ok()?);
        match verb {
            "flushed" => Some(Outcome::Flushed(node)),
            "missing" => Some(Outcome::Missing(node)),
            "failed" => Some(Outcome::Failed(
                node,
                words.next().unwrap_or_default().to_owned(),
            )),
            _ => None,
        }
    }
}

/// Flushes these nodes of the mount within `deadline`. `is_open` says whether a node is open for
/// writing now: one that the helper cannot find has been closed meanwhile, which has flushed it.
pub(crate) fn flush(
    path: &Path,
    device: u64,
    nodes: &[NodeId],
    deadline: Duration,
    is_open: &dyn Fn(NodeId) -> bool,
) -> FlushReport {
    if nodes.is_empty() {
        return FlushReport::default();
    }
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("volfs")
        .arg(SUBCOMMAND)
        .arg(path)
        .arg(device.to_string())
        .current_dir("/");
    run(command, nodes, deadline, is_open)
}

fn run(
    mut command: Command,
    nodes: &[NodeId],
    deadline: Duration,
    is_open: &dyn Fn(NodeId) -> bool,
) -> FlushReport {
    let timeout = after(deadline);
    let (mut child, outcomes) = match start(&mut command, nodes) {
        Ok(started) => started,
        Err(error) => {
            let reason = format!("the flush helper cannot be started: {error}");
            return report(
                nodes.iter().copied().collect(),
                Vec::new(),
                &reason,
                is_open,
            );
        }
    };
    let mut waiting: HashSet<NodeId> = nodes.iter().copied().collect();
    let mut answers = Vec::new();
    let reason = loop {
        select! {
            recv(outcomes) -> outcome => match outcome {
                Ok(outcome) => {
                    let (Outcome::Flushed(node)
                    | Outcome::Missing(node)
                    | Outcome::Failed(node, _)) = &outcome;
                    if waiting.remove(node) {
                        answers.push(outcome);
                    }
                }
                Err(_) => break "the flush helper ended before".to_owned(),
            },
            recv(timeout) -> _ => {
                // Fails only if it has ended by itself.
                let _ = child.kill();
                break format!("not flushed within {deadline:?}");
            }
        }
    };
    reap(child);
    report(waiting, answers, &reason, is_open)
}

/// Starts the helper, and a thread that feeds it and passes its answers on until it ends.
fn start(command: &mut Command, nodes: &[NodeId]) -> io::Result<(Child, Receiver<Outcome>)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (sender, outcomes) = unbounded();
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let list: String = nodes.iter().map(|node| format!("{}\n", node.0)).collect();
    let talk = move || {
        if let Some(mut input) = input {
            // If the helper has died its answers are missing, which is reported.
            let _ = input.write_all(list.as_bytes());
        }
        let lines = output
            .into_iter()
            .flat_map(|output| BufReader::new(output).lines());
        for outcome in lines
            .map_while(Result::ok)
            .filter_map(|line| Outcome::parse(&line))
        {
            if sender.send(outcome).is_err() {
                break;
            }
        }
    };
    match thread::Builder::new()
        .name("volfs-flushed".into())
        .spawn(talk)
    {
        Ok(_) => Ok((child, outcomes)),
        Err(error) => {
            let _ = child.kill();
            reap(child);
            Err(error)
        }
    }
}

/// Waits for the end of the helper behind the caller's back: a killed one may still have to wait
/// for the pages that it was writing.
fn reap(mut child: Child) {
    let waiting = thread::Builder::new()
        .name("volfs-reaper".into())
        .spawn(move || child.wait());
    if let Err(error) = waiting {
        log::warn!("cannot wait for the end of the flush helper: {error}");
    }
}

fn report(
    unanswered: HashSet<NodeId>,
    answers: Vec<Outcome>,
    reason: &str,
    is_open: &dyn Fn(NodeId) -> bool,
) -> FlushReport {
    let mut report = FlushReport::default();
    for answer in answers {
        match answer {
            Outcome::Failed(node, reason) => {
                report
                    .failed
                    .push(format!("inode {}: {reason}", node.ino()));
            }
            Outcome::Missing(node) if is_open(node) => {
                let reason = "open in a process that cannot be looked into";
                report
                    .failed
                    .push(format!("inode {}: {reason}", node.ino()));
            }
            Outcome::Missing(_) | Outcome::Flushed(_) => report.flushed += 1,
        }
    }
    let mut unanswered: Vec<NodeId> = unanswered.into_iter().collect();
    unanswered.sort_unstable();
    for node in unanswered {
        report
            .failed
            .push(format!("inode {}: {reason}", node.ino()));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Ino;

    fn nodes() -> Vec<NodeId> {
        (5..9).map(|ino| NodeId::new(0, Ino(ino))).collect()
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    /// The lines between helper and daemon survive the way, and other lines are ignored.
    #[test]
    fn outcomes_round_trip() {
        let node = NodeId::new(3, Ino(7));
        for (outcome, line) in [
            (Outcome::Flushed(node), "flushed 844424930131975"),
            (Outcome::Missing(node), "missing 844424930131975"),
            (
                Outcome::Failed(node, "a b c".into()),
                "failed 844424930131975 a b c",
            ),
        ] {
            assert_eq!(outcome.to_line(), line);
            assert_eq!(Outcome::parse(line), Some(outcome));
        }
        assert_eq!(
            Outcome::Failed(node, "a\nb".into())
                .to_line()
                .lines()
                .count(),
            1
        );
        for line in ["", "flushed", "flushed x", "done 5"] {
            assert_eq!(Outcome::parse(line), None);
        }
    }

    /// The report counts what was flushed or closed meanwhile, and names the rest.
    #[test]
    fn the_report_names_what_failed() {
        let script = "cat >/dev/null; echo flushed 5; echo failed 6 /x: broken; \
                      echo missing 7; echo missing 8; echo missing 999";
        let is_open = |node: NodeId| node.ino() == Ino(8);
        let report = run(shell(script), &nodes(), Duration::from_secs(60), &is_open);
        assert_eq!(report.flushed, 2);
        assert_eq!(
            report.failed,
            [
                "inode 6: /x: broken",
                "inode 8: open in a process that cannot be looked into"
            ]
        );
    }

    /// A helper that hangs is killed at the deadline; what it has said by then counts.
    #[test]
    fn a_hanging_helper_is_cut_off() {
        let script = "echo flushed 5; exec sleep 1000";
        let report = run(shell(script), &nodes(), Duration::from_millis(300), &|_| {
            true
        });
        assert_eq!(report.flushed, 1);
        assert_eq!(report.failed.len(), 3);
        assert_eq!(report.failed[0], "inode 6: not flushed within 300ms");
    }

    /// A helper that dies, or cannot be started at all, has flushed nothing more.
    #[test]
    fn a_dying_helper_is_no_success() {
        let report = run(
            shell("echo flushed 6; kill -9 $$"),
            &nodes(),
            Duration::MAX,
            &|_| true,
        );
        assert_eq!(report.flushed, 1);
        assert_eq!(report.failed[0], "inode 5: the flush helper ended before");

        let report = run(Command::new("/no/such"), &nodes(), Duration::MAX, &|_| true);
        assert_eq!((report.flushed, report.failed.len()), (0, 4));
    }
}
