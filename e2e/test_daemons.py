"""Daemon services: one task on each container instance, by boto3, on two nodes of this machine."""

import contextlib
import json
import signal
import subprocess
import time

import botocore.exceptions
import pytest

from lib import server
from lib.tasks import Tasks
from lib.wait import eventually


@contextlib.contextmanager
def second_node(wharf, ecs, folder, cluster, *flags):
    """Another node, as on another machine; gives the ARN of its container instance."""
    before = set(ecs.list_container_instances(cluster=cluster)["containerInstanceArns"])
    node = server.Wharf(folder / "node")
    command = [server.BINARY, "agent", "--data-dir", node.data, "--cluster", cluster, *flags]
    with open(node.log, "ab") as log:
        node.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=server.environment(**wharf.env), start_new_session=True)

    def joined():
        arns = set(ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]) - before
        found = ecs.describe_container_instances(
            cluster=cluster, containerInstances=list(arns))["containerInstances"] if arns else []
        return next((i["containerInstanceArn"] for i in found if i["agentConnected"]), None)

    arn = eventually(joined, within=60, what="the node joins")
    try:
        yield arn
    finally:
        known = node.processes()
        node.process.send_signal(signal.SIGTERM)
        node.down()
        time.sleep(0.2)
        left = node.leftovers(known)
        with contextlib.suppress(botocore.exceptions.ClientError):
            ecs.deregister_container_instance(cluster=cluster, containerInstance=arn, force=True)
    assert not left, left


def daemon(ecs, name, definition, cluster="default", **more):
    return ecs.create_service(
        cluster=cluster, serviceName=name, taskDefinition=definition, schedulingStrategy="DAEMON",
        launchType="EC2", **more)["service"]


def places(tasks, name):
    return sorted(t["containerInstanceArn"] for t in tasks.of_service(name) if t["lastStatus"] == "RUNNING")


def settled(tasks, name, count):
    """Waits until the service has so many instances and a task on each."""
    def there():
        service = tasks.service(name)
        same = service["desiredCount"] == service["runningCount"] == count
        return service if same and len(places(tasks, name)) == count else None
    return eventually(there, within=60, what=f"{name} is on {count} instances")


def test_a_daemon_follows_the_instances_of_its_cluster(wharf, ecs, name, tmp_path):
    ecs.create_cluster(clusterName=name)
    tasks = Tasks(wharf, wharf.images, cluster=name)
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    made = daemon(ecs, "log", definition, cluster=name)
    assert made["schedulingStrategy"] == "DAEMON" and made["desiredCount"] == 0
    assert made["deploymentConfiguration"]["maximumPercent"] == 100
    assert made["deploymentConfiguration"]["minimumHealthyPercent"] == 0
    with second_node(wharf, ecs, tmp_path, name) as node:
        settled(tasks, "log", 1)
        assert places(tasks, "log") == [node]
        assert ecs.list_services(cluster=name, schedulingStrategy="REPLICA")["serviceArns"] == []
        assert len(ecs.list_services(cluster=name, schedulingStrategy="DAEMON")["serviceArns"]) == 1
        assert "(daemon service log) updated desired count to 1." in tasks.events("log")
        # It goes last: a task of nobody's keeps it there while the instance drains.
        alone = tasks.run("on-term", 0, "forever")
        tasks.running(alone)
        ecs.update_container_instances_state(cluster=name, containerInstances=[node], status="DRAINING")
        eventually(lambda: tasks.service("log")["desiredCount"] == 0)
        time.sleep(2)
        assert places(tasks, "log") == [node] and tasks.status_of(alone) == "RUNNING"
        tasks.stop(alone)
        eventually(lambda: places(tasks, "log") == [], within=40)
        ecs.update_container_instances_state(cluster=name, containerInstances=[node], status="ACTIVE")
        settled(tasks, "log", 1)
        # Another definition takes its place, one after the other.
        other = tasks.define(tasks.container("on-term", 0, "say", "two", "forever"))
        ecs.update_service(cluster=name, service="log", taskDefinition=other)

        def moved():
            service = tasks.service("log")
            return len(service["deployments"]) == 1 and [t["taskDefinitionArn"] for t in tasks.of_service("log")] == [other]
        eventually(moved, within=60, what="the update is through")
        tasks.told("log", "has reached a steady state.")
        # Nobody has to scale it to zero first.
        assert ecs.delete_service(cluster=name, service="log")["service"]["status"] in ("DRAINING", "INACTIVE")
        ecs.get_waiter("services_inactive").wait(
            cluster=name, services=["log"], WaiterConfig={"Delay": 0.2, "MaxAttempts": 200})
    assert ecs.delete_cluster(cluster=name)["cluster"]["status"] == "INACTIVE"


def test_a_daemon_keeps_to_its_constraints(tasks, ecs, name):
    [arn] = ecs.list_container_instances()["containerInstanceArns"]
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    constraint = {"type": "memberOf", "expression": f"attribute:{name} == yes"}
    daemon(ecs, name, definition, placementConstraints=[constraint])
    try:
        assert tasks.service(name)["desiredCount"] == 0
        ecs.put_attributes(attributes=[{"name": name, "value": "yes", "targetId": arn}])
        settled(tasks, name, 1)
        ecs.put_attributes(attributes=[{"name": name, "value": "no", "targetId": arn}])
        eventually(lambda: places(tasks, name) == [], within=40)
        assert tasks.service(name)["desiredCount"] == 0
    finally:
        ecs.delete_attributes(attributes=[{"name": name, "targetId": arn}])
        tasks.remove(name)


@pytest.mark.parametrize("more, words", [
    ({"desiredCount": 1}, "The daemon scheduling strategy does not support a desired count for services."),
    ({"placementStrategy": [{"type": "random"}]}, "The daemon scheduling strategy does not support placement strategies."),
    ({"deploymentConfiguration": {"maximumPercent": 200}},
     "The daemon scheduling strategy does not support values above 100 for maximumPercent"),
    ({"deploymentController": {"type": "EXTERNAL"}}, "does not support the EXTERNAL deployment controller"),
    ({"deploymentController": {"type": "CODE_DEPLOY"}}, "CODE_DEPLOY"),
    ({"schedulingStrategy": "SOMETIMES"}, "SOMETIMES"),
])
def test_what_a_daemon_does_not_have_is_refused(tasks, ecs, name, more, words):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    asked = {"serviceName": name, "taskDefinition": definition, "schedulingStrategy": "DAEMON", "launchType": "EC2"}
    with pytest.raises(ecs.exceptions.InvalidParameterException) as error:
        ecs.create_service(**(asked | more))
    assert words in error.value.response["Error"]["Message"]


def test_updates_of_daemons_in_aws_words(tasks, ecs, wharf, name):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    daemon(ecs, name, definition)
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="does not support a desired count"):
        ecs.update_service(service=name, desiredCount=2)
    shown = json.loads(wharf.aws("ecs", "describe-services", "--services", name))["services"][0]
    assert shown["schedulingStrategy"] == "DAEMON" and shown["desiredCount"] == 1
    tasks.remove(name)
