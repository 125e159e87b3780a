"""Stopping a program that ends at once on SIGTERM: until its process is gone, and until that is seen."""

import threading
import time

from benchlib import machine
from benchlib.cluster import Cluster
from benchlib.machine import Ends, now_ns
from benchlib.rig import Rig
from benchlib.stamps import IMAGE, PROGRAM, Stamps
from benchlib.tables import Times

GAP = 0.3


class Watch(threading.Thread):
    """Sees a process end while this program waits for an answer."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.ends = Ends(pid)
        self.seen = 0
        self.start()

    def run(self) -> None:
        self.seen = self.ends.wait(30)

    def gone(self) -> int:
        self.join()
        return self.seen


def wharf(cluster: Cluster, definition: str, stamps: Stamps, times: Times) -> None:
    others, count = machine.named(PROGRAM), len(stamps.all())
    (task,) = cluster.tasks(cluster.api.call("RunTask", {"taskDefinition": definition}))
    stamps.wait(count + 1)
    cluster.wait_status([task], "RUNNING")
    (pid,) = machine.named(PROGRAM) - others
    time.sleep(GAP)
    watch = Watch(pid)
    request = cluster.api.prepare("StopTask", {"task": task})
    begun = now_ns()
    cluster.api.send(request)
    cluster.api.receive()
    returned = now_ns()
    gone = watch.gone()
    cluster.wait_status([task], "STOPPED")
    seen = now_ns()
    times.add("StopTask: the process is gone", (gone - begun) / 1e9)
    times.add("StopTask: the call returns (committed)", (returned - begun) / 1e9)
    times.add("StopTask: STOPPED in DescribeTasks", (seen - begun) / 1e9)


def docker(rig: Rig, stamps: Stamps, times: Times) -> None:
    count = len(stamps.all())
    container = rig.docker.create(IMAGE, stamps.folder)
    rig.docker.start(container)
    stamps.wait(count + 1)
    pid = rig.docker.process(container)
    time.sleep(GAP)
    watch = Watch(pid)
    begun = now_ns()
    rig.docker.stop(container)
    returned = now_ns()
    times.add("docker stop: the process is gone", (watch.gone() - begun) / 1e9)
    times.add("docker stop: the call returns (stopped)", (returned - begun) / 1e9)
    rig.docker.remove(container)


def run(rig: Rig) -> None:
    times = Times()
    with rig.cluster() as cluster:
        stamps = rig.stamps("stop")
        definition = cluster.register("stop", cluster.push_stamp(rig.docker), stamps.folder)
        for _ in rig.rounds(25, 60):
            wharf(cluster, definition, stamps, times)
            docker(rig, stamps, times)
    times.show("Stop of a program that handles SIGTERM", {
        "StopTask: the process is gone": "docker stop: the process is gone",
        "StopTask: STOPPED in DescribeTasks": "docker stop: the call returns (stopped)",
    })
