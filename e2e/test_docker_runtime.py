"""`wharf up --runtime docker`: the same tasks, run by Docker Engine."""

import json
import os
import signal
import socket
import subprocess
import urllib.request

import pytest

from conftest import prepared
from lib import kernel, server
from lib.tasks import Tasks, last, one, port_of
from lib.wait import eventually

SOCKET = "/var/run/docker.sock"


def there():
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(SOCKET)
        return True
    except OSError:
        return False


pytestmark = [pytest.mark.docker, pytest.mark.skipif(
    not there(), reason=f"no Docker Engine answers at {SOCKET}: install and start it to run these")]


def docker(*words):
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"docker {words}: {done.stderr}"
    return done.stdout.split()


def containers(wharf, *more):
    """The Engine's containers of one data folder, running or not."""
    return docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label=wharf.node={wharf.tag}", *more)


def inspect(container):
    done = subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[0]


def process(wharf, task):
    """The first process of a task's one container."""
    [container] = containers(wharf, "--filter", f"label=wharf.sandbox={last(task)}")
    return inspect(container)["State"]["Pid"]


@pytest.fixture(scope="module")
def dock(tmp_path_factory):
    """A server whose tasks are Docker's; what it pulled is removed from the Engine afterwards."""
    with server.running(tmp_path_factory.mktemp("docker") / "data", "--runtime", "docker") as wharf:
        wharf.images = prepared(wharf)
        yield wharf
        port = wharf.port
    assert containers(wharf) == [], "wharf down left containers on the Engine"
    assert not kernel.cgroups(f"wharf-{wharf.tag}")
    names = docker("images", "--format", "{{.Repository}}:{{.Tag}}")
    ours = [name for name in names if name.startswith(f"127.0.0.1:{port}/")]
    for name in ours:
        docker("rmi", "--force", docker("inspect", "--format", "{{.Id}}", name)[0])


@pytest.fixture
def docked(dock):
    helper = Tasks(dock, dock.images)
    yield helper
    for arn in helper.ecs.list_services(cluster="default")["serviceArns"]:
        helper.ecs.delete_service(cluster="default", service=arn, force=True)
    for arn in helper.ecs.list_tasks(cluster="default")["taskArns"]:
        helper.ecs.stop_task(cluster="default", task=arn, reason="the test is over")


