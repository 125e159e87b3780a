"""Rolling deployments under load: how many requests are lost, and how long each takes.

A service of two tasks behind an application load balancer is deployed again and again (a hundred times at
full scale) while clients ask without a pause, half of them over connections that they keep and half over a
new one for each request. A request is lost if it is not answered, or not with 200. The program in the tasks
ends at once at SIGTERM, so that nothing is saved by its grace.

Stands alone too: `.venv/bin/python bench/parts/deployments.py [COUNT]`, with `WHARF_BIN` for another binary.
"""

import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "e2e")]

from lib import images, server  # noqa: E402
from lib.balanced import Front, Load, deployed, web  # noqa: E402
from lib.tasks import GROUP, Tasks  # noqa: E402

COUNT = 100
KEPT, NEW = 4, 4


def measure(count):
    """Deploys so often; returns the load with its counts and the seconds that each deployment took."""
    with tempfile.TemporaryDirectory(prefix="wharf-deployments-") as folder:
        with server.running(pathlib.Path(folder) / "data") as wharf:
            wharf.client("logs").create_log_group(logGroupName=GROUP)
            tasks = Tasks(wharf, {"web": images.provide(wharf, "web")})
            front = Front(wharf)
            front.delay(30)
            tasks.create_service(web(tasks, 0, family="web"), 2, "web", loadBalancers=[front.behind()])
            front.healthy(2)
            deployed(tasks, "web")
            seconds = []
            with Load(front, KEPT, NEW) as load:
                load.goes_on()
                for version in range(1, count + 1):
                    definition = web(tasks, version, family="web")
                    begun = time.monotonic()
                    tasks.ecs.update_service(service="web", taskDefinition=definition)
                    deployed(tasks, "web")
                    seconds.append(time.monotonic() - begun)
                load.goes_on()
            versions = load.versions()
            assert versions == {str(v) for v in range(count + 1)}, "each version has answered"
            return load, seconds


def show(load, seconds):
    ordered = sorted(seconds)
    print(f"  deployments               {len(seconds)}")
    print(f"  requests                  {load.count + len(load.lost)} by {KEPT} kept connections and {NEW} clients with new ones")
    print(f"  lost                      {len(load.lost)}")
    for when, what, more in load.lost[:5]:
        print(f"    {what}: {more[:100]!r} at {when:.3f}")
    print(f"  a deployment, median      {ordered[len(ordered) // 2]:.2f} s (least {ordered[0]:.2f}, most {ordered[-1]:.2f})")


def run(rig):
    os.environ.setdefault("WHARF_BIN", os.environ.get("WHARF", str(ROOT / "target/release/wharf")))
    server.BINARY = pathlib.Path(os.environ["WHARF_BIN"])
    show(*measure(max(2, int(COUNT * rig.scale))))


if __name__ == "__main__":
    show(*measure(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT))
