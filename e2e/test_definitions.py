"""Task definitions: register, describe, list, deregister, delete."""

import botocore.exceptions
import pytest

from lib.tasks import fresh

FULL = {
    "name": "web",
    "image": "example:1",
    "cpu": 64,
    "memory": 128,
    "memoryReservation": 64,
    "essential": True,
    "entryPoint": ["/probe"],
    "command": ["say", "hello"],
    "workingDirectory": "/tmp",
    "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
    "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
    "mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": True}],
    "ulimits": [{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
    "linuxParameters": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]}, "initProcessEnabled": True},
    "healthCheck": {"command": ["CMD", "/probe"], "interval": 5, "timeout": 2, "retries": 1, "startPeriod": 1},
    "stopTimeout": 3,
    "user": "1000:1000",
    "dockerLabels": {"a": "b"},
    "restartPolicy": {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
}


def test_what_is_registered_is_described(ecs, name):
    request = {
        "family": name, "containerDefinitions": [FULL], "networkMode": "bridge", "cpu": "128", "memory": "256",
        "volumes": [{"name": "data", "host": {"sourcePath": "/tmp"}}],
    }
    registered = ecs.register_task_definition(**request, tags=[{"key": "k", "value": "v"}])
    definition = registered["taskDefinition"]
    assert registered["tags"] == [{"key": "k", "value": "v"}]
    assert definition["revision"] == 1 and definition["status"] == "ACTIVE"
    assert definition["taskDefinitionArn"].endswith(f":task-definition/{name}:1")
    [container] = definition["containerDefinitions"]
    for member, value in FULL.items():
        assert container[member] == value or member == "environment", member
    assert sorted(map(str, container["environment"])) == sorted(map(str, FULL["environment"]))
    assert definition["cpu"] == "128" and definition["memory"] == "256"
    assert "EC2" in definition["compatibilities"]
    described = ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
    assert described["taskDefinition"] == definition and described["tags"] == registered["tags"]


def test_defaults_are_filled_in_as_ecs_does(ecs, name):
    container = {"name": "app", "image": "x", "memory": 16}
    [shown] = ecs.register_task_definition(family=name, containerDefinitions=[container])["taskDefinition"]["containerDefinitions"]
    assert shown["essential"] is True and shown["cpu"] == 0
    for member in ("environment", "mountPoints", "portMappings", "volumesFrom"):
        assert shown[member] == [], member


def test_revisions_count_up_and_the_family_means_the_newest(ecs, name):
    container = {"name": "app", "image": "x", "memory": 16}
    for revision in (1, 2, 3):
        shown = ecs.register_task_definition(family=name, containerDefinitions=[container])
        assert shown["taskDefinition"]["revision"] == revision
    assert ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]["revision"] == 3
    assert ecs.describe_task_definition(taskDefinition=f"{name}:2")["taskDefinition"]["revision"] == 2
    ecs.deregister_task_definition(taskDefinition=f"{name}:3")
    assert ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]["revision"] == 2
    arns = ecs.list_task_definitions(familyPrefix=name)["taskDefinitionArns"]
    assert [arn.rpartition(":")[2] for arn in arns] == ["1", "2"]
    arns = ecs.list_task_definitions(familyPrefix=name, sort="DESC", status="INACTIVE")["taskDefinitionArns"]
    assert [arn.rpartition(":")[2] for arn in arns] == ["3"]
    # A number is never given twice.
    shown = ecs.register_task_definition(family=name, containerDefinitions=[container])
    assert shown["taskDefinition"]["revision"] == 4


def test_deregistered_ones_stay_readable_and_are_then_deleted(ecs, name):
    arn = ecs.register_task_definition(
        family=name, containerDefinitions=[{"name": "app", "image": "x", "memory": 16}])["taskDefinition"]["taskDefinitionArn"]
    refused = ecs.delete_task_definitions(taskDefinitions=[arn])
    assert refused["taskDefinitions"] == [] and len(refused["failures"]) == 1
    gone = ecs.deregister_task_definition(taskDefinition=arn)["taskDefinition"]
    assert gone["status"] == "INACTIVE" and "deregisteredAt" in gone
    assert ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["status"] == "INACTIVE"
    deleted = ecs.delete_task_definitions(taskDefinitions=[arn])
    assert [d["status"] for d in deleted["taskDefinitions"]] == ["DELETE_IN_PROGRESS"] and deleted["failures"] == []
    assert arn not in ecs.list_task_definitions(familyPrefix=name, status="INACTIVE")["taskDefinitionArns"]


def test_families_are_listed(ecs):
    prefix = fresh("family")
    for tail in ("a", "b"):
        ecs.register_task_definition(
            family=f"{prefix}-{tail}", containerDefinitions=[{"name": "app", "image": "x", "memory": 16}])
    assert ecs.list_task_definition_families(familyPrefix=prefix)["families"] == [f"{prefix}-a", f"{prefix}-b"]
    ecs.deregister_task_definition(taskDefinition=f"{prefix}-a:1")
    active = ecs.list_task_definition_families(familyPrefix=prefix, status="ACTIVE")["families"]
    assert active == [f"{prefix}-b"]
    inactive = ecs.list_task_definition_families(familyPrefix=prefix, status="INACTIVE")["families"]
    assert inactive == [f"{prefix}-a"]


def test_unknown_ones_are_told(ecs, tasks):
    with pytest.raises(ecs.exceptions.ClientException, match="Unable to describe task definition"):
        ecs.describe_task_definition(taskDefinition="never-heard-of")
    with pytest.raises(ecs.exceptions.ClientException):
        ecs.run_task(taskDefinition="never-heard-of:7")


@pytest.mark.parametrize("change, says", [
    ({"image": ""}, "image"),
    ({"memory": None}, "memory"),
    ({"memory": 2}, "memory"),
    ({"memoryReservation": 64}, "memoryReservation"),
    ({"essential": False}, "essential"),
    ({"mountPoints": [{"sourceVolume": "nix", "containerPath": "/x"}]}, "nix"),
    ({"dependsOn": [{"containerName": "other", "condition": "START"}]}, "other"),
    ({"portMappings": [{"containerPort": 70000}]}, "[pP]ort"),
    ({"name": "has space"}, "name"),
    ({"secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:us-east-1:0:parameter/x"}]}, "secrets"),
])
def test_what_cannot_run_is_refused_by_name(ecs, name, change, says):
    container = {"name": "app", "image": "x", "memory": 16} | change
    container = {member: value for member, value in container.items() if value is not None}
    with pytest.raises(botocore.exceptions.ClientError, match=says) as refused:
        ecs.register_task_definition(family=name, containerDefinitions=[container])
    assert refused.value.response["Error"]["Code"] in ("ClientException", "InvalidParameterException")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
