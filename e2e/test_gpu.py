"""GPUs: offered by the node, dealt out by id, passed as devices. The test's are plain device nodes."""

import os
import stat
import subprocess

import pytest

from lib import images, server
from lib.tasks import Tasks, fresh

LOOK = """
import os, sys
for path in sys.argv[1:]:
    try:
        with open(path, "rb"): said = "opened"
    except OSError as error:
        said = type(error).__name__
    print(path.rsplit("/")[-1], said, flush=True)
print("visible", os.environ.get("NVIDIA_VISIBLE_DEVICES", "none"), flush=True)
print("(end)", flush=True)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A server and node with two GPUs. They are /dev/zero by other names."""
    folder = tmp_path_factory.mktemp("devices")
    paths = []
    for at in range(2):
        path = folder / f"accel{at}"
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        path.chmod(0o666)
        paths.append(str(path))
    flags = [word for at, path in enumerate(paths) for word in ("--gpu", f"GPU-{at}={path}")]
    with server.running(tmp_path_factory.mktemp("gpus") / "data", *flags) as wharf:
        wharf.client("logs").create_log_group(logGroupName="/e2e")
        tasks = Tasks(wharf, {"python": images.provide(wharf, "python"), "probe": images.provide(wharf, "probe")})
        yield tasks, paths


def resources(tasks, which):
    arns = tasks.ecs.list_container_instances(cluster=tasks.cluster)["containerInstanceArns"]
    [instance] = tasks.ecs.describe_container_instances(
        cluster=tasks.cluster, containerInstances=arns)["containerInstances"]
    [gpu] = [r for r in instance[which] if r["name"] == "GPU"]
    assert gpu["type"] == "STRINGSET"
    return sorted(gpu["stringSetValue"])


def wants(count):
    return {"resourceRequirements": [{"type": "GPU", "value": str(count)}]}


def test_a_container_has_its_own_gpu_and_not_the_other(node):
    tasks, paths = node
    assert resources(tasks, "registeredResources") == ["GPU-0", "GPU-1"]
    look = tasks.container("-c", LOOK, *paths, image="python", **wants(1)) | {"memory": 64}
    arn = tasks.run(definition=tasks.define(look))
    tasks.stopped(arn)
    lines = tasks.prints(arn, "(end)")
    [own] = tasks.describe(arn)["containers"][0]["gpuIds"]
    at = int(own[-1])
    assert f"accel{at} opened" in lines and f"accel{1 - at} FileNotFoundError" in lines, lines
    assert f"visible {own}" in lines
    assert resources(tasks, "remainingResources") == ["GPU-0", "GPU-1"]


def test_gpus_run_out_and_come_back(node):
    tasks, _ = node
    definition = tasks.define(tasks.container("on-term", 0, "forever", **wants(1)))
    first, second = tasks.run(definition=definition, count=2)
    tasks.running(first, second)
    held = [tasks.describe(arn)["containers"][0]["gpuIds"] for arn in (first, second)]
    assert sorted(held) == [["GPU-0"], ["GPU-1"]]
    assert resources(tasks, "remainingResources") == []
    answer = tasks.ecs.run_task(cluster=tasks.cluster, taskDefinition=definition)
    assert not answer["tasks"] and answer["failures"][0]["reason"] == "RESOURCE:GPU", answer
    tasks.stop(second)
    assert resources(tasks, "remainingResources") == held[1]
    more = {"overrides": {"containerOverrides": [{"name": "app", **wants(2)}]}}
    answer = tasks.ecs.run_task(cluster=tasks.cluster, taskDefinition=definition, **more)
    assert answer["failures"][0]["reason"] == "RESOURCE:GPU", answer
    third = tasks.run(definition=definition)
    assert tasks.running(third)["containers"][0]["gpuIds"] == held[1]
    tasks.stop(first)
    tasks.stop(third)


def test_the_metadata_names_the_gpus(node):
    tasks, _ = node
    ask = ("import os, urllib.request as r; "
           "print(r.urlopen(os.environ['ECS_CONTAINER_METADATA_URI_V4'] + '/associations/gpu').read().decode()); "
           "print('(end)')")
    arn = tasks.run(definition=tasks.define(
        tasks.container("-c", ask, image="python", **wants(2)) | {"memory": 64}))
    tasks.stopped(arn)
    assert '{"Associations":["GPU-0","GPU-1"]}' in tasks.prints(arn, "(end)")


def test_other_accelerators_are_refused_by_name(node):
    tasks, _ = node
    for kind in ("InferenceAccelerator", "NeuronDevice"):
        with pytest.raises(tasks.ecs.exceptions.ClientException, match=kind):
            tasks.define(tasks.container("say", "x", resourceRequirements=[{"type": kind, "value": "1"}]))


def test_a_gpu_that_is_not_there_stops_the_node(tmp_path):
    def wharf(*words):
        return subprocess.run(
            [server.BINARY, *words], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
            env=server.environment())

    data = ("--data-dir", tmp_path / "data")
    listen = ("--listen", f"127.0.0.1:{server.free_port()}")
    done = wharf("up", *data, *listen, "--gpu", f"{fresh('g')}=/dev/null/none")
    # Its network stood already, and stays for the next start.
    assert wharf("down", *data).returncode == 0
    assert done.returncode != 0
    assert "is not a device of this node" in done.stderr, done.stderr
