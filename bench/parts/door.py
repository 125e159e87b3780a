"""The control plane through its one port: a real `wharf server`, thousands of pretended agents with sockets of their
own, and clients with signed calls (the command line's example `fleet`). The million tasks that reading and recovery
are measured on are made by the simulation's example `scale`, whose file a server opens as its own."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchlib.cluster import ROOT, Cluster, binary, environment
from benchlib.machine import now_ns
from benchlib.rig import Rig
from benchlib.tables import Times

FLEET = ["--release", "-p", "cli", "--example", "fleet"]
SCALE = ["--release", "-p", "sim", "--example", "scale"]


class Server(Cluster):
    """A server without a node, in a data folder of its own or in one that is there."""

    def spawn(self) -> None:
        command = [binary(), "server", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}", "--log", "warn"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)

    def up(self) -> "Server":
        self.spawn()
        self.wait_ready(120)
        self.connect()
        return self

    def kill(self) -> None:
        """Ends the server as a power cut would."""
        self.process.kill()
        self.process.wait()

    def down(self) -> None:
        """Ends it, and removes its folder."""
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def fleet(self, part: str, *words: object) -> None:
        """Runs a part of the load beside the server, and prints what it prints."""
        print(f"\nfleet {part} {' '.join(map(str, words))}", flush=True)
        given = [part, "--data-dir", self.data, "--pid", self.process.pid, *words]
        command = ["cargo", "run", "--quiet", *FLEET, "--", *map(str, given)]
        subprocess.run(command, cwd=ROOT, env=environment(), check=True, timeout=1800)


def fresh(rig: Rig, name: str, runs: list[list[object]]) -> None:
    """Runs parts of the load, one after the other, on a server that begins with nothing."""
    server = Server(rig.folder / f"door-{name}")
    try:
        server.up()
        for words in runs:
            server.fleet(*words)
    finally:
        server.down()


def recover(server: Server, rounds: int) -> None:
    """kill -9, again and again, and how long until it is ready and until it has described a task."""
    times = Times()
    task = server.api.call("ListTasks", {"maxResults": 1})["taskArns"]
    for _ in range(rounds):
        server.kill()
        begun = now_ns()
        server.spawn()
        server.wait_ready(120)
        times.add("exec → /readyz is 200", (now_ns() - begun) / 1e9)
        server.connect()
        described = server.api.call("DescribeTasks", {"tasks": task})["tasks"]
        times.add("exec → a task is described", (now_ns() - begun) / 1e9)
        if len(described) != 1:
            raise RuntimeError(f"{task} was lost by kill -9")
    times.show("Recovery after kill -9", {})


def held(rig: Rig, tasks: int) -> None:
    """Reading, starting and recovering with so many tasks."""
    data: Path = rig.folder / "door-held"
    data.mkdir()
    print(f"\nscale tasks --tasks {tasks}", flush=True)
    subprocess.run(["cargo", "run", "--quiet", *SCALE, "--", "tasks", "--tasks", str(tasks), "--dir", str(data)],
                   cwd=ROOT, check=True)
    server = Server(data)
    try:
        server.up()
        server.fleet("reads", "--rate", 200, "--seconds", 5)
        server.fleet("run", "--agents", 5_000, "--adopt", "--rate", 100, "--seconds", 10)
        recover(server, 5)
    finally:
        server.down()


def run(rig: Rig) -> None:
    for example in (FLEET, SCALE):
        subprocess.run(["cargo", "build", "--quiet", *example], cwd=ROOT, check=True)
    tasks = max(1_000, int(1_000_000 * rig.scale))
    agents = max(50, int(5_000 * min(1.0, rig.scale * 2)))
    rate = max(20, int(1_000 * min(1.0, rig.scale * 2)))
    fleet = ["--agents", agents]
    fresh(rig, "run", [["run", *fleet, "--rate", rate, "--seconds", 10, "--tasks", rate * 100]])
    fresh(rig, "beyond", [["run", *fleet, "--rate", rate * 3, "--seconds", 10, "--tasks", rate * 300]])
    fresh(rig, "flood", [["flood", *fleet, "--tasks", tasks // 10, "--callers", 128]])
    fresh(rig, "services", [["services", *fleet, "--services", 1_000, "--tasks", tasks]])
    fresh(rig, "lost", [["lost", *fleet, "--services", 100, "--tasks", max(1_000, tasks // 10)]])
    held(rig, tasks)


class Alone:
    """What this part needs of a rig, where there is no Docker."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.folder = Path(tempfile.mkdtemp(prefix="wharf-bench-"))


if __name__ == "__main__":
    alone = Alone(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
    try:
        run(alone)
    finally:
        shutil.rmtree(alone.folder, ignore_errors=True)
