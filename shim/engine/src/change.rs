//! One atomic change of the records, with the events it makes true.

use std::collections::BTreeMap;

use gantry_model::container::Container;
use gantry_model::event::{Event, Subject};
use gantry_model::image::{ImageName, Origin};
use gantry_model::network::{Endpoint, Network};
use gantry_model::operation::Operation;
use gantry_model::sandbox::Sandbox;
use gantry_model::volume::Volume;
use gantry_model::{ContainerId, EndpointId, NetworkId, OperationId, SandboxId, Timestamp};

/// Changes a container's newest record, whatever else has been written to it meanwhile.
pub(crate) type Amendment = Box<dyn FnOnce(&mut Container) + Send>;

/// One record put or taken away.
pub(crate) enum Item {
    /// What its operation knows of a container: run, state, paths. Name, description and restarts, which others change
    /// while operations are in progress, stay as they are; [`Item::Amend`] changes those.
    Container(Box<Container>),
    Amend(ContainerId, Amendment),
    Sandbox(Box<Sandbox>),
    Network(Network),
    Endpoint(Endpoint),
    Volume(Volume),
    ImageName(ImageName),
    Operation(Operation),
    /// A container's health as of its last change of status.
    Health(ContainerId, Box<crate::health::Record>),
    /// A text that belongs to no other table, under its key.
    Note(&'static str, String),
    NoContainer(ContainerId),
    NoSandbox(SandboxId),
    NoNetwork(NetworkId),
    NoEndpoint(EndpointId),
    NoVolume(String),
    NoImageName(String),
    NoOperation(OperationId),
}

/// What is written in one transaction.
pub(crate) struct Change {
    at: Timestamp,
    pub(crate) items: Vec<Item>,
    pub(crate) events: Vec<Event>,
}

impl Change {
    pub(crate) fn at(at: Timestamp) -> Self {
        Self {
            at,
            items: Vec::new(),
            events: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, item: Item) -> Self {
        self.items.push(item);
        self
    }

    #[must_use]
    pub(crate) fn container(self, record: Container) -> Self {
        self.with(Item::Container(Box::new(record)))
    }

    #[must_use]
    pub(crate) fn amend(
        self,
        id: &ContainerId,
        amendment: impl FnOnce(&mut Container) + Send + 'static,
    ) -> Self {
        self.with(Item::Amend(id.clone(), Box::new(amendment)))
    }

    #[must_use]
    pub(crate) fn sandbox(self, record: Sandbox) -> Self {
        self.with(Item::Sandbox(Box::new(record)))
    }

    /// An event about a container, with the attributes Docker's clients expect.
    #[must_use]
    pub(crate) fn container_event(
        self,
        action: &str,
        container: &Container,
        more: &[(&str, String)],
    ) -> Self {
        let mut attributes = container.spec.labels.clone();
        attributes.insert("name".to_owned(), container.name.clone());
        attributes.insert("image".to_owned(), container.spec.image.clone());
        attributes.extend(
            more.iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        self.event(
            Subject::Container,
            action,
            container.id.as_str(),
            Some(container.origin),
            attributes,
        )
    }

    #[must_use]
    pub(crate) fn event(
        mut self,
        subject: Subject,
        action: &str,
        id: &str,
        origin: Option<Origin>,
        attributes: BTreeMap<String, String>,
    ) -> Self {
        let (action, id) = (action.to_owned(), id.to_owned());
        self.events.push(Event {
            sequence: 0,
            at: self.at,
            subject,
            action,
            id,
            origin,
            attributes,
        });
        self
    }
}
