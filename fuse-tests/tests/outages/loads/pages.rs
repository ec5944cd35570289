//! Writers of pages that name themselves.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use fuse_tests::promises::{self, Promises};
use fuse_tests::writers::{Mode, Writers};

use super::{Load, Site};

/// Longer than any round: the writers end when the volume does.
const WRITE_FOR: Duration = Duration::from_secs(300);
/// Promises of each writer before the outage may come.
const UNDER_WAY: usize = 20;
/// Rounds whose files are kept, and verified again after each later outage.
const ROUNDS_KEPT: usize = 3;

/// One writer for each of some modes, in a folder of its own in each round.
pub struct Pages {
    name: &'static str,
    modes: Vec<Mode>,
    is_promised: bool,
    round: u64,
    running: Option<Writers>,
    promised: VecDeque<(PathBuf, Promises)>,
}

impl Pages {
    /// Writers of these modes, whose promises count.
    pub fn new(modes: &[Mode]) -> Pages {
        Pages {
            name: "pages",
            modes: modes.to_vec(),
            is_promised: true,
            round: 0,
            running: None,
            promised: VecDeque::new(),
        }
    }

    /// The same for modes whose promises do not cover the outage: what is there must be whole.
    pub fn unsynced(modes: &[Mode]) -> Pages {
        Pages {
            name: "unsynced",
            is_promised: false,
            ..Pages::new(modes)
        }
    }
}

impl Load for Pages {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&mut self, site: &Site) {
        if self.promised.len() == ROUNDS_KEPT
            && let Some((oldest, _)) = self.promised.pop_front()
        {
            match fs::remove_dir_all(oldest) {
                Err(error) if self.is_promised => panic!("cannot remove old files: {error}"),
                _ => {}
            }
        }
        self.round += 1;
        let folder = site.data.join(format!("round-{}", self.round));
        fs::create_dir(&folder).expect("each round has a folder of its own");
        let writers = Writers::start(&folder, &self.modes, site.seed + self.round, WRITE_FOR);
        writers.wait_for(UNDER_WAY);
        self.running = Some(writers);
        self.promised.push_back((folder, Promises::default()));
    }

    fn end(&mut self, _site: &Site) {
        let promises = self.running.take().expect("it was started").finish();
        if self.is_promised {
            self.promised.back_mut().expect("it was started").1 = promises;
        }
    }

    fn verify(&mut self, _site: &Site) {
        for (folder, promises) in &self.promised {
            let checked = promises.check(folder);
            assert_eq!(checked, Ok(()), "{}", folder.display());
            // The folder itself was not synced.
            if !self.is_promised && folder.exists() {
                let pages =
                    promises::Pages::count(folder).unwrap_or_else(|broken| panic!("{broken}"));
                assert_eq!(pages.unreadable, 0, "{}", folder.display());
            }
        }
    }
}
