//! The threads of one plugin: made when needed, ended when idle, never more than the bound. A call that does not return
//! keeps its thread, so a plugin that hangs uses up its own threads and nobody else's.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// How long an idle thread waits for work.
const IDLE: Duration = Duration::from_secs(10);
/// Plugins are foreign code, and drivers walk trees: as much as a main thread is commonly given is not needed.
const STACK: usize = 2 * 1024 * 1024;

/// Threads for blocking calls.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    name: String,
    threads: usize,
    queue: usize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    running: usize,
}

/// Every thread is in a call and the queue is full, or no thread could be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Pool {
    pub(crate) fn new(name: &str, threads: usize, queue: usize) -> Self {
        let name = format!("plugin-{name}");
        Self(Arc::new(Inner {
            name,
            threads,
            queue,
            state: Mutex::default(),
            work: Condvar::new(),
        }))
    }

    /// Has a thread run the job, now or when one is free.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let mut state = self.0.lock();
        if state.idle > state.jobs.len() {
            state.jobs.push_back(Box::new(job));
            self.0.work.notify_one();
            return Ok(());
        }
        let crowded = state.threads >= self.0.threads;
        if crowded && state.jobs.len() >= self.0.queue {
            return Err(Full);
        }
        if !crowded {
            let inner = Arc::clone(&self.0);
            let builder = std::thread::Builder::new()
                .name(self.0.name.clone())
                .stack_size(STACK);
            let started = builder.spawn(move || inner.run()).is_ok();
            if !started && state.threads == 0 {
                return Err(Full);
            }
            state.threads += usize::from(started);
        }
        state.jobs.push_back(Box::new(job));
        Ok(())
    }

    /// Most calls at once.
    pub(crate) fn threads(&self) -> usize {
        self.0.threads
    }

    /// Calls that a thread is in.
    pub(crate) fn running(&self) -> usize {
        self.0.lock().running
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.jobs.pop_front() {
                state.running += 1;
                drop(state);
                // The job contains its own panics; one that does not would only end this thread.
                job();
                state = self.lock();
                state.running -= 1;
            }
            state.idle += 1;
            let (woken, wait) = self
                .work
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if wait.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn no_more_threads_than_allowed_and_a_full_queue_refuses() {
        let pool = Pool::new("test", 2, 1);
        let (started, starts) = mpsc::channel();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let job = |number: u32| {
            let (started, gate) = (started.clone(), Arc::clone(&gate));
            move || {
                started.send(number).unwrap();
                let mut open = gate.0.lock().unwrap();
                while !*open {
                    open = gate.1.wait(open).unwrap();
                }
            }
        };
        pool.submit(job(1)).unwrap();
        pool.submit(job(2)).unwrap();
        let mut first = [starts.recv().unwrap(), starts.recv().unwrap()];
        first.sort_unstable();
        assert_eq!(first, [1, 2]);
        assert_eq!(pool.running(), 2);
        pool.submit(job(3)).unwrap();
        assert_eq!(pool.submit(job(4)), Err(Full));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        assert_eq!(starts.recv().unwrap(), 3);
    }
}
