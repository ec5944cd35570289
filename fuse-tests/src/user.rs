//! Calls as another user, from a thread of the test.

use std::thread;

use rustix::fs::Mode;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    UnshareFlags, set_thread_gid, set_thread_groups, set_thread_uid, unshare_unsafe,
};

/// Whom the calls come from.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    /// User, real and effective; without privileges unless it is 0.
    pub uid: u32,
    /// Group, real and effective.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: &'a [u32],
    /// What creation leaves out.
    pub umask: u32,
}

impl User<'_> {
    /// A user and group of this number with the usual umask, in no other groups.
    pub const fn new(id: u32) -> User<'static> {
        User {
            uid: id,
            gid: id,
            groups: &[],
            umask: 0o022,
        }
    }

    /// Runs calls as this user. Linux keeps users and groups by thread, and so the test's other
    /// threads stay root.
    #[track_caller]
    pub fn run<R: Send>(&self, calls: impl FnOnce() -> R + Send) -> R {
        let user = *self;
        let outcome = thread::scope(|scope| {
            let thread = scope.spawn(move || {
                user.become_him();
                calls()
            });
            thread.join()
        });
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn become_him(&self) {
        // SAFETY: it gives this thread a umask and a working folder of its own, nothing else; both
        // belong to no other thread of the test then.
        unsafe { unshare_unsafe(UnshareFlags::FS).expect("root may") };
        rustix::process::umask(Mode::from_raw_mode(self.umask));
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        set_thread_groups(&groups).expect("root may");
        set_thread_gid(Gid::from_raw(self.gid)).expect("root may");
        set_thread_uid(Uid::from_raw(self.uid)).expect("root may");
    }
}
