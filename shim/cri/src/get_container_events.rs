//! GetContainerEvents: containers and pods as they are made, start, end and go (kubelet's evented lists).

use std::collections::HashMap;
use std::sync::Arc;

use gantry_cri_api::v1::{ContainerEventResponse, ContainerEventType};
use gantry_engine::{EventStream, NextEvent};
use gantry_model::event::{Event, Subject};
use gantry_model::image::Origin;
use gantry_model::{ContainerId, SandboxId};
use tokio::sync::mpsc;
use tonic::Status;

use crate::Door;
use crate::container_status;
use crate::convert::{container_view, pod_view};

/// Answers that wait for a slow reader before its task waits too.
const DEPTH: usize = 64;

/// What happens from now on, until the caller goes or the door closes.
pub(crate) fn handle(door: &Arc<Door>) -> mpsc::Receiver<Result<ContainerEventResponse, Status>> {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let mut events = door.engine.events();
    while events.next_past().is_some() {}
    let mut told = Teller {
        pods: HashMap::new(),
        door: Arc::clone(door),
    };
    told.learn();
    tokio::spawn(async move {
        let mut closing = told.door.closing.clone();
        tokio::select! {
            () = told.run(&mut events, &sender) => {}
            () = sender.closed() => {}
            _ = closing.wait_for(|closing| *closing) => {
                let _ = sender.try_send(Err(Status::unavailable("the daemon ends")));
            }
        }
    });
    receiver
}

struct Teller {
    door: Arc<Door>,
    /// Whose pod a container is: of one that is removed nobody knows it any more.
    pods: HashMap<String, SandboxId>,
}

impl Teller {
    async fn run(
        &mut self,
        events: &mut EventStream,
        sender: &mpsc::Sender<Result<ContainerEventResponse, Status>>,
    ) {
        loop {
            let event = match events.next().await {
                Some(NextEvent::Event(event)) => event,
                // Kubelet lists anew when the stream breaks; going on would hide what is missing.
                Some(NextEvent::Lagged { last_seen, next }) => {
                    let text = format!(
                        "events {} to {} were not read in time and are gone",
                        last_seen.saturating_add(1),
                        next.saturating_sub(1)
                    );
                    let _ = sender.send(Err(Status::data_loss(text))).await;
                    return;
                }
                None => return,
            };
            for answer in self.answers(&event).await {
                if sender.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What the containers there are belong to.
    fn learn(&mut self) {
        for container in self.door.engine.containers(Some(Origin::Cri)) {
            if let Some(pod) = &container.pod {
                self.pods.insert(container.id.to_string(), pod.clone());
            }
        }
    }

    async fn answers(&mut self, event: &Event) -> Vec<ContainerEventResponse> {
        let kinds = kinds(event);
        if kinds.is_empty() {
            return Vec::new();
        }
        let pod = match event.subject {
            Subject::Sandbox => SandboxId::parse(&event.id).ok(),
            _ => self.pod_of(&event.id, kinds),
        };
        let mut answer = ContainerEventResponse {
            container_id: event.id.clone(),
            created_at: event.at.0,
            ..Default::default()
        };
        if let Some(pod) = pod {
            answer.pod_sandbox_status = self
                .door
                .engine
                .find_sandbox(pod.as_str())
                .ok()
                .and_then(|sandbox| pod_view::status(&sandbox));
            for container in self.door.engine.containers(Some(Origin::Cri)) {
                if container.pod.as_ref() == Some(&pod) {
                    let status = container_status::of(&self.door, &container).await;
                    answer.containers_statuses.push(status);
                }
            }
        }
        kinds
            .iter()
            .map(|kind| ContainerEventResponse {
                container_event_type: (*kind).into(),
                ..answer.clone()
            })
            .collect()
    }

    fn pod_of(&mut self, id: &str, kinds: &[ContainerEventType]) -> Option<SandboxId> {
        let found = ContainerId::parse(id)
            .ok()
            .and_then(|id| {
                let found = self
                    .door
                    .engine
                    .find_container(Some(Origin::Cri), id.as_str());
                found.ok()
            })
            .and_then(|container| SandboxId::parse(&container_view::pod(&container)).ok());
        if kinds.contains(&ContainerEventType::ContainerDeletedEvent) {
            let known = self.pods.remove(id);
            return found.or(known);
        }
        if let Some(pod) = &found {
            self.pods.insert(id.to_owned(), pod.clone());
        }
        found
    }
}

/// What an event means to kubelet. Of a pod it is told as of a container with the pod's id; one that is started was
/// made before, which is no event of ours.
fn kinds(event: &Event) -> &'static [ContainerEventType] {
    use ContainerEventType as T;
    match (event.subject, event.origin, event.action.as_str()) {
        (Subject::Container, Some(Origin::Cri), "create") => &[T::ContainerCreatedEvent],
        (Subject::Container, Some(Origin::Cri), "start") => &[T::ContainerStartedEvent],
        (Subject::Container, Some(Origin::Cri), "die") => &[T::ContainerStoppedEvent],
        (Subject::Container, Some(Origin::Cri), "destroy") => &[T::ContainerDeletedEvent],
        (Subject::Sandbox, Some(Origin::Cri), "start") => {
            &[T::ContainerCreatedEvent, T::ContainerStartedEvent]
        }
        (Subject::Sandbox, Some(Origin::Cri), "stop" | "die") => &[T::ContainerStoppedEvent],
        (Subject::Sandbox, Some(Origin::Cri), "remove") => &[T::ContainerDeletedEvent],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::kinds;
    use gantry_cri_api::v1::ContainerEventType as T;
    use gantry_model::Timestamp;
    use gantry_model::event::{Event, Subject};
    use gantry_model::image::Origin;

    #[test]
    fn only_what_kubelet_made_is_told() {
        for (subject, origin, action, expected) in [
            (
                Subject::Container,
                Some(Origin::Cri),
                "die",
                &[T::ContainerStoppedEvent][..],
            ),
            (Subject::Container, Some(Origin::Docker), "die", &[]),
            (Subject::Container, Some(Origin::Cri), "exec_die", &[]),
            (
                Subject::Sandbox,
                Some(Origin::Cri),
                "start",
                &[T::ContainerCreatedEvent, T::ContainerStartedEvent],
            ),
            (Subject::Image, None, "create", &[]),
        ] {
            let event = Event {
                sequence: 1,
                at: Timestamp(1),
                subject,
                action: action.into(),
                id: String::new(),
                origin,
                attributes: Default::default(),
            };
            assert_eq!(kinds(&event), expected, "{action}");
        }
    }
}
