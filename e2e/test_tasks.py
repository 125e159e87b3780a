"""One task's life: run, overrides, stop, exit codes, reasons."""

import datetime

import botocore.exceptions
import pytest

from lib.tasks import fresh, last, one


def test_a_task_runs_to_its_end(tasks):
    arn = tasks.run("say", "hello", "exit", 7, startedBy="me", group="mine")
    task = tasks.stopped(arn)
    assert task["lastStatus"] == task["desiredStatus"] == "STOPPED"
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    assert task["startedBy"] == "me" and task["group"] == "mine" and task["launchType"] == "EC2"
    assert one(task)["exitCode"] == 7 and one(task)["lastStatus"] == "STOPPED"
    moments = [task[m] for m in ("createdAt", "startedAt", "executionStoppedAt", "stoppingAt", "stoppedAt")]
    assert moments == sorted(moments)
    assert task["startedAt"] - task["createdAt"] < datetime.timedelta(seconds=60)
    assert tasks.prints(arn, "hello") == ["hello"]


def test_a_running_task_is_described_as_ecs_does(tasks, ecs):
    arn = tasks.run("on-term", 0, "forever")
    task = tasks.running(arn)
    assert task["connectivity"] == "CONNECTED"
    assert task["containerInstanceArn"] == ecs.list_container_instances()["containerInstanceArns"][0]
    assert task["clusterArn"].endswith(":cluster/default")
    assert task["group"].startswith("family:")
    assert task["overrides"]["containerOverrides"] == [{"name": "app"}]
    container = one(task)
    assert container["runtimeId"] and container["taskArn"] == arn and container["imageDigest"].startswith("sha256:")
    [instance] = ecs.describe_container_instances(
        containerInstances=[task["containerInstanceArn"]])["containerInstances"]
    assert instance["runningTasksCount"] >= 1


def test_stopping_gives_the_reason_of_who_stops(tasks):
    arn = tasks.run("on-term", 5, "forever")
    tasks.running(arn)
    task = tasks.stop(arn, "no longer wanted")
    assert task["stopCode"] == "UserInitiated" and task["stoppedReason"] == "no longer wanted"
    assert one(task)["exitCode"] == 5
    assert "terminated" in tasks.prints(arn, "terminated")


def test_stopping_without_a_reason(tasks):
    arn = tasks.run("on-term", 0, "forever")
    tasks.running(arn)
    assert tasks.stop(arn)["stoppedReason"] == "Task stopped by user"


def test_a_program_that_ignores_sigterm_is_killed_after_its_stop_timeout(tasks):
    arn = tasks.run(definition=tasks.define(tasks.container("ignore-term", "say", "ready", "forever", stopTimeout=2)))
    tasks.prints(arn, "ready")
    task = tasks.stop(arn)
    assert one(task)["exitCode"] == 137
    assert task["stoppedAt"] - task["stoppingAt"] >= datetime.timedelta(seconds=1.9)


def test_a_program_killed_by_a_signal_has_128_and_the_signal(tasks, wharf):
    arn = tasks.run("forever")
    tasks.running(arn)
    for process in wharf.containers(last(arn)):
        process.kill()
    task = tasks.stopped(arn)
    assert one(task)["exitCode"] == 137 and task["stopCode"] == "EssentialContainerExited"


def test_overrides_of_command_and_environment(tasks):
    definition = tasks.define(tasks.container(
        "say", "never", environment=[{"name": "A", "value": "defined"}, {"name": "B", "value": "kept"}]))
    arn = tasks.run(definition=definition, overrides={"containerOverrides": [{
        "name": "app", "command": ["env", "A", "env", "B", "env", "C"],
        "environment": [{"name": "A", "value": "overridden"}, {"name": "C", "value": "added"}]}]})
    tasks.stopped(arn)
    assert tasks.prints(arn, "C=") == ["A=overridden", "B=kept", "C=added"]
    assert tasks.describe(arn)["overrides"]["containerOverrides"][0]["command"][0] == "env"


def test_an_override_of_an_unknown_container_is_refused(tasks, ecs):
    definition = tasks.define(tasks.container("exit", 0))
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="nobody"):
        ecs.run_task(taskDefinition=definition, overrides={"containerOverrides": [{"name": "nobody"}]})


def test_an_image_that_does_not_exist(tasks, wharf):
    image = wharf.images["probe"].rpartition(":")[0] + ":no-such-tag"
    task = tasks.finish(tasks.container(image=image))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError")
    assert "no-such-tag" in task["stoppedReason"]
    assert "CannotPullContainerError" in one(task)["reason"]


def test_a_repository_that_does_not_exist(tasks, wharf):
    image = wharf.images["probe"].replace("/probe:", "/no-such-repository:")
    task = tasks.finish(tasks.container(image=image))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError")


def test_a_program_that_does_not_exist(tasks):
    task = tasks.finish(tasks.container(entryPoint=["/no/such/program"]))
    assert task["stopCode"] == "TaskFailedToStart"
    assert "/no/such/program" in one(task)["reason"]
    assert one(task)["reason"].startswith(("CannotStartContainerError", "CannotCreateContainerError"))


def test_many_at_once(tasks):
    arns = tasks.run("on-term", 0, "forever", count=10)
    assert len(set(arns)) == 10
    tasks.running(*arns)
    for arn in arns:
        tasks.ecs.stop_task(task=arn)
    tasks.stopped(*arns)


def test_start_task_on_a_named_instance(tasks, ecs):
    [instance] = ecs.list_container_instances()["containerInstanceArns"]
    definition = tasks.define(tasks.container("say", "placed"))
    answer = ecs.start_task(taskDefinition=definition, containerInstances=[instance])
    assert answer["failures"] == []
    tasks.stopped(answer["tasks"][0]["taskArn"])
    missing = instance.rpartition("/")[0] + "/" + "0" * 32
    answer = ecs.start_task(taskDefinition=definition, containerInstances=[missing])
    assert answer["tasks"] == [] and answer["failures"][0]["reason"] == "MISSING"


def test_tasks_are_listed_by_what_they_are(tasks, ecs):
    family, started = fresh("fam"), fresh("by")
    running = tasks.run(definition=tasks.define(tasks.container("on-term", 0, "forever"), family=family), startedBy=started)
    ended = tasks.run(definition=tasks.define(tasks.container("exit", 0), family=family))
    tasks.running(running)
    tasks.stopped(ended)
    assert ecs.list_tasks(family=family)["taskArns"] == [running]
    assert ecs.list_tasks(startedBy=started)["taskArns"] == [running]
    assert ecs.list_tasks(family=family, desiredStatus="STOPPED")["taskArns"] == [ended]
    assert ecs.list_tasks(startedBy="nobody")["taskArns"] == []
    [instance] = ecs.list_container_instances()["containerInstanceArns"]
    assert running in ecs.list_tasks(containerInstance=instance)["taskArns"]


def test_unknown_tasks(ecs):
    answer = ecs.describe_tasks(tasks=["0" * 32])
    assert answer["tasks"] == [] and answer["failures"][0]["reason"] == "MISSING"
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="was not found"):
        ecs.stop_task(task="0" * 32)


def test_the_waiter_for_running_gives_up_on_a_task_that_ends(tasks):
    arn = tasks.run("exit", 1)
    tasks.stopped(arn)
    with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure"):
        tasks.running(arn)
