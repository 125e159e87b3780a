"""From the call to the first instruction of the container's `main()`, on a cached image.

One lone task at a time after 300 ms of idleness, then back to back, with a published port and in the
host's network; beside it, in turn, Docker's API (create and start) and `docker run -d`.
"""

import time

import boto3

from benchlib.cluster import Cluster
from benchlib.machine import now_ns
from benchlib.rig import Rig
from benchlib.stamps import IMAGE, Stamps
from benchlib.tables import Times

GAP = 0.3


class Starter:
    """Starts one program by each way and times it, by one network mode."""

    def __init__(self, rig: Rig, cluster: Cluster, network: str, image: str, folder: str | None = None) -> None:
        self.rig, self.cluster, self.network = rig, cluster, network
        self.times = Times()
        self.stamps: Stamps = rig.stamps(folder or f"start-{network}")
        self.count = 0
        self.definition = cluster.register(f"start-{network}", image, self.stamps.folder, network=network)

    def main_at(self) -> int:
        self.count += 1
        return self.stamps.wait(self.count)[-1][0]

    def wharf(self, name: str, parts: bool) -> str:
        """RunTask; answers the task."""
        request = self.cluster.api.prepare("RunTask", {"taskDefinition": self.definition})
        begun = now_ns()
        self.cluster.api.send(request)
        answer = self.cluster.api.receive()
        returned = now_ns()
        (task,) = self.cluster.tasks(answer)
        entered = self.main_at()
        self.cluster.wait_status([task], "RUNNING")
        running = now_ns()
        self.times.add(f"{name}: main()", (entered - begun) / 1e9)
        if parts:
            self.times.add(f"{name}: the call returns (committed)", (returned - begun) / 1e9)
            self.times.add(f"{name}: RUNNING in DescribeTasks", (running - begun) / 1e9)
        return task

    def api(self, name: str, parts: bool) -> str:
        """Create and start by Docker's API; answers the container."""
        begun = now_ns()
        container = self.rig.docker.create(IMAGE, self.stamps.folder, network=self.network)
        created = now_ns()
        self.rig.docker.start(container)
        returned = now_ns()
        self.times.add(f"{name}: main()", (self.main_at() - begun) / 1e9)
        if parts:
            self.times.add(f"{name}: create returns", (created - begun) / 1e9)
            self.times.add(f"{name}: start returns", (returned - begun) / 1e9)
        return container

    def command(self, name: str) -> str:
        """`docker run -d`; answers the container."""
        begun = now_ns()
        container = self.rig.docker.run(IMAGE, self.stamps.folder, self.network)
        self.times.add(f"{name}: main()", (self.main_at() - begun) / 1e9)
        return container

    def lone(self, count: int, seconds: float, command: bool = True) -> None:
        for _ in self.rig.rounds(count, seconds):
            time.sleep(GAP)
            self.cluster.stop([self.wharf("RunTask", True)])
            time.sleep(GAP)
            self.rig.docker.remove(self.api("Docker API", True))
            if command:
                time.sleep(GAP)
                self.rig.docker.remove(self.command("docker run -d"))

    def back_to_back(self, count: int) -> None:
        tasks = [self.wharf("RunTask", False) for _ in range(count)]
        self.cluster.stop(tasks)
        for container in [self.api("Docker API", False) for _ in range(count)]:
            self.rig.docker.remove(container)


def overhead(rig: Rig, cluster: Cluster) -> None:
    """What boto3 adds to a call: the same call by it and written out beforehand."""
    names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
             "endpoint_url": "AWS_ENDPOINT_URL", "region_name": "AWS_REGION"}
    client = boto3.client("ecs", **{name: cluster.variables[variable] for name, variable in names.items()})
    client.describe_clusters()
    times = Times()
    for _ in range(100):
        prepared = cluster.api.prepare("DescribeClusters", {})
        begun = now_ns()
        cluster.api.send(prepared)
        cluster.api.receive()
        times.add("DescribeClusters, request written beforehand", (now_ns() - begun) / 1e9)
        begun = now_ns()
        client.describe_clusters()
        times.add("DescribeClusters by boto3", (now_ns() - begun) / 1e9)
    times.show("A call's own cost (the tables above use requests written beforehand)", {})


def run(rig: Rig) -> None:
    peers = {"RunTask: main()": "Docker API: main()", "docker run -d: main()": "Docker API: main()"}
    with rig.cluster() as cluster:
        image = cluster.push_stamp(rig.docker)
        for network, count, seconds in (("bridge", 50, 75), ("host", 25, 30)):
            starter = Starter(rig, cluster, network, image)
            cluster.stop([starter.wharf("warm", False)])  # pulls the image
            rig.docker.remove(starter.api("warm", False))
            starter.times = Times()
            starter.lone(count, seconds)
            published = ", one published port" if network == "bridge" else ""
            starter.times.show(f"A lone task on a cached image, network mode {network}{published}, {GAP * 1000:.0f} ms idle before", peers)
            starter.times = Times()
            starter.back_to_back(20)
            starter.times.show(f"20 one after another without a pause, network mode {network}", peers)
        overhead(rig, cluster)
