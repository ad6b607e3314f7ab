//! Volumes by a plugin.

use async_trait::async_trait;
use gantry_abi::schema::volume as payload;
use gantry_model::Result;
use gantry_model::call::Call;
use gantry_model::driver::{Usage, VolumeDriver, VolumeMade};
use gantry_model::mount::MountDescription;
use gantry_model::volume::Volume;

use super::Driver;
use crate::convert;

#[async_trait]
impl VolumeDriver for Driver {
    async fn create(&self, call: &Call, volume: &Volume) -> Result<VolumeMade> {
        let request = payload::CreateRequest {
            name: volume.name.clone(),
            options: volume.options.clone(),
            labels: volume.labels.clone(),
        };
        let answer = self
            .0
            .call(call, &[&volume.name], &request, Vec::new())
            .await?;
        let mountpoint = answer.mountpoint.unwrap_or_default();
        Ok(VolumeMade {
            mountpoint,
            state: convert::kept(answer.state)?,
        })
    }

    async fn remove(&self, call: &Call, volume: &Volume) -> Result<()> {
        let state = convert::handed_back_if_any(&volume.state)?;
        let request = payload::RemoveRequest {
            name: volume.name.clone(),
            state,
        };
        self.0
            .call(call, &[&volume.name], &request, Vec::new())
            .await
            .map(|_| ())
    }

    async fn mount(
        &self,
        call: &Call,
        volume: &Volume,
        container: &str,
    ) -> Result<MountDescription> {
        let request = payload::MountRequest {
            name: volume.name.clone(),
            state: convert::handed_back(&volume.state)?,
            target: container.to_owned(),
            // Read-only is the mount's property, which the engine adds; a volume may be mounted both ways at once.
            read_only: false,
        };
        convert::mount(
            self.0
                .call(call, &[&volume.name], &request, Vec::new())
                .await?
                .mount,
        )
    }

    async fn unmount(&self, call: &Call, volume: &Volume, container: &str) -> Result<()> {
        let request = payload::UnmountRequest {
            name: volume.name.clone(),
            state: convert::handed_back(&volume.state)?,
            target: container.to_owned(),
        };
        self.0
            .call(call, &[&volume.name], &request, Vec::new())
            .await
            .map(|_| ())
    }

    async fn list(&self, call: &Call) -> Result<Vec<String>> {
        let answer = self
            .0
            .call(call, &[], &payload::ListRequest {}, Vec::new())
            .await?;
        Ok(answer
            .volumes
            .into_iter()
            .map(|volume| volume.name)
            .collect())
    }

    async fn usage(&self, call: &Call, volume: &Volume) -> Result<Usage> {
        let state = convert::handed_back_if_any(&volume.state)?;
        let request = payload::UsageRequest {
            name: volume.name.clone(),
            state,
        };
        self.0
            .call(call, &[], &request, Vec::new())
            .await
            .map(convert::usage)
    }
}
