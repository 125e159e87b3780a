//! ECS's operations, each handed to the file of its family. What is not here is not built, and
//! answers HTTP 501 by the generated trait.

use aws::Error;
use aws::ecs::*;

use crate::door::{Caller, Door};
use crate::{
    agent, attributes, capacity, clusters, definitions, exec, instances, namespaces, protection,
    run, service_deployments, services, settings, tags, task_sets, tasks,
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

    async fn list_account_settings(
        &self,
        caller: &Caller,
        request: ListAccountSettingsRequest,
    ) -> Result<ListAccountSettingsResponse, Error> {
        settings::list(&self.snapshot(), caller, &request)
    }

    reads! {
        describe_clusters, DescribeClustersRequest, DescribeClustersResponse => clusters::describe;
        describe_capacity_providers, DescribeCapacityProvidersRequest, DescribeCapacityProvidersResponse => capacity::describe;
        list_clusters, ListClustersRequest, ListClustersResponse => clusters::list;
        describe_task_definition, DescribeTaskDefinitionRequest, DescribeTaskDefinitionResponse => definitions::describe;
        list_task_definitions, ListTaskDefinitionsRequest, ListTaskDefinitionsResponse => definitions::list;
        list_task_definition_families, ListTaskDefinitionFamiliesRequest, ListTaskDefinitionFamiliesResponse => definitions::list_families;
        describe_tasks, DescribeTasksRequest, DescribeTasksResponse => tasks::describe;
        list_tasks, ListTasksRequest, ListTasksResponse => tasks::list;
        list_services, ListServicesRequest, ListServicesResponse => services::list;
        describe_service_deployments, DescribeServiceDeploymentsRequest, DescribeServiceDeploymentsResponse => service_deployments::describe;
        list_service_deployments, ListServiceDeploymentsRequest, ListServiceDeploymentsResponse => service_deployments::list;
        describe_service_revisions, DescribeServiceRevisionsRequest, DescribeServiceRevisionsResponse => service_deployments::describe_revisions;
        describe_container_instances, DescribeContainerInstancesRequest, DescribeContainerInstancesResponse => instances::describe;
        list_container_instances, ListContainerInstancesRequest, ListContainerInstancesResponse => instances::list;
        list_attributes, ListAttributesRequest, ListAttributesResponse => attributes::list;
        list_tags_for_resource, ListTagsForResourceRequest, ListTagsForResourceResponse => tags::list;
        list_services_by_namespace, ListServicesByNamespaceRequest, ListServicesByNamespaceResponse => namespaces::services;
        update_container_agent, UpdateContainerAgentRequest, UpdateContainerAgentResponse => instances::update_agent;
    }

    writes! {
        put_account_setting_default, PutAccountSettingDefaultRequest, PutAccountSettingDefaultResponse => settings::put_default;
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
        create_task_set, CreateTaskSetRequest, CreateTaskSetResponse => task_sets::create;
        update_task_set, UpdateTaskSetRequest, UpdateTaskSetResponse => task_sets::update;
        update_service_primary_task_set, UpdateServicePrimaryTaskSetRequest, UpdateServicePrimaryTaskSetResponse => task_sets::set_primary;
        delete_task_set, DeleteTaskSetRequest, DeleteTaskSetResponse => task_sets::delete;
        describe_task_sets, DescribeTaskSetsRequest, DescribeTaskSetsResponse => task_sets::describe;
        describe_services, DescribeServicesRequest, DescribeServicesResponse => services::describe;
        update_service, UpdateServiceRequest, UpdateServiceResponse => services::update;
        delete_service, DeleteServiceRequest, DeleteServiceResponse => services::delete;
        stop_service_deployment, StopServiceDeploymentRequest, StopServiceDeploymentResponse => service_deployments::stop;
        continue_service_deployment, ContinueServiceDeploymentRequest, ContinueServiceDeploymentResponse => service_deployments::go_on;
        deregister_container_instance, DeregisterContainerInstanceRequest, DeregisterContainerInstanceResponse => instances::deregister;
        update_container_instances_state, UpdateContainerInstancesStateRequest, UpdateContainerInstancesStateResponse => instances::update_state;
        discover_poll_endpoint, DiscoverPollEndpointRequest, DiscoverPollEndpointResponse => agent::discover;
        submit_task_state_change, SubmitTaskStateChangeRequest, SubmitTaskStateChangeResponse => agent::submit_task;
        submit_container_state_change, SubmitContainerStateChangeRequest, SubmitContainerStateChangeResponse => agent::submit_container;
        submit_attachment_state_changes, SubmitAttachmentStateChangesRequest, SubmitAttachmentStateChangesResponse => agent::submit_attachments;
        put_attributes, PutAttributesRequest, PutAttributesResponse => attributes::put;
        delete_attributes, DeleteAttributesRequest, DeleteAttributesResponse => attributes::delete;
        tag_resource, TagResourceRequest, TagResourceResponse => tags::tag;
        untag_resource, UntagResourceRequest, UntagResourceResponse => tags::untag;
    }

    signs! {
        create_cluster, CreateClusterRequest, CreateClusterResponse => clusters::create;
        put_account_setting, PutAccountSettingRequest, PutAccountSettingResponse => settings::put;
        delete_account_setting, DeleteAccountSettingRequest, DeleteAccountSettingResponse => settings::delete;
        register_task_definition, RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse => definitions::register;
        register_container_instance, RegisterContainerInstanceRequest, RegisterContainerInstanceResponse => agent::register;
        execute_command, ExecuteCommandRequest, ExecuteCommandResponse => exec::execute;
        create_service, CreateServiceRequest, CreateServiceResponse => services::create;
    }
}
