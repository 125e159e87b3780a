"""Rolling updates, the circuit breaker, and what they promise meanwhile."""

import threading
import time

from lib.tasks import last
from lib.wait import eventually


def revision(tasks, family, *command, **more):
    return tasks.define(tasks.container(*command, **more), family=family)


def steady(tasks, family, **more):
    return revision(tasks, family, "on-term", 0, "forever", **more)


class Watch:
    """Counts a service's running tasks from the outside while a test goes on."""

    def __init__(self, tasks, service):
        self.tasks, self.service, self.counts = tasks, service, []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.over.is_set():
            found = self.tasks.of_service(self.service)
            self.counts.append((sum(t["lastStatus"] == "RUNNING" for t in found), len(found)))
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def test_a_rolling_update_replaces_every_task_and_never_falls_below_the_minimum(tasks, ecs, name):
    old, new = steady(tasks, name), steady(tasks, name, environment=[{"name": "V", "value": "2"}])
    percent = {"minimumHealthyPercent": 50, "maximumPercent": 150}
    tasks.create_service(old, 4, name, deploymentConfiguration=percent)
    tasks.stable(name)
    with Watch(tasks, name) as watch:
        answer = ecs.update_service(service=name, taskDefinition=new)["service"]
        assert [d["status"] for d in answer["deployments"]] == ["PRIMARY", "ACTIVE"]
        assert answer["deployments"][0]["rolloutState"] == "IN_PROGRESS"
        service = tasks.stable(name)
    assert service["taskDefinition"] == new
    assert {t["taskDefinitionArn"] for t in tasks.of_service(name)} == {new}
    assert min(running for running, _ in watch.counts) >= 2, watch.counts
    assert max(running for running, _ in watch.counts) <= 6, watch.counts
    eventually(lambda: tasks.service(name)["deployments"][0]["rolloutState"] == "COMPLETED")
    tasks.told(name, "deployment completed")


def test_with_a_minimum_of_100_the_new_comes_before_the_old_goes(tasks, ecs, name):
    old, new = steady(tasks, name), steady(tasks, name, environment=[{"name": "V", "value": "2"}])
    tasks.create_service(old, 2, name, deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 200})
    tasks.stable(name)
    with Watch(tasks, name) as watch:
        ecs.update_service(service=name, taskDefinition=new)
        tasks.stable(name)
    assert min(running for running, _ in watch.counts) >= 2, watch.counts


def test_a_new_deployment_may_be_forced_without_a_change(tasks, ecs, name):
    tasks.create_service(steady(tasks, name), 2, name)
    tasks.stable(name)
    before = {t["taskArn"] for t in tasks.of_service(name)}
    ecs.update_service(service=name, forceNewDeployment=True)
    tasks.stable(name)
    assert not before & {t["taskArn"] for t in tasks.of_service(name)}


def test_a_bad_revision_leaves_the_old_tasks_running(tasks, ecs, name):
    old = steady(tasks, name)
    bad = revision(tasks, name, image=tasks.images["probe"].rpartition(":")[0] + ":missing")
    tasks.create_service(old, 2, name)
    tasks.stable(name)
    ecs.update_service(service=name, taskDefinition=bad)
    tasks.told(name, "CannotPullContainerError", within=60)
    running = [t for t in tasks.of_service(name) if t["lastStatus"] == "RUNNING"]
    assert len(running) == 2 and {t["taskDefinitionArn"] for t in running} == {old}
    # And back by hand.
    ecs.update_service(service=name, taskDefinition=old)
    tasks.stable(name)


def test_the_circuit_breaker_rolls_back(tasks, ecs, name):
    old, bad = steady(tasks, name), revision(tasks, name, "exit", 1)
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    tasks.create_service(old, 1, name, deploymentConfiguration=breaker)
    tasks.stable(name)
    eventually(lambda: tasks.service(name)["deployments"][0]["rolloutState"] == "COMPLETED")
    ecs.update_service(service=name, taskDefinition=bad)
    eventually(lambda: tasks.service(name)["taskDefinition"] == old, within=150, what="the roll-back")
    service = tasks.stable(name)
    assert service["deployments"][0]["taskDefinition"] == old
    assert {t["taskDefinitionArn"] for t in tasks.of_service(name)} == {old}
    tasks.told(name, "deployment failed: tasks failed to start.")
    tasks.told(name, "rolling back to (deployment ecs-svc/")


def test_the_circuit_breaker_without_roll_back_stops_trying(tasks, ecs, name):
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    tasks.create_service(revision(tasks, name, "exit", 1), 1, name, deploymentConfiguration=breaker)
    eventually(lambda: tasks.service(name)["deployments"][0]["rolloutState"] == "FAILED", within=150)
    deployment = tasks.service(name)["deployments"][0]
    assert "circuit breaker" in deployment["rolloutStateReason"]
    assert deployment["failedTasks"] >= 3
    eventually(lambda: not ecs.list_tasks(serviceName=name)["taskArns"])  # What was on its way has ended.
    before = len(ecs.list_tasks(serviceName=name, desiredStatus="STOPPED")["taskArns"])
    time.sleep(3)
    assert len(ecs.list_tasks(serviceName=name, desiredStatus="STOPPED")["taskArns"]) == before


def test_an_update_while_another_is_on_its_way(tasks, ecs, name):
    revisions = [steady(tasks, name, environment=[{"name": "V", "value": str(n)}]) for n in range(4)]
    tasks.create_service(revisions[0], 2, name)
    for definition in revisions[1:]:
        ecs.update_service(service=name, taskDefinition=definition)
    tasks.stable(name)
    eventually(lambda: {t["taskDefinitionArn"] for t in tasks.of_service(name)} == {revisions[-1]})
    assert last(tasks.service(name)["taskDefinition"]) == f"{name}:4"
