//! Answers that came after their caller had gone.

use gantry_model::OperationId;
use gantry_model::operation::Outcome;
use gantry_model::plugin::PluginKind;

/// What became of a call whose outcome had been reported as unknown, or whose caller went away.
#[derive(Clone, Debug)]
pub struct LateResult {
    /// Kind of the plugin.
    pub kind: PluginKind,
    /// Name of the plugin.
    pub plugin: String,
    /// Function that was called.
    pub function: &'static str,
    /// Objects it changed: keys, ids or names; their locks are free again.
    pub objects: Vec<String>,
    /// The operation it belonged to.
    pub operation: OperationId,
    /// What became of it, as the plugin says.
    pub outcome: Outcome,
    /// What the plugin said, when it was not done.
    pub message: String,
}
