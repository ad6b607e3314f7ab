//! Snapshots by a plugin.

use async_trait::async_trait;
use gantry_abi::schema::snapshot as payload;
use gantry_model::Result;
use gantry_model::call::Call;
use gantry_model::driver::{SnapshotInfo, Snapshotter, Usage};
use gantry_model::mount::MountDescription;

use super::Driver;
use crate::convert;

#[async_trait]
impl Snapshotter for Driver {
    async fn prepare(
        &self,
        call: &Call,
        key: &str,
        parent: Option<&str>,
    ) -> Result<Vec<MountDescription>> {
        let request = payload::PrepareRequest {
            key: key.into(),
            parent: parent.map(Into::into),
            ..Default::default()
        };
        convert::mounts(
            self.0
                .call(call, &[key], &request, Vec::new())
                .await?
                .mounts,
        )
    }

    async fn view(&self, call: &Call, key: &str, parent: &str) -> Result<Vec<MountDescription>> {
        let request = payload::ViewRequest {
            key: key.into(),
            parent: Some(parent.into()),
            ..Default::default()
        };
        convert::mounts(
            self.0
                .call(call, &[key], &request, Vec::new())
                .await?
                .mounts,
        )
    }

    async fn commit(&self, call: &Call, key: &str, name: &str) -> Result<()> {
        let request = payload::CommitRequest {
            key: key.into(),
            name: name.into(),
            ..Default::default()
        };
        self.0
            .call(call, &[key, name], &request, Vec::new())
            .await
            .map(|_| ())
    }

    async fn mounts(&self, call: &Call, key: &str) -> Result<Vec<MountDescription>> {
        let request = payload::MountsRequest { key: key.into() };
        convert::mounts(self.0.call(call, &[], &request, Vec::new()).await?.mounts)
    }

    async fn remove(&self, call: &Call, key: &str) -> Result<()> {
        let request = payload::RemoveRequest { key: key.into() };
        self.0
            .call(call, &[key], &request, Vec::new())
            .await
            .map(|_| ())
    }

    async fn stat(&self, call: &Call, key: &str) -> Result<SnapshotInfo> {
        let request = payload::StatRequest { key: key.into() };
        self.0
            .call(call, &[], &request, Vec::new())
            .await
            .map(convert::snapshot)
    }

    async fn list(&self, call: &Call) -> Result<Vec<SnapshotInfo>> {
        let answer = self
            .0
            .call(call, &[], &payload::ListRequest {}, Vec::new())
            .await?;
        Ok(answer
            .snapshots
            .into_iter()
            .map(convert::snapshot)
            .collect())
    }

    async fn usage(&self, call: &Call, key: &str) -> Result<Usage> {
        let request = payload::UsageRequest { key: key.into() };
        self.0
            .call(call, &[], &request, Vec::new())
            .await
            .map(convert::usage)
    }

    async fn cleanup(&self, call: &Call) -> Result<()> {
        // A name no key has: two of them at once would meet on the same leftovers.
        self.0
            .call(call, &["/cleanup"], &payload::CleanupRequest {}, Vec::new())
            .await
            .map(|_| ())
    }
}
