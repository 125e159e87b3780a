"""What the API answers whole: pages of every list, tags of every kind of ARN, how deployments ended, words of refusals."""

import botocore.exceptions
import pytest

from lib.tasks import fresh
from lib.wait import eventually


def refused(call, code, sentence, **request):
    with pytest.raises(botocore.exceptions.ClientError) as found:
        call(**request)
    error = found.value.response["Error"]
    assert error["Code"] == code and sentence in error["Message"], error


def as_dict(tags):
    return {tag["key"]: tag["value"] for tag in tags}


# --- Lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation, member, filters", [
    ("list_clusters", "clusterArns", {}),
    ("list_services", "serviceArns", {"launchType": "EC2", "schedulingStrategy": "REPLICA"}),
    ("list_task_definitions", "taskDefinitionArns", {"sort": "DESC"}),
    ("list_task_definition_families", "families", {"status": "ACTIVE"}),
    ("list_attributes", "attributes", {"targetType": "container-instance"}),
    ("list_account_settings", "settings", {"effectiveSettings": True}),
])
def test_pages_of_a_list_are_the_whole_list(tasks, ecs, name, operation, member, filters):
    for number in range(3):
        ecs.create_cluster(clusterName=f"{name}-{number}")
        definition = tasks.define(tasks.container("exit", 0), family=f"{name}-{number}")
        tasks.create_service(definition, 0, f"{name}-{number}")
    found = {}
    for size in (2, 7, 10):
        pages = ecs.get_paginator(operation).paginate(**filters, PaginationConfig={"PageSize": size})
        pages = [page[member] for page in pages]
        assert all(len(page) == size for page in pages[:-1])
        found[size] = [entry for page in pages for entry in page]
    assert found[2] == found[7] == found[10] and len(found[2]) >= 3


def test_a_token_of_another_question_is_refused(tasks, ecs, name):
    for number in range(2):
        tasks.define(tasks.container("exit", 0), family=f"{name}-{number}")
    token = ecs.list_task_definitions(maxResults=1)["nextToken"]
    refused(ecs.list_task_definitions, "InvalidParameterException", "Invalid token.", nextToken=token, sort="DESC")
    assert ecs.list_task_definitions(maxResults=2, nextToken=token)["taskDefinitionArns"]


def test_filters_of_tasks_that_aws_does_not_take_together(ecs):
    for filters in ({"family": "f"}, {"launchType": "EC2"}, {"serviceName": "s"}):
        refused(ecs.list_tasks, "InvalidParameterException", "cannot specify startedBy with other arguments",
                startedBy="me", **filters)
    refused(ecs.list_tasks, "InvalidParameterException", "cannot specify serviceName with other arguments",
            serviceName="s", family="f")
    assert ecs.list_tasks(startedBy="nobody", desiredStatus="STOPPED")["taskArns"] == []


# --- Tags -----------------------------------------------------------------------------------------


def test_tags_of_capacity_providers_and_task_sets(wharf, tasks, ecs, name):
    scaling, tag = wharf.client("autoscaling"), [{"key": "a", "value": "1"}]
    scaling.create_launch_configuration(LaunchConfigurationName=name, ImageId="ami-1", InstanceType="t3.nano")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, LaunchConfigurationName=name, MinSize=0, MaxSize=1, AvailabilityZones=["us-east-1a"])
    [group] = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    provider = ecs.create_capacity_provider(
        name=name, tags=tag, autoScalingGroupProvider={"autoScalingGroupArn": group["AutoScalingGroupARN"]})
    service = fresh("sets")
    ecs.create_service(serviceName=service, desiredCount=0, deploymentController={"type": "EXTERNAL"})
    definition = tasks.define(tasks.container("exit", 0))
    made = ecs.create_task_set(
        cluster="default", service=service, taskDefinition=definition, launchType="EC2", tags=tag)["taskSet"]
    for arn in (provider["capacityProvider"]["capacityProviderArn"], made["taskSetArn"]):
        assert as_dict(ecs.list_tags_for_resource(resourceArn=arn)["tags"]) == {"a": "1"}, arn
        ecs.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
        ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert as_dict(ecs.list_tags_for_resource(resourceArn=arn)["tags"]) == {"b": "2"}, arn
        refused(ecs.list_tags_for_resource, "ResourceNotFoundException", "wasn't found", resourceArn=arn + "0")
    [shown] = ecs.describe_capacity_providers(capacityProviders=[name], include=["TAGS"])["capacityProviders"]
    assert as_dict(shown["tags"]) == {"b": "2"}
    [shown] = ecs.describe_task_sets(cluster="default", service=service, include=["TAGS"])["taskSets"]
    assert as_dict(shown["tags"]) == {"b": "2"}
    # Only what a cluster has is described of it.
    answer = ecs.describe_capacity_providers(cluster="default", capacityProviders=[name])
    assert answer["capacityProviders"] == [] and answer["failures"][0]["reason"] == "MISSING"
    ecs.delete_task_set(cluster="default", service=service, taskSet=made["id"], force=True)
    ecs.delete_capacity_provider(capacityProvider=name)
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)


def test_what_is_deleted_has_no_tags_to_change(tasks, ecs, name):
    tag = [{"key": "a", "value": "1"}]
    cluster = ecs.create_cluster(clusterName=name, tags=tag)["cluster"]["clusterArn"]
    tasks.create_service(tasks.define(tasks.container("exit", 0)), 0, name, tags=tag)
    service = tasks.service(name)["serviceArn"]
    ecs.delete_cluster(cluster=name)
    tasks.remove(name)
    for arn, kind in ((cluster, "cluster"), (service, "service")):
        sentence = f"The specified {kind} is inactive. Specify an active {kind} and try again."
        for call, more in ((ecs.tag_resource, {"tags": tag}), (ecs.untag_resource, {"tagKeys": ["a"]}),
                           (ecs.list_tags_for_resource, {})):
            refused(call, "InvalidParameterException", sentence, resourceArn=arn, **more)


