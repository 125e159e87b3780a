"""What a task definition asks of the node: networks, links, volumes, secrets, environment files."""

import json
import urllib.request

import pytest

from lib.tasks import fresh, one
from lib.wait import eventually

INIT = {"linuxParameters": {"initProcessEnabled": True}}


def hello(tasks, name, port=0, **more):
    mapping = {"containerPort": 8080, "hostPort": port, "protocol": "tcp"}
    return tasks.container(image="hello", name=name, portMappings=[mapping], **INIT, **more)


def fetched(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        return answer.read().decode()


@pytest.fixture
def role(wharf):
    """A role for executions that may read every secret, and nothing of it is left."""
    iam, name = wharf.client("iam"), fresh("exec")
    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Resource": "*",
        "Action": ["ssm:GetParameters", "secretsmanager:GetSecretValue", "s3:GetObject", "logs:*", "ecr:*"]}]}
    iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=json.dumps(policy))
    yield made
    iam.delete_role_policy(RoleName=name, PolicyName="read")
    iam.delete_role(RoleName=name)


def test_each_container_of_a_bridge_task_has_ports_of_its_own(tasks):
    arn = tasks.run(definition=tasks.define(hello(tasks, "one"), hello(tasks, "two"), networkMode="bridge"))
    task = tasks.running(arn)
    ports = [one(task, name)["networkBindings"][0]["hostPort"] for name in ("one", "two")]
    assert len(set(ports)) == 2
    for port in ports:
        assert eventually(lambda port=port: fetched(port)).startswith("Hello from ")
    tasks.stop(arn)
    for port in ports:
        with pytest.raises(OSError):
            fetched(port)


def test_a_linked_container_is_known_by_its_alias(tasks):
    arn = tasks.run(definition=tasks.define(
        tasks.container("env", "DATA_PORT_8080_TCP_PORT", "env", "DATA_NAME", "read", "/etc/hosts",
                        "sleep", 1, "fetch", "data:8080", "fetch", "db:8080", links=["db:data"]),
        hello(tasks, "db", essential=False), networkMode="bridge"))
    tasks.stopped(arn)
    lines = tasks.prints(arn, "fetched")
    text = "\n".join(tasks.printed(arn))
    assert "DATA_PORT_8080_TCP_PORT=8080" in text and "DATA_NAME=/app/data" in text, lines
    assert text.count("fetched Hello from ") == 2, text


def test_a_range_of_ports_is_published_in_a_row(tasks):
    mapping = {"containerPortRange": "8080-8084", "protocol": "tcp"}
    arn = tasks.run(definition=tasks.define(
        tasks.container(image="hello", portMappings=[mapping], **INIT), networkMode="bridge"))
    [binding] = one(tasks.running(arn))["networkBindings"]
    assert binding["containerPortRange"] == "8080-8084"
    first, final = map(int, binding["hostPortRange"].split("-"))
    assert final - first == 4
    assert eventually(lambda: fetched(first)).startswith("Hello from ")
    tasks.stop(arn)


def test_a_container_may_have_no_network(tasks):
    task = tasks.run(definition=tasks.define(
        tasks.container("read", "/proc/net/dev", disableNetworking=True), networkMode="bridge"))
    tasks.stopped(task)
    assert "eth0" not in "\n".join(tasks.prints(task, "lo:"))


