"""A task's process is killed by hand: how long until its replacement's `main()`.

Each of twenty services of one task loses its task once, so that no back-off is measured; likewise each of
twenty containers that Docker restarts, which have run for ten seconds before (Docker's own back-off).
"""

import os
import signal
import time
from pathlib import Path

from benchlib import machine
from benchlib.cluster import Cluster
from benchlib.machine import now_ns
from benchlib.rig import Rig
from benchlib.stamps import IMAGE, PROGRAM, Stamps
from benchlib.tables import Times

COUNT = 20
GAP = 0.3


def mark(pid: int) -> str:
    """Which service's task, or which container, a process is."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return next(text.removeprefix("MARK=") for text in variables if text.startswith("MARK="))


def kill_each(rig: Rig, stamps: Stamps, times: Times, name: str, then=None, seconds: float = 60) -> None:
    """Kills every program of the folder once and waits for the one that follows it."""
    ours = {name for _, name in stamps.all()}
    victims = {found: pid for pid in machine.named(PROGRAM) if (found := mark(pid)) in ours}
    for number in rig.rounds(len(victims), 60):
        who, pid = sorted(victims.items())[number]
        time.sleep(GAP)
        count = len(stamps.all())
        begun = now_ns()
        os.kill(pid, signal.SIGKILL)
        entered, _ = stamps.wait(count + 1, seconds)[-1]
        times.add(f"{name}: main() of the next", (entered - begun) / 1e9)
        if then:
            then(who)
            times.add(f"{name}: RUNNING in DescribeTasks", (now_ns() - begun) / 1e9)


def wharf(rig: Rig, times: Times) -> None:
    stamps = rig.stamps("replace-wharf")
    with rig.cluster() as cluster:
        image = cluster.push_stamp(rig.docker)
        for number in range(COUNT):
            name = f"w{number:02}"
            definition = cluster.register(name, image, stamps.folder, mark=name)
            cluster.api.call("CreateService", {"serviceName": name, "taskDefinition": definition, "desiredCount": 1})
        stamps.wait(COUNT)
        time.sleep(8)  # the deployments complete
        kill_each(rig, stamps, times, "Wharf, service of 1", lambda who: wait_running(cluster, who))


def wait_running(cluster: Cluster, service: str) -> None:
    """Waits until the service's one task is RUNNING as DescribeTasks says."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if tasks := cluster.api.call("ListTasks", {"serviceName": service})["taskArns"]:
            found = cluster.api.call("DescribeTasks", {"tasks": tasks})["tasks"]
            if [task["lastStatus"] for task in found if task["desiredStatus"] == "RUNNING"] == ["RUNNING"]:
                return
        time.sleep(0.001)
    raise TimeoutError(f"service {service} has no running task")


def docker(rig: Rig, times: Times) -> None:
    stamps = rig.stamps("replace-docker")
    made = []
    for number in range(COUNT):
        container = rig.docker.create(IMAGE, stamps.folder, restart="always", mark=f"d{number:02}")
        rig.docker.start(container)
        made.append(container)
    stamps.wait(COUNT)
    time.sleep(10)
    kill_each(rig, stamps, times, "docker run --restart=always")
    for container in made:
        rig.docker.remove(container)


def run(rig: Rig) -> None:
    times = Times()
    wharf(rig, times)
    docker(rig, times)
    times.show("kill -9 of a task's process", {"Wharf, service of 1: main() of the next": "docker run --restart=always: main() of the next"})
