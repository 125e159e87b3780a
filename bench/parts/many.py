"""Fifty at once: five RunTask calls of ten sent together, beside fifty concurrent starts by Docker's API."""

import time
from concurrent.futures import ThreadPoolExecutor

from benchlib.api import Api
from benchlib.cluster import Cluster
from benchlib.docker import Docker
from benchlib.machine import now_ns
from benchlib.rig import Rig
from benchlib.stamps import IMAGE
from benchlib.tables import Times

TASKS, A_CALL = 50, 10


def wharf(rig: Rig, cluster: Cluster, definition: str, folder: str, times: Times) -> None:
    stamps = rig.stamps(folder)
    before = len(stamps.all())
    calls = [Api(cluster.variables) for _ in range(TASKS // A_CALL)]
    requests = [call.prepare("RunTask", {"taskDefinition": definition, "count": A_CALL}) for call in calls]
    begun = now_ns()
    for call, request in zip(calls, requests):
        call.send(request)
    tasks = [task for call in calls for task in cluster.tasks(call.receive())]
    returned = now_ns()
    entered = sorted(nanos for nanos, _ in stamps.wait(before + TASKS)[before:])
    cluster.wait_status(tasks, "RUNNING", every=0.005)
    running = now_ns()
    times.add("Wharf: the calls return (committed)", (returned - begun) / 1e9)
    times.add("Wharf: first main()", (entered[0] - begun) / 1e9)
    times.add("Wharf: last main()", (entered[-1] - begun) / 1e9)
    times.add("Wharf: last RUNNING in DescribeTasks", (running - begun) / 1e9)
    cluster.stop(tasks)


def docker(rig: Rig, folder: str, times: Times) -> None:
    stamps = rig.stamps(folder)
    before = len(stamps.all())

    def start(_: int) -> int:
        engine = Docker()
        engine.start(engine.create(IMAGE, stamps.folder))
        return now_ns()

    with ThreadPoolExecutor(TASKS) as pool:
        begun = now_ns()
        returned = max(pool.map(start, range(TASKS)))
    entered = sorted(nanos for nanos, _ in stamps.wait(before + TASKS, 60)[before:])
    times.add("Docker API: first main()", (entered[0] - begun) / 1e9)
    times.add("Docker API: last main()", (entered[-1] - begun) / 1e9)
    times.add("Docker API: last start returns", (returned - begun) / 1e9)
    images, rig.docker.images = rig.docker.images, []
    rig.docker.clean()  # the containers alone
    rig.docker.images = images


def run(rig: Rig) -> None:
    times = Times()
    with rig.cluster() as cluster:
        image = cluster.push_stamp(rig.docker)
        stamps = rig.stamps("many")
        definition = cluster.register("many", image, stamps.folder)
        (first,) = cluster.tasks(cluster.api.call("RunTask", {"taskDefinition": definition}))
        cluster.wait_status([first], "RUNNING")
        stamps.wait(1)  # before main() a first process ignores SIGTERM
        cluster.stop([first])
        for _ in rig.rounds(5, 90):
            time.sleep(1)
            wharf(rig, cluster, definition, "many", times)
            time.sleep(1)
            docker(rig, "many", times)
    times.show(f"{TASKS} tasks in one go, bridge, one published port each", {
        "Wharf: last main()": "Docker API: last main()",
        "Wharf: last RUNNING in DescribeTasks": "Docker API: last start returns",
    })