def test_secrets_and_files_become_variables(wharf, tasks, role):
    name = fresh("member")
    secret = wharf.client("secretsmanager").create_secret(
        Name=name, SecretString=json.dumps({"user": "lovelace", "port": 5432}))["ARN"]
    wharf.client("ssm").put_parameter(Name=f"/{name}/key", Value="parameter value", Type="SecureString")
    s3 = wharf.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="app.env", Body=b"# of the file\nMODE=fast\nSIDE=file\n")
    arn = tasks.run(definition=tasks.define(
        tasks.container(
            "env", "KEY", "env", "USER_NAME", "env", "PORT", "env", "MODE", "env", "SIDE",
            environment=[{"name": "SIDE", "value": "defined"}],
            environmentFiles=[{"value": f"arn:aws:s3:::{name}/app.env", "type": "s3"}],
            secrets=[{"name": "KEY", "valueFrom": f"/{name}/key"},
                     {"name": "USER_NAME", "valueFrom": f"{secret}:user::"},
                     {"name": "PORT", "valueFrom": f"{secret}:port::"}]),
        executionRoleArn=role))
    task = tasks.stopped(arn)
    assert one(task).get("exitCode") == 0, task
    lines = tasks.prints(arn, "SIDE=")
    assert lines == ["KEY=parameter value", "USER_NAME=lovelace", "PORT=5432", "MODE=fast", "SIDE=defined"]
    kept = "".join(p.read_text(errors="replace") for p in (wharf.data / "agent").rglob("*.json"))
    assert f"/{name}/key" in kept and "parameter value" not in kept and "lovelace" not in kept


def test_a_secret_that_is_not_there_stops_the_task_with_ecs_words(tasks, role):
    task = tasks.finish(
        tasks.container("exit", 0, secrets=[{"name": "S", "valueFrom": "/not/there"}]), executionRoleArn=role)
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith(
        "ResourceInitializationError: unable to pull secrets or registry auth: "), task["stoppedReason"]
    assert "invalid parameters: /not/there" in task["stoppedReason"]


def test_docker_volumes_live_as_their_scope_says(tasks):
    shared = fresh("shared")
    volumes = [
        {"name": "own", "dockerVolumeConfiguration": {"scope": "task", "driver": "local"}},
        {"name": shared, "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True, "driver": "local"}}]
    points = {"mountPoints": [{"sourceVolume": "own", "containerPath": "/own"},
                              {"sourceVolume": shared, "containerPath": "/shared"}]}
    definition = tasks.define(
        tasks.container("await", "/own/a", "read", "/own/a", "read", "/shared/a", **points),
        tasks.container("write", "/shared/a", "of all", "write", "/own/a", "of this task", name="side",
                        essential=False, **points), volumes=volumes)
    arn = tasks.run(definition=definition)
    tasks.stopped(arn)
    assert tasks.prints(arn, "of all")[-2:] == ["of this task", "of all"]
    again = tasks.run(definition=tasks.define(
        tasks.container("read", "/shared/a", "exists", "/own/a", **points), volumes=volumes))
    assert one(tasks.stopped(again))["exitCode"] == 1, "the task's own volume is new"
    assert tasks.prints(again, "of all") == ["of all"]


def test_a_file_system_that_no_node_knows_is_refused_by_name(tasks, ecs):
    definition = tasks.define(
        tasks.container("exit", 0, mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}]),
        volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-12345678"}}])
    [failure] = ecs.run_task(taskDefinition=definition)["failures"]
    assert failure["reason"] == "ATTRIBUTE" and "ecs.capability.efs" in failure["detail"]


def test_containers_may_see_each_others_processes(tasks):
    arn = tasks.run(definition=tasks.define(
        tasks.container("sleep", 0.5, "exists", "/proc/2"),
        tasks.container("on-term", 0, "forever", name="side", essential=False), pidMode="task"))
    assert one(tasks.stopped(arn))["exitCode"] == 0


def test_containers_stop_in_the_reverse_of_their_order(tasks):
    arn = tasks.run(definition=tasks.define(
        tasks.container("on-term", 0, "forever", name="db"),
        tasks.container("on-term", 0, "forever", name="app", links=["db"]),
        tasks.container("on-term", 0, "forever", name="web",
                        dependsOn=[{"containerName": "app", "condition": "START"}]), networkMode="bridge"))
    tasks.running(arn)
    task = tasks.stop(arn)
    assert {one(task, name)["exitCode"] for name in ("db", "app", "web")} == {0}
