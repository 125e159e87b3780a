"""Runs the benchmarks and prints what they measured: `bench/run [--scale F] [PART...]`."""

import argparse
import importlib
import os
import signal
import sys
import time
import traceback

from benchlib import cluster, machine
from benchlib.rig import Rig

PARTS = ["start", "many", "replace", "stop", "memory", "ready", "commits", "pull", "exec", "agents", "docker-runtime", "balancer", "deployments", "scale", "door", "placement"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures Wharf beside Docker, in the same run.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which: {', '.join(PARTS)} [default: all]")
    parser.add_argument("--scale", type=float, default=1.0, help="this share of the rounds, such as 0.2 for a quick look")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    if os.geteuid() != 0:
        parser.error("running containers takes root: sudo bench/run")
    if not cluster.binary().exists():
        parser.error(f"{cluster.binary()} is not there: cargo build --release -p wharf")
    # What was made is also unmade when somebody ends this early.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rig = Rig(options.scale)
    print(f"machine: {machine.line()}")
    print(f"peer:    {rig.docker.describe()}")
    failed = []
    try:
        for part in options.parts or PARTS:
            begun = time.monotonic()
            print(f"\n=== {part} === ({machine.pressure()})", flush=True)
            try:
                importlib.import_module(f"parts.{part.replace('-', '_')}").run(rig)
            except Exception:  # one part's failure does not hide the others' figures
                traceback.print_exc()
                failed.append(part)
            print(f"  [{part}: {time.monotonic() - begun:.0f} s, {machine.pressure()}]", flush=True)
    finally:
        rig.close()
    if failed:
        print(f"bench/run: {', '.join(failed)} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
