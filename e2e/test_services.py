"""Services: keep the desired count, scale, say what they do, end."""

import datetime
import time

import botocore.exceptions
import pytest

from lib.tasks import last, one, patience
from lib.wait import eventually, stays


def steady(tasks, *more):
    return tasks.define(tasks.container("on-term", 0, *more, "forever"))


def test_a_service_runs_as_many_tasks_as_desired(tasks, name):
    tasks.create_service(steady(tasks), 3, name)
    service = tasks.stable(name)
    assert service["status"] == "ACTIVE" and service["schedulingStrategy"] == "REPLICA"
    assert service["runningCount"] == service["desiredCount"] == 3 and service["pendingCount"] == 0
    [deployment] = service["deployments"]
    assert deployment["status"] == "PRIMARY" and deployment["runningCount"] == 3
    assert deployment["id"].startswith("ecs-svc/")
    running = tasks.of_service(name)
    assert {t["group"] for t in running} == {f"service:{name}"}
    assert {t["startedBy"] for t in running} == {deployment["id"]}
    tasks.told(name, "has started 3 tasks")
    tasks.told(name, "has reached a steady state.")
    eventually(lambda: tasks.service(name)["deployments"][0]["rolloutState"] == "COMPLETED")


def test_a_killed_task_is_replaced(tasks, wharf, name):
    tasks.create_service(steady(tasks), 2, name)
    tasks.told(name, "steady state")
    before = {t["taskArn"] for t in tasks.of_service(name)}
    victim = sorted(before)[0]
    killed = datetime.datetime.now(datetime.timezone.utc)
    for process in wharf.containers(last(victim)):
        process.kill()
    after = eventually(lambda: (lambda now: now if len(now) == 2 and victim not in now else None)(
        {t["taskArn"] for t in tasks.of_service(name) if t["lastStatus"] == "RUNNING"}))
    [replacement] = after - before
    task = tasks.describe(victim)
    assert task["stopCode"] == "EssentialContainerExited" and one(task)["exitCode"] == 137
    assert tasks.describe(replacement)["startedAt"] > killed
    tasks.told(name, f"(task {last(replacement)})")
    eventually(lambda: "steady state" in tasks.events(name)[0])


def test_a_task_stopped_by_its_user_is_replaced(tasks, name):
    tasks.create_service(steady(tasks), 1, name)
    tasks.stable(name)
    [first] = tasks.of_service(name)
    tasks.stop(first["taskArn"], "to see it come back")
    eventually(lambda: [t["taskArn"] for t in tasks.of_service(name) if t["lastStatus"] == "RUNNING"] not in ([], [first["taskArn"]]))


def test_scaling_up_and_down(tasks, ecs, name):
    tasks.create_service(steady(tasks), 1, name)
    tasks.stable(name)
    for count in (4, 2, 0, 1):
        ecs.update_service(service=name, desiredCount=count)
        service = tasks.stable(name)
        assert service["runningCount"] == count and len(service["deployments"]) == 1
        eventually(lambda: len(tasks.of_service(name)) == count)
    stopped = tasks.ecs.list_tasks(serviceName=name, desiredStatus="STOPPED")["taskArns"]
    reasons = {t["stoppedReason"] for t in ecs.describe_tasks(tasks=stopped)["tasks"]}
    assert all(reason.startswith("Scaling activity initiated by (deployment ecs-svc/") for reason in reasons), reasons
    assert {t["stopCode"] for t in ecs.describe_tasks(tasks=stopped)["tasks"]} == {"ServiceSchedulerInitiated"}


def test_a_service_whose_tasks_end_again_and_again_backs_off(tasks, name):
    tasks.create_service(tasks.define(tasks.container("exit", 1)), 1, name)
    tasks.told(name, "is unable to consistently start tasks successfully", within=60)
    started = len(tasks.ecs.list_tasks(serviceName=name, desiredStatus="STOPPED")["taskArns"])
    time.sleep(3)
    more = len(tasks.ecs.list_tasks(serviceName=name, desiredStatus="STOPPED")["taskArns"])
    assert more - started <= 3, "it goes on starting tasks without pause"


