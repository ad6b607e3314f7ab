//! The two gRPC services: which file answers which call. The calls not served yet say so by name.

use gantry_cri_api::v1::image_service_server::ImageService;
use gantry_cri_api::v1::runtime_service_server::RuntimeService;
use gantry_cri_api::v1::*;
use tokio_stream::Empty;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::Door;
use crate::deadline;
use crate::status::answer;

/// Writes the implementation of a service. The items go in as text, since `async_trait` must see them expanded.
macro_rules! service {
    (
        $service:ident;
        $(served $method:ident($request:ty) -> $response:ty = $file:ident;)*
        $(missing $absent:ident($absent_request:ty) -> $absent_response:ty;)*
        $(streamed $live:ident: $live_kind:ident($live_request:ty) -> $live_response:ty = $live_file:ident;)*
        $(absent $stream:ident: $kind:ident($stream_request:ty) -> $stream_response:ty;)*
    ) => {
        #[tonic::async_trait]
        impl $service for Door {
            $(
                async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                    let limit = deadline::of(request.metadata());
                    let work = crate::$file::handle(self, request.into_inner());
                    match deadline::keep(limit, work).await {
                        Ok(response) => Ok(Response::new(response)),
                        Err(error) => Err(answer(stringify!($method), error)),
                    }
                }
            )*
            $(
                async fn $absent(
                    &self,
                    _request: Request<$absent_request>,
                ) -> Result<Response<$absent_response>, Status> {
                    Err(missing(stringify!($absent)))
                }
            )*
            $(
                type $live_kind = ReceiverStream<Result<$live_response, Status>>;

                async fn $live(
                    &self,
                    _request: Request<$live_request>,
                ) -> Result<Response<Self::$live_kind>, Status> {
                    let door = self.this.upgrade().ok_or_else(|| Status::unavailable("the daemon ends"))?;
                    Ok(Response::new(ReceiverStream::new(crate::$live_file::handle(&door))))
                }
            )*
            $(
                type $kind = Empty<Result<$stream_response, Status>>;

                async fn $stream(
                    &self,
                    _request: Request<$stream_request>,
                ) -> Result<Response<Self::$kind>, Status> {
                    Err(missing(stringify!($stream)))
                }
            )*
        }
    };
}

fn missing(method: &str) -> Status {
    Status::unimplemented(format!(
        "gantry does not serve the cri call {} yet",
        rpc_name(method)
    ))
}

/// `StreamPodSandboxes` of `stream_pod_sandboxes`: what people look for in CRI's own pages.
fn rpc_name(method: &str) -> String {
    method
        .split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters)
        })
        .collect()
}

service! {
    RuntimeService;
    served version(VersionRequest) -> VersionResponse = version;
    served status(StatusRequest) -> StatusResponse = runtime_status;
    served runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse = runtime_config;
    served update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse = update_runtime_config;
    served run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse = run_pod_sandbox;
    served stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse = stop_pod_sandbox;
    served remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse = remove_pod_sandbox;
    served pod_sandbox_status(PodSandboxStatusRequest) -> PodSandboxStatusResponse = pod_sandbox_status;
    served list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse = list_pod_sandbox;
    served create_container(CreateContainerRequest) -> CreateContainerResponse = create_container;
    served start_container(StartContainerRequest) -> StartContainerResponse = start_container;
    served stop_container(StopContainerRequest) -> StopContainerResponse = stop_container;
    served remove_container(RemoveContainerRequest) -> RemoveContainerResponse = remove_container;
    served container_status(ContainerStatusRequest) -> ContainerStatusResponse = container_status;
    served list_containers(ListContainersRequest) -> ListContainersResponse = list_containers;
    served exec_sync(ExecSyncRequest) -> ExecSyncResponse = exec_sync;
    served reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse = reopen_container_log;
    served container_stats(ContainerStatsRequest) -> ContainerStatsResponse = container_stats;
    served list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse = list_container_stats;
    served update_container_resources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse
        = update_container_resources;
    missing exec(ExecRequest) -> ExecResponse;
    missing attach(AttachRequest) -> AttachResponse;
    missing port_forward(PortForwardRequest) -> PortForwardResponse;
    missing pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse;
    missing list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
    missing checkpoint_container(CheckpointContainerRequest) -> CheckpointContainerResponse;
    missing checkpoint_pod(CheckpointPodRequest) -> CheckpointPodResponse;
    missing restore_pod(RestorePodRequest) -> RestorePodResponse;
    missing list_metric_descriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse;
    missing list_pod_sandbox_metrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse;
    missing update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse;
    streamed get_container_events: GetContainerEventsStream(GetEventsRequest) -> ContainerEventResponse
        = get_container_events;
    absent stream_pod_sandboxes: StreamPodSandboxesStream(StreamPodSandboxesRequest)
        -> StreamPodSandboxesResponse;
    absent stream_containers: StreamContainersStream(StreamContainersRequest) -> StreamContainersResponse;
    absent stream_container_stats: StreamContainerStatsStream(StreamContainerStatsRequest)
        -> StreamContainerStatsResponse;
    absent stream_pod_sandbox_stats: StreamPodSandboxStatsStream(StreamPodSandboxStatsRequest)
        -> StreamPodSandboxStatsResponse;
    absent stream_pod_sandbox_metrics: StreamPodSandboxMetricsStream(StreamPodSandboxMetricsRequest)
        -> StreamPodSandboxMetricsResponse;
}

service! {
    ImageService;
    served list_images(ListImagesRequest) -> ListImagesResponse = list_images;
    served image_status(ImageStatusRequest) -> ImageStatusResponse = image_status;
    served pull_image(PullImageRequest) -> PullImageResponse = pull_image;
    served remove_image(RemoveImageRequest) -> RemoveImageResponse = remove_image;
    served image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse = image_fs_info;
    absent stream_images: StreamImagesStream(StreamImagesRequest) -> StreamImagesResponse;
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn a_missing_call_is_named_as_cri_names_it() {
        let status = missing("stream_pod_sandboxes");
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert!(
            status.message().contains("StreamPodSandboxes"),
            "{}",
            status.message()
        );
    }
}
