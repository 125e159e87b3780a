"""Task sets: services with an EXTERNAL deployment controller, by boto3."""

import json

import pytest

from lib.tasks import patience
from lib.wait import eventually


@pytest.fixture
def web(tasks, ecs, name):
    """A service of task sets that wants two tasks."""
    made = ecs.create_service(
        serviceName=name, desiredCount=2, deploymentController={"type": "EXTERNAL"})["service"]
    assert made["deploymentController"] == {"type": "EXTERNAL"} and made["taskSets"] == []
    assert made["deployments"] == [] and "taskDefinition" not in made and "launchType" not in made
    yield name
    if tasks.service(name)["status"] == "ACTIVE":
        tasks.remove(name)


def put(ecs, name, definition, percent, **more):
    return ecs.create_task_set(
        cluster="default", service=name, taskDefinition=definition, launchType="EC2",
        scale={"value": percent, "unit": "PERCENT"}, **more)["taskSet"]


def of(ecs, name, *sets, **more):
    answer = ecs.describe_task_sets(cluster="default", service=name, taskSets=list(sets), **more)
    assert not answer["failures"], answer
    return answer["taskSets"]


def steady(ecs, name, set_id, running):
    def there():
        [found] = of(ecs, name, set_id)
        return found if found["stabilityStatus"] == "STEADY_STATE" and found["runningCount"] == running else None
    return eventually(there, within=60, what=f"{set_id} has {running} tasks")


def test_blue_and_green_by_hand(tasks, ecs, web):
    one = tasks.define(tasks.container("on-term", 0, "forever"))
    two = tasks.define(tasks.container("on-term", 0, "say", "two", "forever"))
    blue = put(ecs, web, one, 100, externalId="blue", tags=[{"key": "team", "value": "a"}], clientToken="once")
    assert blue["status"] == "ACTIVE" and blue["computedDesiredCount"] == 2
    assert blue["externalId"] == "blue" and blue["scale"] == {"value": 100.0, "unit": "PERCENT"}
    assert blue["taskSetArn"].endswith(f":task-set/default/{web}/{blue['id']}")
    again = put(ecs, web, one, 100, externalId="blue", tags=[{"key": "team", "value": "a"}], clientToken="once")
    assert again["id"] == blue["id"], "the token makes it once"
    steady(ecs, web, blue["id"], 2)
    [shown] = of(ecs, web, blue["taskSetArn"], include=["TAGS"])
    assert shown["tags"] == [{"key": "team", "value": "a"}]
    assert {t["startedBy"] for t in tasks.of_service(web)} == {blue["id"]}

    primary = ecs.update_service_primary_task_set(cluster="default", service=web, primaryTaskSet=blue["id"])
    assert primary["taskSet"]["status"] == "PRIMARY"
    service = tasks.service(web)
    assert service["taskDefinition"] == one and service["launchType"] == "EC2"
    assert [s["id"] for s in service["taskSets"]] == [blue["id"]]

    green = put(ecs, web, two, 25)
    assert green["computedDesiredCount"] == 1, "rounded up"
    steady(ecs, web, green["id"], 1)
    scaled = ecs.update_task_set(
        cluster="default", service=web, taskSet=green["id"], scale={"value": 100, "unit": "PERCENT"})["taskSet"]
    assert scaled["computedDesiredCount"] == 2 and scaled["stabilityStatus"] == "STABILIZING"
    steady(ecs, web, green["id"], 2)
    ecs.update_service_primary_task_set(cluster="default", service=web, primaryTaskSet=green["taskSetArn"])
    assert tasks.service(web)["taskDefinition"] == two
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="scaled above 0"):
        ecs.delete_task_set(cluster="default", service=web, taskSet=blue["id"])
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="PRIMARY task set"):
        ecs.delete_task_set(cluster="default", service=web, taskSet=green["id"])
    gone = ecs.delete_task_set(cluster="default", service=web, taskSet=blue["id"], force=True)["taskSet"]
    assert gone["status"] == "DRAINING"
    eventually(lambda: [s["id"] for s in of(ecs, web)] == [green["id"]], within=60)
    with pytest.raises(ecs.exceptions.TaskSetNotFoundException):
        ecs.delete_task_set(cluster="default", service=web, taskSet=blue["id"])
    # The service's own desired count is shared out anew.
    ecs.update_service(service=web, desiredCount=3)
    steady(ecs, web, green["id"], 3)
    ecs.delete_service(service=web, force=True)
    ecs.get_waiter("services_inactive").wait(cluster="default", services=[web], WaiterConfig=patience(60))


def test_what_is_the_task_sets_is_refused_of_the_service(tasks, ecs, web, name):
    one = tasks.define(tasks.container("on-term", 0, "forever"))
    external = {"serviceName": f"{name}-x", "deploymentController": {"type": "EXTERNAL"}}
    for more, words in [
        ({"taskDefinition": one}, "TaskDefinition must be blank"),
        ({"launchType": "EC2"}, "LaunchType must be blank"),
    ]:
        with pytest.raises(ecs.exceptions.InvalidParameterException, match=words):
            ecs.create_service(**external, **more)
    for more, words in [
        ({"taskDefinition": one}, "Unable to update task definition on services with an EXTERNAL deployment controller"),
        ({"forceNewDeployment": True}, "Unable to update deployments"),
        ({"deploymentController": {"type": "ECS"}}, "cannot be changed here from EXTERNAL to ECS"),
    ]:
        with pytest.raises(ecs.exceptions.InvalidParameterException, match=words):
            ecs.update_service(service=web, **more)
    updated = ecs.update_service(
        service=web, healthCheckGracePeriodSeconds=7, propagateTags="SERVICE", enableECSManagedTags=True,
        placementStrategy=[{"type": "random"}], placementConstraints=[{"type": "distinctInstance"}])["service"]
    assert updated["healthCheckGracePeriodSeconds"] == 7 and updated["propagateTags"] == "SERVICE"


def test_task_sets_are_asked_for_rightly(tasks, ecs, wharf, web, name):
    one = tasks.define(tasks.container("on-term", 0, "forever"))
    for percent in (-1, 100.5):
        with pytest.raises(ecs.exceptions.InvalidParameterException, match="between 0 and 100"):
            put(ecs, web, one, percent)
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="Task Set Identifier is invalid"):
        of(ecs, web, "nonsense")
    answer = ecs.describe_task_sets(cluster="default", service=web, taskSets=["ecs-svc/12"])
    assert answer["taskSets"] == [] and answer["failures"][0]["reason"] == "MISSING"
    for _ in range(5):
        put(ecs, web, one, 0)
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="exceeds the maximum limit"):
        put(ecs, web, one, 0)
    usual = tasks.create_service(one, 0)
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="only supports task set management"):
        put(ecs, usual, one, 100)
    tasks.remove(usual)
    told = json.loads(wharf.aws("ecs", "describe-task-sets", "--cluster", "default", "--service", web))
    assert len(told["taskSets"]) == 5
