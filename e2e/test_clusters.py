"""Clusters: create, describe, list, delete."""

import pytest


def test_a_cluster_is_created_described_listed_and_deleted(ecs, name):
    created = ecs.create_cluster(clusterName=name, tags=[{"key": "team", "value": "a"}])["cluster"]
    assert created["status"] == "ACTIVE"
    assert created["clusterArn"].endswith(f":cluster/{name}")
    described = ecs.describe_clusters(clusters=[name], include=["TAGS"])
    assert described["failures"] == []
    [cluster] = described["clusters"]
    assert cluster["tags"] == [{"key": "team", "value": "a"}]
    # Clients that compare (Ansible among them) want these even when they are empty.
    for member in ("capacityProviders", "defaultCapacityProviderStrategy", "settings", "statistics"):
        assert member in cluster, member
    for count in ("runningTasksCount", "pendingTasksCount", "activeServicesCount", "registeredContainerInstancesCount"):
        assert cluster[count] == 0
    assert created["clusterArn"] in ecs.list_clusters()["clusterArns"]
    assert ecs.delete_cluster(cluster=name)["cluster"]["status"] == "INACTIVE"
    assert created["clusterArn"] not in ecs.list_clusters()["clusterArns"]


def test_creating_twice_is_idempotent(ecs, name):
    first = ecs.create_cluster(clusterName=name)["cluster"]
    assert ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"] == first["clusterArn"]


def test_an_unknown_cluster_is_missing(ecs):
    described = ecs.describe_clusters(clusters=["nowhere"])
    assert described["clusters"] == []
    [failure] = described["failures"]
    assert failure["reason"] == "MISSING" and failure["arn"].endswith(":cluster/nowhere")
    with pytest.raises(ecs.exceptions.ClusterNotFoundException):
        ecs.delete_cluster(cluster="nowhere")
    with pytest.raises(ecs.exceptions.ClusterNotFoundException):
        ecs.list_tasks(cluster="nowhere")


def test_a_cluster_in_use_is_not_deleted(ecs):
    with pytest.raises(ecs.exceptions.ClusterContainsContainerInstancesException):
        ecs.delete_cluster(cluster="default")


def test_a_cluster_with_services_is_not_deleted(ecs, tasks, name):
    ecs.create_cluster(clusterName=name)
    definition = tasks.define(tasks.container("exit", 0))
    ecs.create_service(cluster=name, serviceName="s", taskDefinition=definition, desiredCount=1)
    with pytest.raises(ecs.exceptions.ClusterContainsServicesException):
        ecs.delete_cluster(cluster=name)
    ecs.delete_service(cluster=name, service="s", force=True)
    ecs.delete_cluster(cluster=name)


def test_a_task_in_an_empty_cluster_fails_and_says_why(ecs, tasks, name):
    ecs.create_cluster(clusterName=name)
    definition = tasks.define(tasks.container("exit", 0))
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="No Container Instances were found"):
        answer = ecs.run_task(cluster=name, taskDefinition=definition)
        # Some versions of ECS answer by failures; either way it is said.
        raise ecs.exceptions.InvalidParameterException(
            {"Error": {"Message": answer["failures"][0]["reason"]}}, "RunTask")


@pytest.mark.parametrize("bad", ["has space", "a" * 256, "slash/es"])
def test_names_that_cannot_be_are_refused(ecs, bad):
    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.create_cluster(clusterName=bad)
