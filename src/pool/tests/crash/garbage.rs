//! Garbage is collected while the life goes on: between the steps of a round others work.

use super::change::{BLOCK, Change};
use super::steps::{Done, Failed};
use super::world::World;
use crate::base::progress::Silent;
use crate::pool::gc::{Patience, Round};
use crate::pool::{GcOptions, GcReport, PoolError};

/// Blocks of a write that is sealed at once.
const LARGE_BLOCKS: u64 = 20;
/// Contents that are remembered.
const CONTENTS_MAX: usize = 6;

impl World {
    /// A collection; or something becomes garbage for a later one.
    pub(super) fn any_garbage(&mut self, volume: &str) -> Done {
        match self.aside.random.below(10) {
            0..4 => self.make_garbage(volume),
            4..8 => self.collect_by_steps(),
            _ => self.collect(),
        }
    }

    fn any_file(&mut self, volume: &str) -> Option<String> {
        let tree = self.tree(volume);
        let files = tree.entries().filter(|(_, node)| node.is_file());
        let files: Vec<String> = files.map(|(path, _)| path.clone()).collect();
        self.aside.random.pick(&files).cloned()
    }

    /// Writes something large and overwrites it; remembers what it was.
    fn make_garbage(&mut self, volume: &str) -> Done {
        let Some(file) = self.any_file(volume) else {
            return Ok(());
        };
        let large = |world: &mut World| world.aside.random.bytes((LARGE_BLOCKS * BLOCK) as usize);
        let (first, second) = (large(self), large(self));
        self.change(volume, &Change::Write(file.clone(), 0, first.clone()))?;
        self.aside.contents.push(first);
        if self.aside.contents.len() > CONTENTS_MAX {
            self.aside.contents.remove(0);
        }
        self.sync(volume)?;
        self.change(volume, &Change::Write(file, 0, second))?;
        self.sync(volume)
    }

    /// What was garbage is written again: it is found stored, unless its segment is condemned.
    fn repeat_garbage(&mut self) -> Done {
        let names: Vec<String> = self.live_volumes().cloned().collect();
        let Some(volume) = self.aside.random.pick(&names).cloned() else {
            return Ok(());
        };
        let content = self
            .aside
            .random
            .pick(&self.aside.contents.clone())
            .cloned();
        let (Some(file), Some(content)) = (self.any_file(&volume), content) else {
            return Ok(());
        };
        self.change(&volume, &Change::Write(file, 0, content))?;
        self.sync(&volume)
    }

    /// Others work.
    fn meanwhile(&mut self) -> Done {
        if self.aside.is_due(60) {
            self.repeat_garbage()?;
        }
        match self.aside.is_due(40) {
            true => self.plain_step(),
            false => Ok(()),
        }
    }

    fn collect(&mut self) -> Done {
        self.tell("garbage is collected".to_owned());
        let options = GcOptions::default();
        let done = self.pool().collect_garbage(&options, &Silent);
        done.map(drop).map_err(harmless)
    }

    fn collect_by_steps(&mut self) -> Done {
        let pool = self.pool().clone();
        let mut segments = pool.shared.store.at_rest();
        segments.retain(|_| self.aside.is_due(60));
        self.tell(format!("garbage: segments {segments:?} are condemned"));
        let (options, mut report) = (GcOptions::default(), GcReport::default());
        let mut round =
            Round::condemn(&pool, segments, Patience::default(), &Silent).map_err(harmless)?;
        self.meanwhile()?;
        let needed = round.mark().map_err(harmless)?;
        self.meanwhile()?;
        self.tell(format!("garbage: {} frames are moved", needed.len()));
        let emptied = round.empty(&needed, &options, &mut report, (&Silent, 0));
        emptied.map_err(harmless)?;
        self.meanwhile()?;
        self.tell("garbage: the segments go".to_owned());
        round.remove(&mut report).map_err(harmless)?;
        self.meanwhile()
    }
}

/// What does not come to be collected concerns nobody.
fn harmless(error: PoolError) -> Failed {
    Failed {
        is_harmless: true,
        ..Failed::from(error)
    }
}
