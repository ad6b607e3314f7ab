//! ListContainers: CRI's containers, newest first, by filter.

use gantry_cri_api::v1::{ContainerFilter, ListContainersRequest, ListContainersResponse};
use gantry_model::Result;
use gantry_model::container::Container;
use gantry_model::filter::LabelSelector;
use gantry_model::image::Origin;

use crate::Door;
use crate::convert::{container_view, sorted};

pub(crate) async fn handle(
    door: &Door,
    request: ListContainersRequest,
) -> Result<ListContainersResponse> {
    let filter = Filter::new(request.filter.unwrap_or_default());
    Ok(ListContainersResponse {
        containers: door
            .engine
            .containers(Some(Origin::Cri))
            .iter()
            .rev()
            .filter(|container| filter.matches(container))
            .map(|container| container_view::item(container))
            .collect(),
    })
}

/// All that is given must hold.
pub(crate) struct Filter {
    id: String,
    pod: String,
    state: Option<i32>,
    labels: LabelSelector,
}

impl Filter {
    pub(crate) fn new(filter: ContainerFilter) -> Self {
        Self {
            id: filter.id,
            pod: filter.pod_sandbox_id,
            state: filter.state.map(|value| value.state),
            labels: LabelSelector::exact(&sorted(filter.label_selector)),
        }
    }

    pub(crate) fn matches(&self, container: &Container) -> bool {
        // Prefixes serve: people give short ids.
        container.id.as_str().starts_with(&self.id)
            && container_view::pod(container).starts_with(&self.pod)
            && self
                .state
                .is_none_or(|state| state == i32::from(container_view::state(container)))
            && self.labels.matches(&container.spec.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::convert::container_view::tests::container;
    use gantry_cri_api::v1::{ContainerFilter, ContainerStateValue};
    use gantry_model::state::State;

    #[test]
    fn all_that_is_given_must_hold() {
        let one = container(State::Running, None);
        let by = |id: &str, pod: &str, state: i32, label: &str| {
            Filter::new(ContainerFilter {
                id: id.into(),
                pod_sandbox_id: pod.into(),
                state: Some(ContainerStateValue { state }),
                label_selector: [("app".to_owned(), label.to_owned())].into(),
            })
            .matches(&one)
        };
        assert!(Filter::new(ContainerFilter::default()).matches(&one));
        assert!(by("0101", "0202", 1, "web"));
        assert!(!by("02", "02", 1, "web"));
        assert!(!by("01", "01", 1, "web"));
        assert!(!by("01", "02", 0, "web"));
        assert!(!by("01", "02", 1, "other"));
    }
}
