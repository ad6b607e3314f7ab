//! `GET /networks/{id}`.

use std::sync::Arc;

use crate::convert::network;
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, ok};

/// One network with who is on it.
pub(crate) async fn inspect(door: Arc<DockerDoor>, req: Req) -> Answer {
    ok(&network::inspected(&door.engine.find_network(req.id())?))
}
