//! Deliberate mistakes in the order of steps, to show that the explorations would notice them.

use std::cell::Cell;

/// A mistake that the code makes while a test asks for it; each is named where it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sabotage {
    /// A flush of the journal publishes the end of the log that it finds after its syncs instead
    /// of the one that it found before.
    JournalEndAfterSync,
    /// A segment's sync takes reserved bytes for written ones.
    ReservedIsWritten,
    /// Returned memory is told to waiting writers without the lock under which they look.
    RoomWithoutGate,
    /// The leader of a flush answers who came during the flush as well.
    LateRequestsAnswered,
    /// A cut appends its record before it takes the volumes' locks.
    CutBeforeLocks,
    /// A volume's sync looks at the frames that its records name before it looks how far these go.
    FramesBeforeState,
    /// A collection of garbage does not wait for those who have found a block, or look for one.
    PinsIgnored,
    /// A layer gives its changes back before the tree that says the same is made.
    ChangesGivenBackEarly,
}

thread_local! {
    static SABOTAGE: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

/// Whether this mistake is to be made. All explored threads of a test run on its own thread.
pub(crate) fn is_sabotaged(what: Sabotage) -> bool {
    SABOTAGE.get() == Some(what)
}

/// Makes the mistake from now on, or none.
pub(super) fn set(what: Option<Sabotage>) {
    SABOTAGE.set(what);
}
