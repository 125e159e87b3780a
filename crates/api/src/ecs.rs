//! ECS's operations, each handed to the file of its family. What is not here is not built, and
//! answers HTTP 501 by the generated trait.

use aws::Error;
use aws::ecs::*;

use crate::door::{Caller, Door};
use crate::{
    agent, capacity, clusters, definitions, exec, instances, protection, run, services, settings,
    tags, tasks,
};

/// Operations that read the state as it is now.
macro_rules! reads {
    ($($operation:ident, $request:ident, $response:ident => $read:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $read(&self.snapshot(), &request)
        }
    )+};
}

/// Operations that change it.
macro_rules! writes {
    ($($operation:ident, $request:ident, $response:ident => $write:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $write(self, request).await
        }
    )+};
}

/// Operations that change it and remember who asked.
macro_rules! signs {
    ($($operation:ident, $request:ident, $response:ident => $write:path;)+) => {$(
        async fn $operation(&self, caller: &Caller, request: $request) -> Result<$response, Error> {
            $write(self, caller, request).await
        }
    )+};
}

impl Ecs for Door {
    type Context = Caller;

    reads! {
        describe_clusters, DescribeClustersRequest, DescribeClustersResponse => clusters::describe;
        describe_capacity_providers, DescribeCapacityProvidersRequest, DescribeCapacityProvidersResponse => capacity::describe;
        list_clusters, ListClustersRequest, ListClustersResponse => clusters::list;
        describe_task_definition, DescribeTaskDefinitionRequest, DescribeTaskDefinitionResponse => definitions::describe;
        list_task_definitions, ListTaskDefinitionsRequest, ListTaskDefinitionsResponse => definitions::list;
        list_task_definition_families, ListTaskDefinitionFamiliesRequest, ListTaskDefinitionFamiliesResponse => definitions::list_families;
        describe_tasks, DescribeTasksRequest, DescribeTasksResponse => tasks::describe;
        list_tasks, ListTasksRequest, ListTasksResponse => tasks::list;
        describe_services, DescribeServicesRequest, DescribeServicesResponse => services::describe;
        list_services, ListServicesRequest, ListServicesResponse => services::list;
        describe_container_instances, DescribeContainerInstancesRequest, DescribeContainerInstancesResponse => instances::describe;
        list_container_instances, ListContainerInstancesRequest, ListContainerInstancesResponse => instances::list;
        list_tags_for_resource, ListTagsForResourceRequest, ListTagsForResourceResponse => tags::list;
        list_account_settings, ListAccountSettingsRequest, ListAccountSettingsResponse => settings::list;
    }

    writes! {
        create_cluster, CreateClusterRequest, CreateClusterResponse => clusters::create;
        update_cluster, UpdateClusterRequest, UpdateClusterResponse => clusters::update;
        update_cluster_settings, UpdateClusterSettingsRequest, UpdateClusterSettingsResponse
            => clusters::update_settings;
        create_capacity_provider, CreateCapacityProviderRequest, CreateCapacityProviderResponse => capacity::create;
        update_capacity_provider, UpdateCapacityProviderRequest, UpdateCapacityProviderResponse => capacity::update;
        delete_capacity_provider, DeleteCapacityProviderRequest, DeleteCapacityProviderResponse => capacity::delete;
        put_cluster_capacity_providers, PutClusterCapacityProvidersRequest, PutClusterCapacityProvidersResponse => capacity::put_cluster;
        delete_cluster, DeleteClusterRequest, DeleteClusterResponse => clusters::delete;
        deregister_task_definition, DeregisterTaskDefinitionRequest, DeregisterTaskDefinitionResponse => definitions::deregister;
        delete_task_definitions, DeleteTaskDefinitionsRequest, DeleteTaskDefinitionsResponse => definitions::delete;
        run_task, RunTaskRequest, RunTaskResponse => run::run_task;
        start_task, StartTaskRequest, StartTaskResponse => run::start_task;
        get_task_protection, GetTaskProtectionRequest, GetTaskProtectionResponse => protection::get;
        update_task_protection, UpdateTaskProtectionRequest, UpdateTaskProtectionResponse => protection::update;
        stop_task, StopTaskRequest, StopTaskResponse => tasks::stop;
        update_service, UpdateServiceRequest, UpdateServiceResponse => services::update;
        delete_service, DeleteServiceRequest, DeleteServiceResponse => services::delete;
        deregister_container_instance, DeregisterContainerInstanceRequest, DeregisterContainerInstanceResponse => instances::deregister;
        update_container_instances_state, UpdateContainerInstancesStateRequest, UpdateContainerInstancesStateResponse => instances::update_state;
        discover_poll_endpoint, DiscoverPollEndpointRequest, DiscoverPollEndpointResponse => agent::discover;
        submit_task_state_change, SubmitTaskStateChangeRequest, SubmitTaskStateChangeResponse => agent::submit_task;
        submit_container_state_change, SubmitContainerStateChangeRequest, SubmitContainerStateChangeResponse => agent::submit_container;
        submit_attachment_state_changes, SubmitAttachmentStateChangesRequest, SubmitAttachmentStateChangesResponse => agent::submit_attachments;
        tag_resource, TagResourceRequest, TagResourceResponse => tags::tag;
        untag_resource, UntagResourceRequest, UntagResourceResponse => tags::untag;
    }

    signs! {
        register_task_definition, RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse => definitions::register;
        register_container_instance, RegisterContainerInstanceRequest, RegisterContainerInstanceResponse => agent::register;
        execute_command, ExecuteCommandRequest, ExecuteCommandResponse => exec::execute;
        create_service, CreateServiceRequest, CreateServiceResponse => services::create;
    }
}
