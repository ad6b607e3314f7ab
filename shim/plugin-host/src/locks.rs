//! One change of an object at a time. A guard travels with the call and is let go when the call returns, which may be
//! long after its caller gave up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Locks by name, made at first use and forgotten with the last.
#[derive(Clone, Default)]
pub(crate) struct Locks(Arc<Mutex<Table>>);

type Table = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

/// Holds the names given to [`Locks::lock`].
pub(crate) struct Held {
    guards: Vec<(String, Option<OwnedMutexGuard<()>>)>,
    locks: Locks,
}

impl Locks {
    /// Waits until nobody holds any of these names. Names are taken in order, so that two callers cannot wait for each
    /// other.
    ///
    /// # Cancel safety
    /// Dropping the future lets go of what it had.
    pub(crate) async fn lock(&self, names: &[&str]) -> Held {
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        let mut held = Held {
            guards: Vec::new(),
            locks: self.clone(),
        };
        for name in names {
            let lock = Arc::clone(self.table().entry(name.clone()).or_default());
            // Named before it is held, so that a dropped future forgets it, too.
            held.guards.push((name, None));
            let guard = lock.lock_owned().await;
            if let Some(last) = held.guards.last_mut() {
                last.1 = Some(guard);
            }
        }
        held
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.locks.table();
        for (name, guard) in self.guards.drain(..) {
            drop(guard);
            // Only the table knows it: nobody holds it and nobody waits.
            if table
                .get(&name)
                .is_some_and(|lock| Arc::strong_count(lock) == 1)
            {
                table.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_kept() {
        let locks = Locks::default();
        let held = locks.lock(&["b", "a", "b"]).await;
        let mut second = Box::pin(locks.lock(&["a"]));
        let waiting = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(second.as_mut().poll(cx).is_pending())
        })
        .await;
        assert!(waiting);
        drop(held);
        drop(second.await);
        let abandoned = locks.lock(&["c"]).await;
        let mut third = Box::pin(locks.lock(&["c"]));
        let pending =
            std::future::poll_fn(|cx| std::task::Poll::Ready(third.as_mut().poll(cx).is_pending()))
                .await;
        assert!(pending);
        drop(third);
        drop(abandoned);
        assert!(locks.table().is_empty());
    }
}
