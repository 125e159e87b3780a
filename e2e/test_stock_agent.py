"""AWS's own agent against this server: its registration, sessions and reports, played as it was recorded."""

import json

import pytest
import websocket

from lib import server
from lib.stock import StockAgent
from lib.tasks import fresh
from lib.wait import eventually


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A server for this file. Nothing runs on its own node."""
    with server.running(tmp_path_factory.mktemp("stock") / "data") as wharf:
        yield wharf


@pytest.fixture
def ecs(own):
    return own.client("ecs")


@pytest.fixture
def agent(own, ecs):
    """An instance of a cluster of its own, connected."""
    cluster = fresh("stock")
    ecs.create_cluster(clusterName=cluster)
    agent = StockAgent(own, cluster).register().connect()
    agent.manifest()
    eventually(lambda: instance(ecs, agent)["agentConnected"], what="the agent counts as connected")
    yield agent
    agent.close()


def instance(ecs, agent):
    found, = ecs.describe_container_instances(
        cluster=agent.cluster, containerInstances=[agent.arn])["containerInstances"]
    return found


def container(**more):
    return {"name": "web", "image": "busybox", "memory": 64} | more


def define(ecs, *containers, **more):
    answer = ecs.register_task_definition(family=fresh(), containerDefinitions=list(containers), **more)
    return answer["taskDefinition"]["taskDefinitionArn"]


def run(ecs, agent, definition, **more):
    return ecs.run_task(cluster=agent.cluster, taskDefinition=definition, launchType="EXTERNAL", **more)


def run_one(ecs, agent, definition, **more):
    answer = run(ecs, agent, definition, **more)
    assert not answer["failures"], answer["failures"]
    task, = answer["tasks"]
    return task["taskArn"]


def describe(ecs, agent, task):
    found, = ecs.describe_tasks(cluster=agent.cluster, tasks=[task])["tasks"]
    return found


def ended(agent, task, **more):
    agent.submit(task, "STOPPED", containers=[
        {"containerName": "web", "runtimeId": "d0c", "status": "STOPPED", "exitCode": 137}], **more)


def test_a_whole_life(ecs, agent):
    assert instance(ecs, agent)["versionInfo"] == {
        "agentHash": "a8b3e7d3", "agentVersion": "1.105.1", "dockerVersion": "20.10.24+dfsg1"}
    definition = define(ecs, container(
        cpu=128, memoryReservation=32, command=["serve"], environment=[{"name": "A", "value": "b"}],
        portMappings=[{"containerPort": 80}], healthCheck={"command": ["CMD", "true"]}, user="1000",
        linuxParameters={"initProcessEnabled": True}, ulimits=[{"name": "nofile", "softLimit": 9, "hardLimit": 9}],
        dependsOn=[{"containerName": "init", "condition": "COMPLETE"}]),
        {"name": "init", "image": "busybox", "memory": 16, "essential": False, "command": ["true"]})
    task = run_one(ecs, agent, definition)
    sent, = agent.payload()
    assert (sent["arn"], sent["desiredStatus"]) == (task, "RUNNING")
    assert (sent["family"], sent["version"]) == tuple(definition.rpartition("/")[2].split(":"))
    web, init = sent["containers"]
    assert web["healthCheckType"] == "docker"
    assert web["environment"] == {"A": "b", "AWS_EXECUTION_ENV": "AWS_ECS_EC2"}
    assert web["dependsOn"] == [{"containerName": "init", "condition": "COMPLETE"}]
    assert web["portMappings"] == [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}]
    assert (web["cpu"], web["memory"], init["essential"]) == (128, 64, False)
    config, host = (json.loads(web["dockerConfig"][name]) for name in ("config", "hostConfig"))
    assert config["User"] == "1000" and config["Healthcheck"]["Test"] == ["CMD", "true"]
    assert host["NetworkMode"] == "bridge" and host["Init"] is True
    assert host["MemoryReservation"] == 32 << 20
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 9, "Hard": 9}]

    digest = "sha256:" + "0" * 64
    agent.submit(task, "PENDING", containers=[
        {"containerName": "web", "status": "PENDING", "imageDigest": digest}])
    assert describe(ecs, agent, task)["lastStatus"] == "PENDING"
    agent.submit(task, "RUNNING", pullStartedAt=1795360098.784, pullStoppedAt=1795360099.5, containers=[
        {"containerName": "web", "runtimeId": "d0c", "status": "RUNNING", "imageDigest": digest,
         "networkBindings": [{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}]},
        {"containerName": "init", "runtimeId": "1n1t", "status": "STOPPED", "exitCode": 0}])
    running = describe(ecs, agent, task)
    assert running["lastStatus"] == "RUNNING"
    one = next(c for c in running["containers"] if c["name"] == "web")
    assert one["networkBindings"][0]["hostPort"] == 32768 and one["imageDigest"] == digest

    about = {"cluster": agent.cluster, "containerInstance": agent.arn, "messageId": "m"}
    agent.publish("PublishMetricsRequest", {
        "metadata": about | {"idle": False, "fin": True}, "timestamp": 1795360100.25,
        "taskMetrics": [{"taskArn": task, "containerMetrics": [{
            "containerName": "web", "cpuStatsSet": {"min": 0, "max": 1.5, "sum": 2, "sampleCount": 20}}]}],
    }, "AckPublishMetric")
    agent.publish("PublishHealthRequest", {
        "metadata": about | {"fin": True}, "timestamp": 1795360100.25, "tasks": [{"taskArn": task, "containers": [
            {"containerName": "web", "healthStatus": "HEALTHY", "statusSince": 1795360100}]}],
    }, "AckPublishHealth")
    assert describe(ecs, agent, task)["healthStatus"] == "HEALTHY"
    agent.publish("PublishInstanceStatusRequest", {
        "metadata": {"cluster": agent.cluster, "containerInstance": agent.arn, "requestId": "r"},
        "statuses": [{"type": "ContainerRuntime", "status": "OK", "lastStatusChange": 1, "lastUpdated": 2}],
        "timestamp": 1795360100.25}, "AckPublishInstanceStatus")

    ecs.stop_task(cluster=agent.cluster, task=task, reason="enough")
    stop, = agent.payload()
    assert (stop["arn"], stop["desiredStatus"]) == (task, "STOPPED")
    assert describe(ecs, agent, task)["lastStatus"] == "RUNNING", "only the agent says that it is over"
    ended(agent, task, executionStoppedAt=1795360101.5)
    stopped = describe(ecs, agent, task)
    assert (stopped["lastStatus"], stopped["stoppedReason"]) == ("STOPPED", "enough")
    assert next(c for c in stopped["containers"] if c["name"] == "web")["exitCode"] == 137
    # A report that comes again is answered and changes nothing.
    ended(agent, task)
    assert describe(ecs, agent, task)["lastStatus"] == "STOPPED"


def test_placement_keeps_the_agents_books(ecs, agent):
    """What the agent would let wait without a word is not placed."""
    port = define(ecs, container(portMappings=[{"containerPort": 80, "hostPort": 8080}]))
    first = run_one(ecs, agent, port)
    agent.payload()
    failure, = run(ecs, agent, port)["failures"]
    assert failure["reason"] == "RESOURCE:PORTS", failure
    ecs.stop_task(cluster=agent.cluster, task=first)
    agent.payload()
    # Told to stop is not stopped: the agent still counts it.
    failure, = run(ecs, agent, port)["failures"]
    assert failure["reason"] == "RESOURCE:PORTS", failure
    ended(agent, first)
    second = run_one(ecs, agent, port)
    assert agent.payload()[0]["arn"] == second
    taken = define(ecs, container(portMappings=[{"containerPort": 80, "hostPort": 51678}]))
    assert run(ecs, agent, taken)["failures"][0]["reason"] == "RESOURCE:PORTS", "the agent's own port"
    # Memory: the soft limit where there is one, as the agent counts.
    large = define(ecs, container(memory=8000, memoryReservation=4000))
    third = run_one(ecs, agent, large)
    sent, = agent.payload()
    assert json.loads(sent["containers"][0]["dockerConfig"]["hostConfig"])["MemoryReservation"] == 4000 << 20
    assert run(ecs, agent, large)["failures"][0]["reason"] == "RESOURCE:MEMORY"
    ended(agent, third)
    # A size that is overridden counts there as it does here.
    sized = define(ecs, container(), memory="4096", cpu="256")
    smaller = run_one(ecs, agent, sized, overrides={"memory": "1024", "cpu": "128"})
    sent, = agent.payload()
    assert (sent["arn"], sent["memory"], sent["cpu"]) == (smaller, 1024, 0.125)


@pytest.mark.parametrize(("members", "attribute"), [
    ({"logConfiguration": {"logDriver": "syslog"}}, "com.amazonaws.ecs.capability.logging-driver.syslog"),
    ({"dockerSecurityOptions": ["apparmor:x"]}, "com.amazonaws.ecs.capability.apparmor"),
])
def test_what_this_agent_does_not_do_is_not_sent_to_it(ecs, agent, members, attribute):
    failure, = run(ecs, agent, define(ecs, container(**members)))["failures"]
    assert failure["reason"] == "ATTRIBUTE", failure
    assert attribute in failure["detail"], failure


def test_an_invalid_task_comes_back_unacknowledged(ecs, agent):
    task = run_one(ecs, agent, define(ecs, container()))
    agent.told("PayloadMessage")
    agent.submit(task, "STOPPED", reason="UnrecogniedTaskError: Error loading task - invalid json")
    stopped = describe(ecs, agent, task)
    assert stopped["lastStatus"] == "STOPPED"
    assert "UnrecogniedTaskError" in stopped["stoppedReason"]
    assert run_one(ecs, agent, define(ecs, container()))


def test_draining_is_the_servers_affair(ecs, agent):
    ecs.update_container_instances_state(
        cluster=agent.cluster, containerInstances=[agent.arn], status="DRAINING")
    assert run(ecs, agent, define(ecs, container()))["failures"]
    # A spot notice makes the agent say it by itself.
    agent.call("UpdateContainerInstancesState", {
        "cluster": agent.cluster, "containerInstances": [agent.arn], "status": "DRAINING"})
    assert instance(ecs, agent)["status"] == "DRAINING"


def test_a_restart_of_the_server_and_of_the_agent(own, ecs, agent):
    running = run_one(ecs, agent, define(ecs, container()))
    agent.payload()
    agent.submit(running, "RUNNING", containers=[
        {"containerName": "web", "runtimeId": "d0c", "status": "RUNNING"}])
    pending = run_one(ecs, agent, define(ecs, container()))
    agent.payload()
    own.kill()
    agent.close()
    own.start()
    # The agent comes back without a new registration, and asks for no credentials.
    agent.connect(first=False)
    listed = agent.manifest()
    assert {t["taskArn"] for t in listed["tasks"]} == {running, pending}
    assert [t["arn"] for t in agent.payload()] == [pending], "what it has not reported is sent again"
    # What it runs beyond the manifest it asks about, by the manifest's own id.
    stranger = running[:-4] + "ffff"
    agent.say("TaskStopVerificationMessage", {"messageId": listed["messageId"], "stopCandidates": [
        {"taskArn": stranger, "taskClusterArn": listed["clusterArn"], "desiredStatus": "STOPPED"},
        {"taskArn": running, "taskClusterArn": listed["clusterArn"], "desiredStatus": "STOPPED"}]})
    _, verdict = agent.told("TaskStopVerificationAck")
    assert verdict["messageId"] == listed["messageId"]
    assert [t["taskArn"] for t in verdict["stopTasks"]] == [stranger]
    # A new process of the agent registers again as what it was.
    agent.close()
    before = agent.arn
    agent.register().connect()
    assert agent.arn == before
    agent.counter = -1
    assert {t["taskArn"] for t in agent.manifest()["tasks"]} == {running, pending}


def test_a_deregistered_instance_is_told_so_in_the_handshake(ecs, agent):
    task = run_one(ecs, agent, define(ecs, container()))
    ecs.deregister_container_instance(cluster=agent.cluster, containerInstance=agent.arn, force=True)
    assert describe(ecs, agent, task)["lastStatus"] == "STOPPED"
    agent.close()
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        agent.connect(first=False)
    assert refused.value.status_code == 400
    assert "InactiveInstanceException" in refused.value.resp_body.decode()
