"""FireLens on Wharf's own agent: a log router in the task, which here is a small program."""

import json
import pathlib
import socket
import tempfile
import threading
import time

import pytest

from lib import images, server
from lib.server import ROOT
from lib.tasks import GROUP, Tasks, fresh, last
from lib.wait import eventually
from test_docker_runtime import there

ROUTER = (ROOT / "e2e/programs/router.py").read_text()
CONFIG = "/fluent-bit/etc/fluent-bit.conf"


@pytest.fixture(scope="module")
def python(wharf):
    uri = wharf.client("ecr").create_repository(repositoryName=fresh("router"))["repository"]["repositoryUri"]
    images.push(wharf, "python", uri.split("/", 1)[1])
    return f"{uri}:1"


def router(python, kind="fluentbit", options=None, **more):
    """The router keeps its configuration and what it gets in the volume."""
    config = CONFIG if kind == "fluentbit" else "/fluentd/etc/fluent.conf"
    program = f"import shutil; shutil.copy({config!r}, '/v/config')\n" + ROUTER
    return {
        "name": "router", "image": python, "memory": 64, "essential": True,
        "stopTimeout": 2,  # As process 1, Python does not hear SIGTERM.
        "command": ["-c", program, "/v/records"],
        "firelensConfiguration": {"type": kind, "options": options or {}},
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}],
    } | more


def routed(tasks, *command, options=None, secrets=None, **more):
    log = {"logDriver": "awsfirelens", "options": options or {"Name": "stdout"}}
    if secrets:
        log["secretOptions"] = secrets
    return tasks.container(*command, **({"logConfiguration": log} | more))


def records(volume):
    path = pathlib.Path(volume) / "records"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(tasks, volume, *containers, **more):
    definition = tasks.define(
        *containers, volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}], **more)
    return tasks.run(definition=definition)


def test_output_reaches_the_router_with_dockers_fields(tasks, volume, python):
    arn = run(tasks, volume, router(python),
              routed(tasks, "say", "one", "complain", "two", "env", "FLUENT_HOST", "env", "FLUENT_PORT"))
    tasks.stopped(arn)
    got = records(volume)
    # Even the last words of a container that ends the task are routed before the router ends.
    assert {r["tag"] for r in got} == {f"app-firelens-{last(arn)}"}
    by_log = {r["log"]: r for r in got}
    assert by_log["one"]["source"] == "stdout" and by_log["two"]["source"] == "stderr"
    assert by_log["one"]["container_id"] == f"{last(arn)}-1"
    assert by_log["one"]["container_name"].startswith("/ecs-")
    assert abs(by_log["one"]["at"][0] - time.time()) < 120
    assert "FLUENT_PORT=24224" in by_log
    assert any(log.startswith("FLUENT_HOST=") and log.count(".") == 3 for log in by_log), by_log


def test_the_configuration_is_generated(tasks, volume, python):
    options = {"Name": "http", "Host": "logs", "exclude-pattern": "^DEBUG", "log-driver-buffer-limit": "100"}
    arn = run(tasks, volume,
              router(python, options={"config-file-type": "file", "config-file-value": "/v/extra.conf"}),
              routed(tasks, "say", "x", options=options))
    tasks.stopped(arn)
    config = (volume / "config").read_text()
    family, _, revision = last(tasks.describe(arn)["taskDefinitionArn"]).partition(":")
    for part in (
        "    Name forward\n    Mem_Buf_Limit 32MB\n    unix_path /var/run/fluent.sock\n",
        f"    Record ecs_task_arn {arn}\n    Record ecs_task_definition {family}:{revision}\n",
        "    Name grep\n    Match app-firelens*\n    Exclude log ^DEBUG\n",
        "@INCLUDE /v/extra.conf\n",
        "    Name http\n    Match app-firelens*\n    Host logs\n",
    ):
        assert part in config, config
    assert "buffer-limit" not in config


def test_fluentd_and_the_nodes_network(tasks, volume, python):
    arn = run(tasks, volume, router(python, "fluentd", {"enable-ecs-log-metadata": "false"}),
              routed(tasks, "say", "hosted", options={"@type": "stdout"}), networkMode="host")
    tasks.stopped(arn)
    config = (volume / "config").read_text()
    assert config == (
        "<source>\n    @type unix\n    path /var/run/fluent.sock\n</source>\n\n"
        "<match app-firelens**>\n    @type stdout\n</match>\n")
    assert [r["log"] for r in records(volume)] == ["hosted"]


