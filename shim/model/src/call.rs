//! What goes with every call that leaves the engine: operation, deadline, cancel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::{Error, OperationId, Result};

/// Says "stop" to work in progress. Dropping a future cancels nothing; this does.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    said: AtomicBool,
    notify: Notify,
}

impl Cancel {
    /// Says it, once and for all.
    pub fn cancel(&self) {
        self.0.said.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Whether it was said.
    pub fn is_cancelled(&self) -> bool {
        self.0.said.load(Ordering::SeqCst)
    }

    /// Returns when it is said. Cancel safe.
    pub async fn cancelled(&self) {
        loop {
            let notified = self.0.notify.notified();
            if self.is_cancelled() {
                return;
            }
            notified.await;
        }
    }

    /// # Errors
    /// `Cancelled` when it was said.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            Err(Error::cancelled("the operation was cancelled"))
        } else {
            Ok(())
        }
    }
}

/// One call's operation, time limit and cancel.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation it belongs to; goes into logs, crash marks and the supervisor's protocol.
    pub operation: OperationId,
    /// How long the callee may take before the outcome counts as unknown.
    pub timeout: Duration,
    /// Cancel of the operation.
    pub cancel: Cancel,
}
