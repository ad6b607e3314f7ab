//! UpdateContainerResources: kubelet changes limits in place. What a request does not say stays.

use gantry_cri_api::v1::{
    LinuxContainerResources, UpdateContainerResourcesRequest, UpdateContainerResourcesResponse,
};
use gantry_engine::UpdateContainer;
use gantry_model::container::Resources;
use gantry_model::state::State;
use gantry_model::{Error, Result};

use crate::Door;
use crate::convert::{lookup, resources};

/// Less memory could not even start a process.
const LEAST: i64 = 6 << 20;

pub(crate) async fn handle(
    door: &Door,
    request: UpdateContainerResourcesRequest,
) -> Result<UpdateContainerResourcesResponse> {
    if request.windows.is_some() {
        return Err(Error::invalid("windows: this host runs Linux"));
    }
    let container = lookup::container(door, &request.container_id)?;
    if !container.state.is_live() && container.state != State::Created {
        return Err(Error::conflict(format!(
            "container {} has ended: limits change only before its end",
            container.id
        )));
    }
    let Some(linux) = request.linux else {
        return Ok(UpdateContainerResourcesResponse {});
    };
    let change = UpdateContainer {
        resources: Some(change(linux)?),
        ..UpdateContainer::default()
    };
    door.engine.update_container(&container.id, change).await?;
    Ok(UpdateContainerResourcesResponse {})
}

/// The limits as an update means them: nothing said is nothing changed, so "none" needs a word of its own.
fn change(linux: LinuxContainerResources) -> Result<Resources> {
    if linux.memory_limit_in_bytes < 0 {
        return Err(Error::unimplemented(
            "memory_limit_in_bytes: taking a limit away is not served yet",
        ));
    }
    if (1..LEAST).contains(&linux.memory_limit_in_bytes) {
        return Err(Error::invalid(format!(
            "memory_limit_in_bytes {} is below the least a container can run with, {LEAST}",
            linux.memory_limit_in_bytes
        )));
    }
    let no_quota = linux.cpu_quota < 0;
    let mut change = resources::spec(linux)?;
    if no_quota {
        change.cpu_quota = -1;
    }
    // Without a word about swap there is none, as at the container's start.
    if change.memory > 0 && change.memory_swap == 0 {
        change.memory_swap = change.memory;
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::change;
    use gantry_cri_api::v1::LinuxContainerResources as Limits;
    use gantry_model::ErrorKind;
    use gantry_model::container::Resources;

    #[test]
    fn what_is_not_said_stays_and_none_is_said() {
        let said = |limits| change(limits).unwrap();
        assert_eq!(said(Limits::default()), Resources::default());
        let quota = said(Limits {
            cpu_quota: -1,
            ..Limits::default()
        });
        assert_eq!(quota.cpu_quota, -1);
        let memory = said(Limits {
            memory_limit_in_bytes: 64 << 20,
            ..Limits::default()
        });
        assert_eq!((memory.memory, memory.memory_swap), (64 << 20, 64 << 20));
        for (bytes, kind) in [
            (-1, ErrorKind::Unimplemented),
            (1, ErrorKind::InvalidArgument),
        ] {
            let refused = change(Limits {
                memory_limit_in_bytes: bytes,
                ..Limits::default()
            });
            assert_eq!(refused.unwrap_err().kind, kind);
        }
    }
}
