//! The log filter and the handle that changes it at run time. It decides about log lines only: which spans are exported
//! does not depend on how much is logged.

use std::sync::Arc;

use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::Error;

/// Reads a filter in `tracing`'s syntax: `info`, or `info,gantry_engine=debug`.
pub(crate) fn parse(filter: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|e| Error::Filter {
            filter: filter.to_owned(),
            reason: e.to_string(),
        })
}

/// Changes the log filter of a running daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FilterHandle(Arc<reload::Handle<EnvFilter, Registry>>);

impl FilterHandle {
    pub(crate) fn new(handle: reload::Handle<EnvFilter, Registry>) -> Self {
        Self(Arc::new(handle))
    }

    /// Replaces the filter; lines logged after this call obey it.
    ///
    /// # Errors
    /// [`Error::Filter`] if it does not parse (the old one stays), [`Error::Gone`] after the subscriber was dropped.
    pub fn set_filter(&self, filter: &str) -> Result<(), Error> {
        self.0.reload(parse(filter)?).map_err(|_| Error::Gone)
    }

    /// The filter in force, normalised.
    ///
    /// # Errors
    /// [`Error::Gone`] after the subscriber was dropped.
    pub fn filter(&self) -> Result<String, Error> {
        self.0
            .with_current(ToString::to_string)
            .map_err(|_| Error::Gone)
    }
}
