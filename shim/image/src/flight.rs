//! One at a time by key, and leases: what a pull or load under way must not lose to a collection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

/// Work with the same key waits for each other; whoever comes second finds it done.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Flights {
    /// Waits for the key's turn.
    pub(crate) async fn enter(&self, key: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            map.retain(|_, lock| lock.strong_count() > 0);
            match map.get(key).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    map.insert(key.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

/// Digests and chain ids in use by operations. The engine collects nothing while an operation runs; this keeps the
/// content even of a caller that does.
#[derive(Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<HashMap<String, usize>>>);

/// What one operation holds, until it is dropped.
pub(crate) struct Lease {
    all: Leases,
    mine: Mutex<Vec<String>>,
}

impl Leases {
    pub(crate) fn begin(&self) -> Lease {
        Lease {
            all: self.clone(),
            mine: Mutex::default(),
        }
    }

    /// Whether an operation holds it.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(key)
    }
}

impl Lease {
    /// Holds it from now on. Say so before looking whether it is there.
    pub(crate) fn hold(&self, key: impl ToString) {
        let key = key.to_string();
        *self
            .all
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key.clone())
            .or_default() += 1;
        self.mine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(key);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mine = std::mem::take(&mut *self.mine.lock().unwrap_or_else(PoisonError::into_inner));
        let mut map = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in mine {
            if let Entry::Occupied(mut held) = map.entry(key) {
                *held.get_mut() -= 1;
                if *held.get() == 0 {
                    held.remove();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_until_the_last_one_lets_go() {
        let all = Leases::default();
        let (a, b) = (all.begin(), all.begin());
        a.hold("x");
        b.hold("x");
        drop(a);
        assert!(all.holds("x"));
        drop(b);
        assert!(!all.holds("x"));
    }

    #[tokio::test]
    async fn one_key_one_at_a_time() {
        let flights = Arc::new(Flights::default());
        let first = flights.enter("a").await;
        let _other = flights.enter("b").await;
        let second = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { flights.enter("a").await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap();
    }
}
