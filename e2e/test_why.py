"""`wharf why` and `wharf plan`: questions to the real binary, which change nothing."""

import json

import pytest

from lib.tasks import fresh
from lib.wait import eventually


def test_a_service_without_room_is_explained(wharf, tasks, ecs):
    name = fresh("wide")
    definition = tasks.define(tasks.container("forever") | {"memory": 1 << 24})
    tasks.create_service(definition, 1, name)
    eventually(lambda: ecs.describe_services(services=[name])["services"][0]["events"], within=10, what="an event")
    told = wharf.run("why", name).stdout
    assert told.startswith(f"service {name}: 0 of 1 tasks run.")
    assert "RESOURCE:MEMORY" in told and "are missing" in told
    assert "What can be done:" in told and "`memory`" in told


def test_a_steady_service_and_its_task_are_explained(wharf, tasks):
    name = fresh("calm")
    tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 1, name)
    tasks.stable(name)
    # Stable is what has its tasks; settled is what has seen them stay.
    settled = "It is as it should be: 1 of 1 tasks run."
    eventually(lambda: settled in wharf.run("why", name).stdout, within=30, what="a steady service")
    [arn] = tasks.ecs.list_tasks(cluster=tasks.cluster, serviceName=name)["taskArns"]
    id = arn.rpartition("/")[2]
    for given in (arn, id, id[:12]):
        assert "It has been running since" in wharf.run("why", given).stdout


def test_a_task_that_failed_says_how(wharf, tasks):
    arn = tasks.run("exit", 3)
    tasks.stopped(arn)
    told = wharf.run("why", arn.rpartition("/")[2]).stdout
    assert "It stopped at" in told and "ended with 3" in told and "wharf logs" in told


def test_what_is_not_there_is_told_with_the_next_step(wharf):
    done = wharf.run("why", "no-such-thing", check=False)
    assert done.returncode != 0 and "not found" in done.stderr.lower()
    done = wharf.run("why", "abcdef0", check=False)
    assert done.returncode != 0 and "wharf ps --all" in done.stderr


def test_a_change_is_shown_before_it_is_made(wharf, tasks, ecs):
    name = fresh("ahead")
    tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 1, name)
    tasks.stable(name)
    before = ecs.describe_services(services=[name])["services"][0]
    told = wharf.run("plan", "scale", name, "3").stdout
    assert told.startswith("Nothing is changed by this.")
    assert told.count("start a task of") == 2 and "It would be as asked after" in told
    told = wharf.run("plan", "update", name, "--force-new-deployment").stdout
    assert told.count("start a task of") == 1 and told.count("stop ") == 1
    after = ecs.describe_services(services=[name])["services"][0]
    assert (after["desiredCount"], after["deployments"]) == (1, before["deployments"])


def test_what_would_block_is_told(wharf, tasks):
    name = fresh("stuck")
    tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 1, name)
    tasks.stable(name)
    big = tasks.define(tasks.container("forever") | {"memory": 1 << 24})
    told = wharf.run("plan", "update", name, "--task-definition", big).stdout
    assert f"{name} would stay short." in told and "RESOURCE:MEMORY" in told


def test_a_drain_and_any_operation_can_be_planned(wharf, tasks, ecs):
    [instance] = ecs.list_container_instances()["containerInstanceArns"]
    arn = tasks.run("forever")
    tasks.running(arn)
    told = wharf.run("plan", "drain", instance).stdout
    assert told.startswith("Nothing is changed by this.")
    definition = tasks.define(tasks.container("forever"))
    told = wharf.run("plan", "call", "RunTask", json.dumps({"taskDefinition": definition, "count": 2})).stdout
    assert told.count("start a task of") == 2
    tasks.stop(arn)


@pytest.mark.parametrize("words, says", [
    (("scale", "no-such-service", "2"), "Service not found"),
    (("call", "FlyToTheMoon", "{}"), "no operation FlyToTheMoon"),
    (("call", "ListTasks", "{}"), "is not built"),
    (("call", "UpdateService", "{"), "--cli-input-json"),
])
def test_what_cannot_be_planned_says_why(wharf, words, says):
    done = wharf.run("plan", *words, check=False)
    assert done.returncode != 0 and says in done.stderr, done.stderr
