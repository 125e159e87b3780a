"""The binary as its operator meets it: health, metrics, `wharf env` and `ps`, and refusals to start."""

import os
import re
import subprocess

from lib import server
from lib.server import BINARY, environment


def test_it_says_that_it_is_well(wharf):
    assert wharf.get("/healthz")[0] == 200
    assert wharf.get("/readyz")[0] == 200
    assert wharf.get("/nothing-here")[0] in (400, 403, 404)


def test_metrics_are_in_prometheus_text(wharf, tasks):
    tasks.stopped(tasks.run("exit", 0))
    status, text = wharf.get("/metrics")
    assert status == 200
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(samples) >= 5
    for line in samples:
        assert re.fullmatch(r"(wharf|aws|ecs)_[a-z0-9_]+(\{.*\})? -?[0-9.e+-]+", line), line


def test_env_points_tools_at_it(wharf):
    assert wharf.env["AWS_ENDPOINT_URL"] == wharf.endpoint
    assert set(wharf.env) == {
        "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"}


def test_the_root_key_is_for_its_owner_alone(wharf):
    for folder, _, files in os.walk(wharf.data):
        for file in files:
            path = os.path.join(folder, file)
            secret = wharf.env["AWS_SECRET_ACCESS_KEY"].encode()
            if os.path.getsize(path) < 4096 and secret in open(path, "rb").read():
                assert os.stat(path).st_mode & 0o077 == 0, path
    assert os.stat(wharf.data).st_mode & 0o077 == 0


def test_this_machine_is_an_instance_of_the_default_cluster(ecs):
    assert [c["status"] for c in ecs.describe_clusters()["clusters"]] == ["ACTIVE"]
    arns = ecs.list_container_instances()["containerInstanceArns"]
    assert len(arns) == 1
    [instance] = ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
    assert instance["status"] == "ACTIVE" and instance["agentConnected"]
    registered = {r["name"]: r.get("integerValue") for r in instance["registeredResources"]}
    assert registered["CPU"] == 1024 * os.cpu_count()
    assert registered["MEMORY"] > 256
    names = {attribute["name"] for attribute in instance["attributes"]}
    assert {"ecs.os-type", "ecs.cpu-architecture"} <= names


def test_ps_shows_tasks_and_services(wharf, tasks, name):
    running = tasks.run("on-term", 0, "forever")
    tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 1, name)
    tasks.running(running)
    tasks.stable(name)
    shown = wharf.run("ps").stdout
    assert running.rpartition("/")[2] in shown and name in shown and "RUNNING" in shown
    tasks.stop(running, "enough of it")
    assert running.rpartition("/")[2] not in wharf.run("ps").stdout
    assert "enough of it" in wharf.run("ps", "--all").stdout


def test_a_second_server_on_the_same_data_is_refused(wharf):
    done = wharf.run("up", "--data-dir", wharf.data, "--listen", f"127.0.0.1:{server.free_port()}", check=False)
    assert done.returncode != 0
    assert "in use" in done.stderr and "--data-dir" in done.stderr


def test_a_port_that_is_taken_is_told_before_anything_starts(wharf, tmp_path):
    data = tmp_path / "other"
    done = wharf.run("up", "--data-dir", data, "--listen", f"127.0.0.1:{wharf.port}", check=False)
    assert done.returncode != 0
    assert "taken" in done.stderr and "--listen" in done.stderr


def test_listening_for_the_world_without_tls_wants_a_word(tmp_path):
    done = subprocess.run(
        [BINARY, "up", "--data-dir", tmp_path / "data", "--listen", "0.0.0.0:0"],
        capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode != 0 and "--allow-plain-http" in done.stderr


def test_without_root_it_says_what_to_do(tmp_path):
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [BINARY, "up", "--data-dir", tmp_path / "data"],
        capture_output=True, text=True, env=environment(), timeout=120, user=65534, group=65534)
    assert done.returncode != 0 and "root" in done.stderr


def test_account_and_region_can_be_chosen(tmp_path):
    flags = ("--region", "eu-central-1", "--account", "123456789012")
    with server.running(tmp_path / "data", *flags) as wharf:
        assert wharf.env["AWS_REGION"] == "eu-central-1"
        assert wharf.client("sts").get_caller_identity()["Account"] == "123456789012"
        [cluster] = wharf.client("ecs").describe_clusters()["clusters"]
        assert cluster["clusterArn"] == "arn:aws:ecs:eu-central-1:123456789012:cluster/default"


def test_the_root_key_can_be_given(tmp_path):
    flags = ("--root-access-key-id", "AKIAGIVEN00000000001", "--root-secret-access-key", "a/Given+Secret/of/forty/characters/length")
    with server.running(tmp_path / "data", *flags) as wharf:
        key = {"AWS_ACCESS_KEY_ID": flags[1], "AWS_SECRET_ACCESS_KEY": flags[3]}
        wharf._env = key | {"AWS_ENDPOINT_URL": wharf.endpoint, "AWS_REGION": "us-east-1"}
        assert wharf.client("sts").get_caller_identity()["Account"] == "000000000000"


def test_version_and_help():
    assert re.match(r"wharf \d+\.\d+\.\d+", subprocess.run([BINARY, "--version"], capture_output=True, text=True).stdout)
    text = subprocess.run([BINARY, "--help"], capture_output=True, text=True).stdout
    for command in ("up", "server", "agent", "env", "ps", "logs", "down"):
        assert f"\n  {command} " in text, command
