//! ListPodSandbox: CRI's pods, newest first, by filter.

use gantry_cri_api::v1::{ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxFilter};
use gantry_model::Result;
use gantry_model::filter::LabelSelector;
use gantry_model::sandbox::Sandbox;

use crate::Door;
use crate::convert::{pod_view, sorted};

pub(crate) async fn handle(
    door: &Door,
    request: ListPodSandboxRequest,
) -> Result<ListPodSandboxResponse> {
    let filter = Filter::new(request.filter.unwrap_or_default());
    Ok(ListPodSandboxResponse {
        items: door
            .engine
            .sandboxes()
            .iter()
            .rev()
            .filter(|sandbox| filter.matches(sandbox))
            .filter_map(|sandbox| pod_view::item(sandbox))
            .collect(),
    })
}

/// All that is given must hold.
struct Filter {
    id: String,
    state: Option<i32>,
    labels: LabelSelector,
}

impl Filter {
    fn new(filter: PodSandboxFilter) -> Self {
        Self {
            id: filter.id,
            state: filter.state.map(|value| value.state),
            labels: LabelSelector::exact(&sorted(filter.label_selector)),
        }
    }

    fn matches(&self, sandbox: &Sandbox) -> bool {
        // A prefix serves: people give short ids.
        sandbox.id.as_str().starts_with(&self.id)
            && self
                .state
                .is_none_or(|state| state == i32::from(pod_view::state(sandbox)))
            && sandbox
                .pod
                .as_ref()
                .is_some_and(|pod| self.labels.matches(&pod.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::convert::pod_view::tests::sandbox;
    use gantry_cri_api::v1::{PodSandboxFilter, PodSandboxStateValue};
    use gantry_model::state::State;

    #[test]
    fn all_that_is_given_must_hold() {
        let one = sandbox(State::Running);
        let by = |id: &str, state: Option<i32>, label: &str| {
            Filter::new(PodSandboxFilter {
                id: id.into(),
                state: state.map(|state| PodSandboxStateValue { state }),
                label_selector: [("app".to_owned(), label.to_owned())].into(),
            })
            .matches(&one)
        };
        assert!(Filter::new(PodSandboxFilter::default()).matches(&one));
        assert!(by("abab", Some(0), "web"));
        assert!(!by("ac", Some(0), "web"));
        assert!(!by("ab", Some(1), "web"));
        assert!(!by("ab", Some(0), "other"));
    }
}
