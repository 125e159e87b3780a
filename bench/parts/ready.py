"""From the start of the binary until /readyz answers 200, and until this machine takes tasks."""

import shutil

from benchlib.cluster import Cluster
from benchlib.machine import now_ns
from benchlib.rig import Rig
from benchlib.tables import Times


def once(cluster: Cluster, name: str, times: Times) -> None:
    begun = now_ns()
    cluster.spawn()
    cluster.wait_ready()
    times.add(f"{name}: /readyz is 200", (now_ns() - begun) / 1e9)
    cluster.terminate()


def run(rig: Rig) -> None:
    times = Times()
    for number in rig.rounds(20, 100):
        cluster = Cluster(rig.folder / f"ready-{number}")
        try:
            once(cluster, "empty data folder", times)
            once(cluster, "data folder of a former start", times)
        finally:
            cluster.down()
            shutil.rmtree(cluster.data, ignore_errors=True)
    times.show("Start of the binary, `wharf up`", {})