def answers(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        return answer.status == 200


def test_the_instance_tells_the_engines_version(docked):
    arns = docked.ecs.list_container_instances(cluster="default")["containerInstanceArns"]
    [instance] = docked.ecs.describe_container_instances(
        cluster="default", containerInstances=arns)["containerInstances"]
    [version] = docker("version", "--format", "{{.Server.Version}}")
    assert instance["versionInfo"]["dockerVersion"] == f"DockerVersion: {version}"


def test_a_task_on_the_bridge_gets_ports_and_prints(docked):
    arn = docked.run(definition=docked.define(docked.container(
        image="hello", portMappings=[{"containerPort": 8080}]), networkMode="bridge"))
    task = docked.running(arn)
    eventually(lambda: answers(port_of(task)))
    stopped = docked.stop(arn)
    assert stopped["stopCode"] == "UserInitiated"
    assert stopped["containers"][0]["exitCode"] is not None


def test_output_arrives_whole_and_in_order(docked):
    arn = docked.run("lines", 2000, "complain", "oops", "say", "(end)")
    assert one(docked.stopped(arn))["exitCode"] == 0
    printed = docked.prints(arn, "(end)")
    assert [line for line in printed if line != "oops"] == [f"line {n}" for n in range(2000)] + ["(end)"]
    assert printed.count("oops") == 1


def test_a_task_in_the_nodes_network(docked):
    arn = docked.run(definition=docked.define(docked.container("identity", "on-term", 0, "forever"), networkMode="host"))
    docked.running(arn)
    docked.prints(arn, f"hostname {socket.gethostname()}")
    assert os.readlink(f"/proc/{process(docked.wharf, arn)}/ns/net") == os.readlink("/proc/self/ns/net")


def test_exit_codes_and_memory(docked):
    assert one(docked.stopped(docked.run("exit", 7)))["exitCode"] == 7
    greedy = one(docked.stopped(docked.run("alloc", 200)))
    assert greedy["exitCode"] == 137 and "OutOfMemory" in greedy["reason"]
    absent = docked.finish(docked.container(entryPoint=["/nope"]))
    assert absent["stopCode"] == "TaskFailedToStart"
    assert "/nope" in one(absent)["reason"]


def test_health_checks_run_in_the_container(docked):
    check = {"command": ["CMD", "/probe", "exit", "0"], "interval": 5, "timeout": 2, "retries": 1}
    arn = docked.run(definition=docked.define(docked.container("on-term", 0, "forever", healthCheck=check)))
    docked.until(arn, lambda t: t["healthStatus"] == "HEALTHY")


def test_a_task_level_limit_is_the_parent_of_its_containers(docked):
    definition = docked.define(docked.container("on-term", 0, "forever"), memory="64", cpu="128")
    arn = docked.run(definition=definition)
    docked.running(arn)
    [container] = containers(docked.wharf, "--filter", f"label=wharf.sandbox={last(arn)}")
    parent = inspect(container)["HostConfig"]["CgroupParent"]
    assert parent == f"/wharf-{docked.wharf.tag}/{last(arn)}"
    docked.stop(arn)


def test_a_killed_container_of_a_service_is_replaced(docked):
    service = docked.create_service(docked.define(docked.container("on-term", 0, "forever")), 1)
    docked.stable(service)
    [task] = docked.of_service(service)
    os.kill(process(docked.wharf, task["taskArn"]), signal.SIGKILL)

    def replaced():
        found = [t for t in docked.of_service(service) if t["lastStatus"] == "RUNNING"]
        return found and found[0]["taskArn"] != task["taskArn"]
    eventually(replaced, within=40)
    assert one(docked.stopped(task["taskArn"]))["exitCode"] == 137
    docked.remove(service)


def test_tasks_go_on_while_the_server_is_away(dock, docked):
    runs = docked.run("say", "before", "on-term", 3, "forever")
    # What ends meanwhile, and what is said meanwhile, is not lost.
    ends = docked.run("say", "one", "sleep", 3, "say", "two", "exit", 5)
    docked.running(runs, ends)
    docked.prints(ends, "one")
    pid = process(dock, runs)
    dock.kill()
    eventually(lambda: not containers(dock, "--filter", f"label=wharf.sandbox={last(ends)}", "--filter", "status=running"))
    dock.start()
    assert one(docked.stopped(ends))["exitCode"] == 5
    assert docked.prints(ends, "two") == ["one", "two"]
    assert docked.status_of(runs) == "RUNNING" and process(dock, runs) == pid
    assert one(docked.stop(runs))["exitCode"] == 3


def test_down_leaves_nothing_and_another_runtime_does_not_lose_tasks(dock, docked):
    arn = docked.run("on-term", 0, "forever")
    docked.running(arn)
    assert containers(dock), "there was nothing to leave behind"
    dock.terminate()
    refused = dock.run("up", "--data-dir", dock.data, "--listen", f"127.0.0.1:{dock.port}", check=False)
    assert refused.returncode != 0 and "wharf down" in refused.stderr + refused.stdout
    dock.down()
    assert containers(dock) == [] and dock.leftovers() == []
    dock.start()
    assert docked.stopped(arn)["lastStatus"] == "STOPPED"


def test_an_engine_that_is_not_there_is_named(tmp_path):
    wharf = server.Wharf(tmp_path / "data", "--runtime", "docker", "--docker-host", f"unix://{tmp_path}/none.sock")
    with pytest.raises(RuntimeError) as failure:
        wharf.start(within=10)
    assert f"Docker Engine at {tmp_path}/none.sock is not there" in str(failure.value)
    assert "--runtime embedded" in str(failure.value)