def test_what_is_written_before_the_router_listens_waits_for_it(tasks, volume, python):
    slow = router(python)
    slow["command"][1] = (
        "import os, time\nwhile not os.path.exists('/v/listen'): time.sleep(0.05)\n" + slow["command"][1])
    arn = run(tasks, volume, slow, routed(tasks, "lines", 100, "on-term", 0, "forever"))
    tasks.running(arn)
    assert records(volume) == []
    (volume / "listen").write_text("")
    eventually(lambda: [r["log"] for r in records(volume)] == [f"line {n}" for n in range(100)])
    tasks.stop(arn)


def test_a_lost_router_costs_lines_and_not_the_task(tasks, volume, python):
    """A router that is not essential ends; the task goes on, and ends when it is told to."""
    gone = router(python, essential=False)
    gone["command"] = ["-c", "pass"]
    arn = run(tasks, volume, gone, routed(tasks, "lines", 50, "on-term", 0, "forever"))
    tasks.until(arn, lambda task: any(c["lastStatus"] == "STOPPED" for c in task["containers"]))
    assert tasks.describe(arn)["lastStatus"] == "RUNNING"
    tasks.stop(arn)


def test_secret_options_are_the_routers_variables(tasks, volume, python, wharf, name):
    wharf.client("ssm").put_parameter(Name=f"/{name}/token", Value="hush", Type="SecureString")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    allow = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["ssm:GetParameters", "ecr:*"], "Resource": "*"}]}
    iam = wharf.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(allow))
    own = router(python)
    own["command"][1] = "import os; open('/v/told', 'w').write(os.environ['token_1'])\n" + own["command"][1]
    arn = run(tasks, volume, own,
              routed(tasks, "say", "x", "env", "token_1", secrets=[{"name": "token", "valueFrom": f"/{name}/token"}]),
              executionRoleArn=role)
    tasks.stopped(arn)
    assert (volume / "told").read_text() == "hush"
    config = (volume / "config").read_text()
    assert "token ${token_1}" in config and "hush" not in config
    assert "token_1 is not set" in [r["log"] for r in records(volume)]


@pytest.mark.docker
def test_docker_engine_sends_by_its_own_driver():
    """A data folder with a short path, since Docker Engine connects to the router by its path."""
    if not there():
        pytest.skip("Docker Engine is not there")
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp") as folder:
        with server.running(pathlib.Path(folder) / "d", "--runtime", "docker") as dock:
            dock.client("logs").create_log_group(logGroupName=GROUP)
            tasks = Tasks(dock, {"probe": images.provide(dock, "probe")})
            volume = pathlib.Path(folder) / "v"
            volume.mkdir()
            arn = run(tasks, volume, router(images.provide(dock, "python")),
                      routed(tasks, "say", "by docker", "env", "FLUENT_PORT", "sleep", 2))
            over = tasks.stopped(arn)
            assert [c.get("exitCode") for c in over["containers"] if c["name"] == "app"] == [0], over
            eventually(lambda: records(volume), within=10)
            got = {r["log"]: r for r in records(volume)}
            assert got["by docker"]["tag"] == f"app-firelens-{last(arn)}", got
            assert got["by docker"]["source"] == "stdout"
            assert "FLUENT_PORT=24224" in got


def test_the_plain_driver_sends_to_an_address(tasks, tmp_path):
    """`logDriver: fluentd` on the embedded engine."""
    path = tmp_path / "s"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.settimeout(30)
    said = bytearray()

    def take():
        line, _ = listener.accept()
        line.settimeout(30)
        while more := line.recv(4096):
            said.extend(more)

    taking = threading.Thread(target=take)
    taking.start()
    log = {"logDriver": "fluentd", "options": {"fluentd-address": f"unix://{path}", "tag": "mine.{{.Name}}"}}
    tasks.finish(tasks.container("say", "plain words", logConfiguration=log))
    taking.join(timeout=120)
    assert b"plain words" in said and b"mine.ecs-" in said
