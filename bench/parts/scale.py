"""The control plane at scale with pretended agents: the simulation room's example `scale`, part by part, on the
disk of the temporary folder. Each part is a process of its own that ends as a killed one does."""

import subprocess

from benchlib.cluster import ROOT
from benchlib.rig import Rig

EXAMPLE = ["--release", "-p", "sim", "--example", "scale"]


def run(rig: Rig) -> None:
    folder = rig.folder / "scale"
    folder.mkdir(exist_ok=True)
    subprocess.run(["cargo", "build", "--quiet", *EXAMPLE], cwd=ROOT, check=True)

    def part(*words: object) -> None:
        print(f"\nscale {' '.join(map(str, words))}", flush=True)
        given = [*map(str, words), "--dir", str(folder)]
        subprocess.run(["cargo", "run", "--quiet", *EXAMPLE, "--", *given], cwd=ROOT, check=True)

    tasks = max(1_000, int(1_000_000 * rig.scale))
    part("tasks", "--tasks", tasks)
    part("load")
    part("latency", "--tasks", 0)
    part("services", "--services", 1_000, "--tasks", tasks)
    part("lost", "--services", 100, "--tasks", max(1_000, tasks // 10))
