"""Durable commits by the one writer, with 1, 64 and 512 waiting: the store's own example, on the disk of
the temporary folder."""

import subprocess

from benchlib.cluster import ROOT
from benchlib.rig import Rig


def run(rig: Rig) -> None:
    folder = rig.folder / "commits"
    folder.mkdir(exist_ok=True)
    example = ["--release", "-p", "store", "--example", "commits"]
    subprocess.run(["cargo", "build", "--quiet", *example], cwd=ROOT, check=True)
    print("\nDurable commits", flush=True)
    subprocess.run(["cargo", "run", "--quiet", *example, "--", folder], cwd=ROOT, check=True)