def test_managed_and_propagated_tags_reach_tasks_that_start_from_then_on(tasks, ecs, name):
    definition = tasks.define(tasks.container("on-term", 0, "forever"), tags=[{"key": "of", "value": "definition"}])
    tasks.create_service(definition, 1, name, enableECSManagedTags=True, propagateTags="SERVICE",
                         tags=[{"key": "of", "value": "service"}])
    tasks.stable(name)
    managed = {"aws:ecs:clusterName": "default", "aws:ecs:serviceName": name}
    [task] = tasks.of_service(name)
    assert as_dict(ecs.list_tags_for_resource(resourceArn=task["taskArn"])["tags"]) == managed | {"of": "service"}
    refused(ecs.untag_resource, "InvalidParameterException", "aws:", resourceArn=task["taskArn"],
            tagKeys=["aws:ecs:clusterName"])
    ecs.update_service(service=name, propagateTags="TASK_DEFINITION", enableECSManagedTags=False, forceNewDeployment=True)
    tasks.stable(name)
    [task] = tasks.of_service(name)
    assert as_dict(ecs.list_tags_for_resource(resourceArn=task["taskArn"])["tags"]) == {"of": "definition"}
    run = tasks.run(definition=definition, enableECSManagedTags=True, propagateTags="TASK_DEFINITION",
                    tags=[{"key": "own", "value": "1"}])
    found = as_dict(ecs.list_tags_for_resource(resourceArn=run)["tags"])
    assert found == {"aws:ecs:clusterName": "default", "of": "definition", "own": "1"}


# --- Deployments and definitions ------------------------------------------------------------------


def test_a_deployment_that_is_over_is_told_as_it_ended(tasks, ecs, name):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    tasks.create_service(definition, 2, name)
    tasks.stable(name)

    def done():
        return ecs.list_service_deployments(service=name, status=["SUCCESSFUL"])["serviceDeployments"]
    arn = eventually(done, within=30)[0]["serviceDeploymentArn"]
    ecs.update_service(service=name, desiredCount=1)
    eventually(lambda: len(tasks.of_service(name)) == 1, within=30)
    [told] = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    target = told["targetServiceRevision"]
    assert (target["requestedTaskCount"], target["runningTaskCount"], target["pendingTaskCount"]) == (2, 2, 0)


def test_a_definition_says_when_its_deletion_was_asked_for(tasks, ecs):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    tasks.run(definition=definition)
    ecs.deregister_task_definition(taskDefinition=definition)
    [deleted] = ecs.delete_task_definitions(taskDefinitions=[definition])["taskDefinitions"]
    told = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    assert told["status"] == "DELETE_IN_PROGRESS"
    assert told["deleteRequestedAt"] == deleted["deleteRequestedAt"] >= told["deregisteredAt"]


def test_definitions_are_refused_in_awss_words(tasks, ecs, name):
    plain = {"image": "absent", "memory": 8}

    def c(name, **more):
        return plain | {"name": name} | more

    port = [{"containerPort": 80, "hostPort": 3000}]
    secret = {"name": "S", "valueFrom": "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"}
    role = "arn:aws:iam::000000000000:role/r"
    for containers, sentence in (
        ([c("a"), c("a")], "Container names must be unique within a Task Definition."),
        ([c("a", portMappings=port), c("b", portMappings=port)], "TCP host port '3000' is mapped multiple times in task."),
        ([c("a", links=["b"]), c("b", links=["a"])], "Container links should not have a cycle"),
        ([c("a", dependsOn=[{"containerName": "z", "condition": "START"}])],
         "Cannot depend on container + 'z' because it does not exist"),
        ([c("a", dependsOn=[{"containerName": "b", "condition": "SUCCESS"}]), c("b")],
         "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container"),
        ([c("a", secrets=[secret, secret])], "Duplicate secret names found: S. Each secret name must be unique."),
        ([c("a", secrets=[secret], environment=[{"name": "S", "value": "x"}])],
         "The secret name must be unique and not shared with any new or existing environment variables set on the container"),
        ([c("a", mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}])], "Unknown volume 'v'."),
        ([c("a", ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 2}] * 2)], "the limit nofile is given twice"),
        ([{"name": "a", "image": "absent"}], "At least one of 'memory' or 'memoryReservation' must be specified."),
        ([c("a", essential=False)], "Task definition must have at least one essential container"),
    ):
        refused(ecs.register_task_definition, "ClientException", sentence, family=name, containerDefinitions=containers,
                executionRoleArn=role)


def test_history_outlives_a_kill(own, own_tasks, name):
    task = own_tasks.run("exit", 3, startedBy=name)
    before = own_tasks.stopped(task)

    def kept():
        streams = own.client("logs").filter_log_events(logGroupName="/wharf/events", filterPattern=f'"{task}"')
        assert any('"STOPPED"' in event["message"] for event in streams["events"])
        return streams["events"]
    events = eventually(kept, within=20)
    own.kill()
    own.start()
    assert own_tasks.ecs.list_tasks(startedBy=name, desiredStatus="STOPPED")["taskArns"] == [task]
    assert own_tasks.describe(task)["stoppedReason"] == before["stoppedReason"]
    told = {event["message"] for event in eventually(kept, within=20)}
    assert {event["message"] for event in events} <= told
