"""The launch type FARGATE: tasks of every cluster, without container instances."""

import json

import botocore.exceptions
import pytest

from conftest import prepared, tidy
from lib import images, kernel, server
from lib.balanced import Front
from lib.datachannel import Session
from lib.tasks import Tasks, fresh, last
from lib.wait import eventually

BASE = 1879048192
ROLE = "ecsTaskExecutionRole"


@pytest.fixture(scope="module")
def offering(tmp_path_factory):
    """`wharf up` as anybody starts it."""
    with server.running(tmp_path_factory.mktemp("fargate") / "data") as wharf:
        wharf.images = prepared(wharf)
        yield wharf


@pytest.fixture
def tasks(offering):
    helper = Tasks(offering, offering.images)
    yield helper
    tidy(helper)


def subnets(wharf):
    found = wharf.client("ec2").describe_subnets()["Subnets"]
    return {"awsvpcConfiguration": {"subnets": [s["SubnetId"] for s in found], "assignPublicIp": "ENABLED"}}


def define(tasks, *words, image="probe", **more):
    container = tasks.container(*words, image=image)
    container.pop("memory")
    return tasks.define(container, **({
        "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "executionRoleArn": ROLE} | more))


def run(tasks, definition, **more):
    network = subnets(tasks.wharf)
    return tasks.run(definition=definition, launchType="FARGATE", networkConfiguration=network, **more)


def detail(task, name):
    [attachment] = task["attachments"]
    return {d["name"]: d["value"] for d in attachment["details"]}.get(name)


def refused(call, code, says, **words):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**words)
    error = caught.value.response["Error"]
    assert error["Code"] == code and error["Message"].startswith(says), error


def test_a_task_runs_is_described_and_logs(tasks, offering):
    definition = define(tasks, "say", "hello from fargate", "sleep", 600)
    told = tasks.ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    assert told["compatibilities"] == ["EC2", "FARGATE"]
    assert told["requiresCompatibilities"] == ["FARGATE"]
    arn = run(tasks, definition, platformVersion="LATEST", enableExecuteCommand=True)
    task = tasks.running(arn)
    assert (task["launchType"], task["platformVersion"], task["platformFamily"]) == ("FARGATE", "1.4.0", "Linux")
    assert task["ephemeralStorage"] == {"sizeInGiB": 20}
    assert (task["cpu"], task["memory"]) == ("256", "512")
    assert "containerInstanceArn" not in task and task["availabilityZone"].endswith("a")
    assert detail(task, "privateIPv4Address") and detail(task, "subnetId")
    tasks.prints(arn, "hello from fargate")
    assert tasks.ecs.list_tasks(launchType="FARGATE")["taskArns"] == [arn]
    assert tasks.ecs.list_tasks(launchType="EC2")["taskArns"] == []
    [cluster] = tasks.ecs.describe_clusters(include=["STATISTICS"])["clusters"]
    counts = {s["name"]: s["value"] for s in cluster["statistics"]}
    assert (counts["runningFargateTasksCount"], counts["runningEC2TasksCount"]) == ("1", "0")
    tasks.stop(arn)


def test_a_task_is_nobody_on_its_node_and_takes_sessions(tasks):
    arn = run(tasks, define(tasks, "on-term", 0, "forever"), enableExecuteCommand=True)
    tasks.running(arn)

    def owners():
        """Whose the task's processes are, as the node numbers its users."""
        found = set()
        for pid in kernel.pids():
            mine = last(arn) in kernel.text(f"/proc/{pid}/mountinfo")
            if mine and kernel.text(f"/proc/{pid}/comm").strip() == "probe":
                status = kernel.text(f"/proc/{pid}/status").splitlines()
                found |= {int(line.split()[1]) for line in status if line.startswith("Uid:")}
        return found

    seen = eventually(owners)
    assert min(seen) >= BASE, seen
    talk = Session(tasks.ecs.execute_command(
        cluster=tasks.cluster, task=arn, command="/probe talk", interactive=True)["session"]).begun()
    talk.sees("talk>")
    talk.type("env AWS_EXECUTION_ENV\n")
    talk.sees("AWS_EXECUTION_ENV=AWS_ECS_FARGATE")
    talk.type("identity\n")
    talk.sees("Uid 0")
    tasks.stop(arn)


METADATA = """
import json, os, urllib.request
with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task", timeout=10) as answer:
    print(json.dumps(json.loads(answer.read())), flush=True)
"""


def test_metadata_tells_the_launch_type_and_the_task_s_cluster(tasks, offering):
    offering.images["python"] = images.provide(offering, "python")
    name = fresh("c")
    tasks.ecs.create_cluster(clusterName=name)
    there = Tasks(offering, offering.images, name)
    arn = run(there, define(there, "-c", METADATA, image="python"))
    assert there.stopped(arn)["containers"][0]["exitCode"] == 0
    told = json.loads(there.prints(arn, "LaunchType")[0])
    assert (told["LaunchType"], told["TaskARN"]) == ("FARGATE", arn)
    assert told["Cluster"].endswith(f":cluster/{name}") and told["Limits"] == {"CPU": 0.25, "Memory": 512}
    tasks.ecs.delete_cluster(cluster=name)


def test_another_cluster_needs_no_node(offering, tasks):
    name = fresh("c")
    tasks.ecs.create_cluster(clusterName=name)
    there = Tasks(offering, offering.images, name)
    arn = run(there, define(there, "say", "from another cluster", "sleep", 600))
    task = there.running(arn)
    assert task["clusterArn"].endswith(f"cluster/{name}") and "containerInstanceArn" not in task
    there.prints(arn, "from another cluster")
    [cluster] = tasks.ecs.describe_clusters(clusters=[name])["clusters"]
    assert (cluster["runningTasksCount"], cluster["registeredContainerInstancesCount"]) == (1, 0)
    refused(tasks.ecs.run_task, "InvalidParameterException", "No Container Instances were found",
            cluster=name, taskDefinition=tasks.define(tasks.container("exit", 0)))
    there.stop(arn)
    tasks.ecs.delete_cluster(cluster=name)


def test_a_service_stands_behind_a_target_group(tasks, offering):
    name, front = fresh("f"), Front(offering, targets="ip")
    front.delay(1)
    container = tasks.container(image="web", portMappings=[{"containerPort": 8080}])
    container.pop("memory")
    definition = tasks.define(
        container, requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
        executionRoleArn=ROLE)
    tasks.create_service(
        definition, 2, name, launchType="FARGATE", platformVersion="1.4.0",
        networkConfiguration=subnets(offering), loadBalancers=[front.behind()])
    service = tasks.stable(name)
    assert (service["launchType"], service["platformVersion"], service["platformFamily"]) == ("FARGATE", "1.4.0", "Linux")
    [deployment] = service["deployments"]
    assert (deployment["launchType"], deployment["platformVersion"]) == ("FARGATE", "1.4.0")
    assert eventually(front.get, within=40)[0] == 200
    refused(tasks.ecs.update_service, "InvalidParameterException", "Placement strategies are not supported",
            service=name, placementStrategy=[{"type": "random"}])
    before = set(tasks.ecs.list_tasks(serviceName=name)["taskArns"])
    tasks.ecs.update_service(service=name, forceNewDeployment=True, platformVersion="LATEST")
    assert tasks.stable(name, within=90)["platformVersion"] == "LATEST"
    assert not before & set(tasks.ecs.list_tasks(serviceName=name)["taskArns"])
    tasks.ecs.delete_service(service=name, force=True)
    eventually(lambda: not tasks.ecs.list_tasks(serviceName=name)["taskArns"], within=60)
    front.remove()


def test_a_strategy_shares_by_base_and_weight(tasks, offering):
    name = fresh("c")
    strategy = [{"capacityProvider": "FARGATE", "base": 1, "weight": 1},
                {"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    tasks.ecs.create_cluster(
        clusterName=name, capacityProviders=["FARGATE", "FARGATE_SPOT"],
        defaultCapacityProviderStrategy=strategy)
    there = Tasks(offering, offering.images, name)
    arns = there.run(
        definition=define(there, "sleep", 600), count=3, networkConfiguration=subnets(offering))
    there.running(*arns)
    given = sorted(there.describe(arn)["capacityProviderName"] for arn in arns)
    assert given == ["FARGATE", "FARGATE", "FARGATE_SPOT"]
    assert {there.describe(arn)["launchType"] for arn in arns} == {"FARGATE"}
    described = tasks.ecs.describe_capacity_providers(capacityProviders=["FARGATE", "FARGATE_SPOT"])
    assert [p["status"] for p in described["capacityProviders"]] == ["ACTIVE", "ACTIVE"]
    assert all("autoScalingGroupProvider" not in p for p in described["capacityProviders"])
    for arn in arns:
        there.stop(arn)
    tasks.ecs.delete_cluster(cluster=name)


def test_what_it_has_not_is_refused(tasks, offering):
    definition = define(tasks, "exit", 0)
    network = subnets(offering)
    plain = tasks.define(tasks.container("exit", 0))
    says = "InvalidParameterException"
    start = {"taskDefinition": definition, "launchType": "FARGATE", "networkConfiguration": network}
    refused(tasks.ecs.run_task, says, "Network Configuration must be provided",
            taskDefinition=definition, launchType="FARGATE")
    refused(tasks.ecs.run_task, says, "Task definition does not support launch_type FARGATE.",
            taskDefinition=plain, launchType="FARGATE")
    refused(tasks.ecs.run_task, "PlatformUnknownException", "The specified platform version doesn't exist.",
            **start, platformVersion="9.9.9")
    refused(tasks.ecs.run_task, says, "Placement constraints are not supported with FARGATE launch type.",
            **start, placementConstraints=[{"type": "distinctInstance"}])
    refused(tasks.ecs.create_service, says, "The daemon scheduling strategy does not support the FARGATE launch type",
            serviceName=fresh("d"), schedulingStrategy="DAEMON", **start)
    refused(tasks.ecs.register_task_definition, "ClientException", "No Fargate configuration exists for given values: 300 CPU",
            family=fresh(), requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="300", memory="512",
            containerDefinitions=[{"name": "a", "image": "a"}])
    huge = define(tasks, "exit", 0, cpu="16384", memory="122880")
    answer = tasks.ecs.run_task(
        taskDefinition=huge, launchType="FARGATE", networkConfiguration=network)
    [failure] = answer["failures"]
    assert failure["reason"] == (
        "Capacity is unavailable at this time. Please try again later or in a different availability zone")
    assert "arn" not in failure and "CPU units left" in failure["detail"], failure


def test_the_cli_runs_one(tasks, offering):
    definition = define(tasks, "exit", 7)
    network = json.dumps(subnets(offering))
    arn = offering.aws(
        "ecs", "run-task", "--task-definition", definition, "--launch-type", "FARGATE",
        "--network-configuration", network, "--query", "tasks[0].taskArn", "--output", "text").strip()
    assert tasks.stopped(arn)["containers"][0]["exitCode"] == 7


def test_a_node_for_it_alone_shows_nowhere(tmp_path):
    with server.running(tmp_path / "data", "--fargate=only") as wharf:
        wharf.images = prepared(wharf)
        tasks = Tasks(wharf, wharf.images)
        assert tasks.ecs.list_container_instances()["containerInstanceArns"] == []
        [cluster] = tasks.ecs.describe_clusters()["clusters"]
        assert cluster["registeredContainerInstancesCount"] == 0
        assert [last(arn) for arn in tasks.ecs.list_clusters()["clusterArns"]] == ["default"]
        refused(tasks.ecs.run_task, "InvalidParameterException", "No Container Instances were found",
                taskDefinition=tasks.define(tasks.container("exit", 0)))
        arn = run(tasks, define(tasks, "say", "hidden", "sleep", 600))
        tasks.running(arn)
        tasks.prints(arn, "hidden")
        tidy(tasks)


def test_a_node_that_does_not_offer_it_says_what_to_do(tmp_path):
    with server.running(tmp_path / "data", "--fargate=off") as wharf:
        wharf.images = prepared(wharf)
        tasks = Tasks(wharf, wharf.images)
        answer = tasks.ecs.run_task(
            taskDefinition=define(tasks, "exit", 0), launchType="FARGATE",
            networkConfiguration=subnets(wharf))
        assert "wharf agent --fargate" in answer["failures"][0]["detail"], answer["failures"]
        tidy(tasks)
