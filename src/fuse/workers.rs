//! Threads that serve the mount beside its readers.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Sender, unbounded};

use super::guard;
use crate::base::sync::thread::{self, JoinHandle};

/// Starts a named thread that may be needed to free memory. The kernel then never makes it wait
/// for write-out to the mount that it serves itself.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Needs CAP_SYS_RESOURCE; without it the bdi's own limits keep the risk small.
        if let Err(error) = rustix::process::configure_io_flusher_behavior(true) {
            log::debug!("cannot become an I/O flusher: {error}");
        }
        run();
    })
}

/// A few threads that take jobs in order. Dropping it does the jobs that wait, then ends them.
///
/// The queue needs no bound of its own: a job stands for a request that the kernel waits for, or
/// for inodes that it has just forgotten.
pub(crate) struct Workers<J> {
    jobs: Option<Sender<J>>,
    threads: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static> Workers<J> {
    pub(crate) fn start(
        name: &'static str,
        threads: usize,
        serve: impl Fn(J) + Send + Sync + 'static,
    ) -> io::Result<Workers<J>> {
        let (jobs, queue) = unbounded::<J>();
        let serve = Arc::new(serve);
        let mut workers = Workers {
            jobs: Some(jobs),
            threads: Vec::with_capacity(threads),
        };
        for _ in 0..threads {
            let (queue, serve) = (queue.clone(), serve.clone());
            workers.threads.push(spawn(name, move || {
                for job in queue {
                    // The log has the panic; a reply in the job has answered EIO.
                    let _ = guard::catch(name, || serve(job));
                }
            })?);
        }
        Ok(workers)
    }

    pub(crate) fn submit(&self, job: J) {
        if let Some(jobs) = &self.jobs {
            // Fails only when all threads are gone; a reply in the job then answers EIO.
            let _ = jobs.send(job);
        }
    }
}

impl<J> Drop for Workers<J> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Every job is done, those behind one that panics too, before the workers are gone.
    #[test]
    fn all_jobs_are_done_before_the_end() {
        guard::log_panics();
        let sum = Arc::new(AtomicU64::new(0));
        let seen = sum.clone();
        let workers = Workers::start("test-worker", 2, move |job: u64| {
            assert!(job != 50, "a job that panics");
            seen.fetch_add(job, Ordering::Relaxed);
        })
        .unwrap();
        (1..=100).for_each(|job| workers.submit(job));
        drop(workers);
        assert_eq!(sum.load(Ordering::Relaxed), 5050 - 50);
    }
}
