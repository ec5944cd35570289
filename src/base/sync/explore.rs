//! Running a test under many schedules.

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::sabotage::{self, Sabotage};

/// Schedules of each kind that a test tries, unless `VOLFS_INTERLEAVINGS` says how many.
const ITERATIONS: usize = 400;
/// Schedules of each kind within which a sabotage must be noticed.
const SABOTAGED_ITERATIONS: usize = 10_000;
/// Equal seeds try equal schedules; `SHUTTLE_RANDOM_SEED` in the environment wins.
const SEED: u64 = 0x766f_6c66_7331;
/// Places in a schedule at which the thread of the highest priority loses it.
const PREEMPTIONS: usize = 3;
const STACK_BYTES: usize = 512 << 10;
const LONG_STACK_BYTES: usize = 4 << 20;
const STEPS_MAX: usize = 200_000;

/// Whether the thread belongs to an exploration.
pub(crate) fn is_explored() -> bool {
    shuttle::current::try_get_current_task().is_some()
}

/// A point at which another explored thread may go on. Nothing for ordinary threads.
pub(crate) fn switch() {
    if is_explored() {
        // Time does not pass in an exploration: this is nothing but a point to switch at.
        shuttle::thread::sleep(Duration::ZERO);
    }
}

/// Runs `body` under many schedules of the threads that it starts: random ones, and ones that keep
/// to priorities with a few preemptions, which find rare orders. A panic under any of them and a
/// deadlock are failures; the schedule is printed. With `VOLFS_SCHEDULE` it runs that one only.
pub(crate) fn explore(body: impl Fn() + Send + Sync + 'static) {
    if let Ok(schedule) = env::var("VOLFS_SCHEDULE") {
        return replay(schedule.trim(), body);
    }
    if let Err(panic) = run(body, iterations()) {
        let test = std::thread::current();
        let test = test.name().unwrap_or("?").to_owned();
        eprintln!(
            "to repeat it: VOLFS_SCHEDULE=<the schedule above> cargo test --lib {test} -- --exact"
        );
        resume_unwind(panic);
    }
}

/// Runs `body` under this one schedule, as a failure printed it: a regression test of one.
pub(crate) fn replay(schedule: &str, body: impl Fn() + Send + Sync + 'static) {
    let scheduler = ReplayScheduler::new_from_encoded(schedule);
    Runner::new(scheduler, config()).run(body);
}

/// Runs `body` with a mistake in the code that it tests until a schedule makes it fail, and says
/// how it failed.
///
/// # Panics
/// When no schedule does: the test would not notice.
pub(crate) fn explore_sabotaged(what: Sabotage, body: impl Fn() + Send + Sync + 'static) -> String {
    sabotage::set(Some(what));
    let outcome = run(body, SABOTAGED_ITERATIONS);
    sabotage::set(None);
    let panic = outcome.expect_err("the sabotage must be noticed");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_default()
}

/// Runs `body` once, with the threads that it starts, under the schedule that the seed stands for:
/// equal seeds give equal runs. A panic of it is the caller's; nothing is printed.
pub(crate) fn once<T: Send + 'static>(seed: u64, body: impl FnOnce() -> T + Send + 'static) -> T {
    let mut config = config();
    config.stack_size = LONG_STACK_BYTES;
    config.max_steps = MaxSteps::None;
    config.failure_persistence = FailurePersistence::None;
    let body = Mutex::new(Some(body));
    let (done, outcome) = mpsc::channel();
    let done = Mutex::new(done);
    Runner::new(RandomScheduler::new_from_seed(seed, 1), config).run(move || {
        let body = body.lock().take().expect("it runs once");
        // Past the exploration, which would report it as a failure of the schedule.
        let result = catch_unwind(AssertUnwindSafe(body));
        done.lock().send(result).expect("the caller waits");
    });
    let result = outcome.recv().expect("the body came to its end");
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

fn iterations() -> usize {
    match env::var("VOLFS_INTERLEAVINGS") {
        Ok(count) => count.parse().expect("VOLFS_INTERLEAVINGS is a number"),
        Err(_) => ITERATIONS,
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config
}

fn run(
    body: impl Fn() + Send + Sync + 'static,
    iterations: usize,
) -> Result<(), Box<dyn Any + Send>> {
    let body = std::sync::Arc::new(body);
    let random = RandomScheduler::new_from_seed(SEED, iterations);
    let preempting = PctScheduler::new_from_seed(SEED, PREEMPTIONS, iterations);
    run_by(random, body.clone())?;
    run_by(preempting, body)
}

fn run_by(
    scheduler: impl Scheduler + 'static,
    body: std::sync::Arc<impl Fn() + Send + Sync + 'static>,
) -> Result<(), Box<dyn Any + Send>> {
    let runner = Runner::new(scheduler, config());
    catch_unwind(AssertUnwindSafe(|| runner.run(move || body()))).map(|_| ())
}
