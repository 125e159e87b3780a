"""A program that ends at once, run in a running container: until its status is known.

Wharf's way is the whole of ECS Exec: ExecuteCommand, the data channel's websocket and handshake, the node,
and back. Docker's is the exec of its API, which is what a node's agent would call.
"""

import json
import subprocess
import time

from benchlib.cluster import Cluster, binary, environment
from benchlib.rig import Rig
from benchlib.stamps import IMAGE, PROGRAM
from benchlib.tables import Times

GAP = 0.3
NOTHING = [f"/{PROGRAM}", "nothing"]


def timed(times: Times, name: str, work) -> None:
    time.sleep(GAP)
    begun = time.monotonic()
    work()
    times.add(name, time.monotonic() - begun)


def wharf(cluster: Cluster, task: str) -> None:
    subprocess.run([binary(), "exec", "--data-dir", cluster.data, task, "--", *NOTHING], check=True,
                   env=environment(), stdin=subprocess.DEVNULL, capture_output=True)


def docker_api(rig: Rig, container: str) -> None:
    made = json.loads(rig.docker.call("POST", f"/containers/{container}/exec", {
        "Cmd": NOTHING, "AttachStdout": True, "AttachStderr": True}))["Id"]
    rig.docker.call("POST", f"/exec/{made}/start", {"Detach": False})
    rig.docker.connection.close()
    if json.loads(rig.docker.call("GET", f"/exec/{made}/json"))["ExitCode"] != 0:
        raise RuntimeError("the program did not end with 0")


def docker_command(container: str) -> None:
    subprocess.run(["docker", "exec", container, *NOTHING], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def run(rig: Rig) -> None:
    times = Times()
    with rig.cluster() as cluster:
        stamps = rig.stamps("exec")
        definition = cluster.register("exec", cluster.push_stamp(rig.docker), stamps.folder)
        tasks = cluster.tasks(cluster.api.call("RunTask", {"taskDefinition": definition, "enableExecuteCommand": True}))
        (task,) = cluster.wait_status(tasks, "RUNNING")
        container = rig.docker.create(IMAGE, stamps.folder)
        rig.docker.start(container)
        stamps.wait(2)
        for _ in rig.rounds(25, 60):
            timed(times, "wharf exec", lambda: wharf(cluster, task["taskArn"]))
            timed(times, "docker exec", lambda: docker_command(container))
            timed(times, "Docker API exec", lambda: docker_api(rig, container))
        cluster.stop(tasks)
        rig.docker.remove(container)
    times.show("A program that ends at once, in a running container, 300 ms idle before", {"wharf exec": "docker exec"})