def test_deleting_wants_zero_tasks_or_force(tasks, ecs, name):
    tasks.create_service(steady(tasks), 1, name)
    tasks.stable(name)
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="scaled above 0"):
        ecs.delete_service(service=name)
    ecs.update_service(service=name, desiredCount=0)
    tasks.stable(name)
    assert ecs.delete_service(service=name)["service"]["status"] in ("DRAINING", "INACTIVE")
    ecs.get_waiter("services_inactive").wait(
        cluster="default", services=[name], WaiterConfig=patience(30))
    assert tasks.service(name)["status"] == "INACTIVE"
    assert name not in str(ecs.list_services(maxResults=100)["serviceArns"])
    with pytest.raises(ecs.exceptions.ServiceNotActiveException):
        ecs.update_service(service=name, desiredCount=1)
    # The name is free again.
    tasks.create_service(steady(tasks), 1, name)
    tasks.stable(name)


def test_deleting_by_force_stops_the_tasks(tasks, name):
    tasks.create_service(steady(tasks), 2, name)
    tasks.stable(name)
    arns = [t["taskArn"] for t in tasks.of_service(name)]
    tasks.remove(name)
    tasks.stopped(*arns)


def test_the_waiter_for_stability_fails_on_a_service_that_is_gone(tasks, name):
    tasks.create_service(steady(tasks), 0, name)
    tasks.stable(name)
    tasks.remove(name)
    with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure"):
        tasks.stable(name)
    with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure"):
        tasks.stable("never-was")


def test_unknown_services(tasks, ecs):
    answer = ecs.describe_services(services=["never-was"])
    assert answer["services"] == [] and answer["failures"][0]["reason"] == "MISSING"
    with pytest.raises(ecs.exceptions.ServiceNotFoundException):
        ecs.update_service(service="never-was", desiredCount=1)
    with pytest.raises(ecs.exceptions.ServiceNotFoundException):
        ecs.delete_service(service="never-was")


def test_a_name_is_taken_once(tasks, ecs, name):
    definition = steady(tasks)
    tasks.create_service(definition, 0, name)
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="not idempotent"):
        ecs.create_service(serviceName=name, taskDefinition=definition, desiredCount=1)


def test_what_is_not_built_is_refused_by_name(tasks, ecs, name):
    definition = steady(tasks)
    for more, says in (
            ({"loadBalancers": [{"containerName": "app", "containerPort": 80, "loadBalancerName": "x"}]}, "loadBalancerName"),
            ({"deploymentController": {"type": "CODE_DEPLOY"}}, "CODE_DEPLOY"),
            ({"launchType": "FARGATE"}, "does not support launch_type FARGATE"),
            ({"serviceRegistries": [{"registryArn": "arn:x"}]}, "serviceRegistries")):
        with pytest.raises(botocore.exceptions.ClientError, match=says):
            ecs.create_service(serviceName=name, taskDefinition=definition, desiredCount=1, **more)
    assert ecs.describe_services(services=[name])["services"] == []


def test_draining_an_instance_leaves_its_tasks_nowhere_to_go(tasks, ecs, name):
    [instance] = ecs.list_container_instances()["containerInstanceArns"]
    tasks.create_service(steady(tasks), 1, name)
    tasks.stable(name)
    try:
        ecs.update_container_instances_state(containerInstances=[instance], status="DRAINING")
        answer = ecs.run_task(taskDefinition=steady(tasks))
        assert answer["tasks"] == [], "a draining instance takes no tasks"
        tasks.told(name, "unable to place a task")
        # With a minimum of 100 % the old task stays until another can run.
        stays(lambda: len([t for t in tasks.of_service(name) if t["lastStatus"] == "RUNNING"]) == 1)
    finally:
        ecs.update_container_instances_state(containerInstances=[instance], status="ACTIVE")
    tasks.stable(name)
