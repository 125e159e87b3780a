"""Placements a second for each strategy, by the index and by a look at every instance: the scheduler's own
example, which takes no server and touches no disk."""

import subprocess

from benchlib.cluster import ROOT
from benchlib.rig import Rig

SIZES = ["1000", "10000", "100000"]


def run(rig: Rig) -> None:
    example = ["--release", "-p", "scheduler", "--example", "placement"]
    subprocess.run(["cargo", "build", "--quiet", *example], cwd=ROOT, check=True)
    sizes = SIZES[:2] if rig.scale < 1 else SIZES
    subprocess.run(["cargo", "run", "--quiet", *example, "--", *sizes], cwd=ROOT, check=True)
