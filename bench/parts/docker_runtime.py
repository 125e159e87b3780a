"""What Wharf adds to Docker's own time when Docker Engine is its runtime (`wharf up --runtime docker`).

RunTask to the first instruction of `main()`, beside the bare Engine's create and start, in turn in the
same run; lone tasks after 300 ms of idleness, on a bridge with a published port and in the host's network.
"""

from benchlib.rig import Rig
from benchlib.tables import Times

from .start import GAP, Starter


def run(rig: Rig) -> None:
    peers = {"RunTask: main()": "Docker API: main()"}
    with rig.cluster("--runtime", "docker") as cluster:
        image = cluster.push_stamp(rig.docker)
        try:
            for network, count, seconds in (("bridge", 40, 75), ("host", 25, 30)):
                starter = Starter(rig, cluster, network, image, folder=f"docker-runtime-{network}")
                cluster.stop([starter.wharf("warm", False)])  # pulls the image
                rig.docker.remove(starter.api("warm", False))
                starter.times = Times()
                starter.lone(count, seconds, command=False)
                published = ", one published port" if network == "bridge" else ""
                starter.times.show(
                    f"A lone task with Docker Engine as our runtime, network mode {network}{published}, "
                    f"{GAP * 1000:.0f} ms idle before", peers)
        finally:
            # Wharf's names of the image, which the Engine keeps.
            rig.docker.images += [image, f"127.0.0.1:{cluster.port}/stamp:latest"]
