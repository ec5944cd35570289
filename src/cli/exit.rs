//! Outcomes: what goes to stderr, and the exit code.

use std::io;
use std::process::ExitCode;

use crate::daemon::{Kind, ServiceError};

/// Exit code of `volfs df` while the disk has little room left.
pub(crate) const LOW: u8 = 8;

/// Outcome of a command.
pub(crate) type Outcome = Result<(), Failure>;

/// A command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Still to be told.
    Untold(ServiceError),
    /// Told already, for one of several things.
    Told(Kind),
    /// Another program's exit code.
    Code(u8),
    /// The result could not be written.
    Output(io::Error),
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Failure {
        Failure::Untold(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

/// The exit code of a kind of failure.
fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::Failed | Kind::Environment => 1,
        Kind::Usage => 2,
        Kind::Corrupt => 3,
        Kind::Busy => 4,
        Kind::NotFound => 5,
        Kind::Exists => 6,
        Kind::Unreachable | Kind::Stopping => 7,
    }
}

/// Tells what is still untold, and gives the exit code.
pub(crate) fn code(outcome: Outcome) -> ExitCode {
    ExitCode::from(match outcome {
        Ok(()) => 0,
        // Who reads the output has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(Failure::Output(error)) => {
            eprintln!("volfs: cannot write the result: {error}");
            1
        }
        Err(Failure::Untold(error)) => {
            tell(&error);
            code_of(error.kind)
        }
        Err(Failure::Told(kind)) => code_of(kind),
        Err(Failure::Code(code)) => code,
    })
}

/// Tells an error and its hints.
pub(crate) fn tell(error: &ServiceError) {
    eprintln!("volfs: {error}");
    for hint in &error.hints {
        self::hint(hint);
    }
}

/// Tells what the user may do.
pub(crate) fn hint(text: &str) {
    eprintln!("hint: {text}");
}

/// Tells what did not go quite as wanted.
pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("volfs: warning: {warning}");
    }
}

/// Does the same for several things: one that fails is told and keeps none of the others from
/// being done; the first failure's kind is the outcome.
pub(crate) fn for_each<T>(
    things: impl IntoIterator<Item = T>,
    mut act: impl FnMut(T) -> Outcome,
) -> Outcome {
    let mut first = Ok(());
    for thing in things {
        let failed = match act(thing) {
            Ok(()) => continue,
            Err(Failure::Untold(error)) => {
                tell(&error);
                Failure::Told(error.kind)
            }
            Err(Failure::Told(kind)) => Failure::Told(kind),
            Err(other) => return Err(other),
        };
        first = first.and(Err(failed));
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented exit codes.
    #[test]
    fn kinds_have_the_documented_codes() {
        let codes = [
            (Kind::Failed, 1),
            (Kind::Environment, 1),
            (Kind::Usage, 2),
            (Kind::Corrupt, 3),
            (Kind::Busy, 4),
            (Kind::NotFound, 5),
            (Kind::Exists, 6),
            (Kind::Unreachable, 7),
            (Kind::Stopping, 7),
        ];
        for (kind, code) in codes {
            assert_eq!(code_of(kind), code, "{kind:?}");
        }
    }

    /// A closed pipe is no failure, another output error is one.
    #[test]
    fn a_closed_pipe_is_quiet() {
        let closed = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(code(Err(closed)), ExitCode::from(0));
        let full = Failure::Output(io::ErrorKind::StorageFull.into());
        assert_eq!(code(Err(full)), ExitCode::from(1));
    }

    /// The others are done although one failed, and the first failure counts.
    #[test]
    fn one_failure_keeps_none_from_being_done() {
        let mut done = Vec::new();
        let outcome = for_each([1, 2, 3, 4], |number| {
            done.push(number);
            match number {
                2 => Err(Failure::Told(Kind::NotFound)),
                3 => Err(Failure::Told(Kind::Busy)),
                _ => Ok(()),
            }
        });
        assert_eq!(done, [1, 2, 3, 4]);
        assert!(
            matches!(outcome, Err(Failure::Told(Kind::NotFound))),
            "{outcome:?}"
        );
    }
}
