"""Memory and CPU of a node's agent alone (`wharf agent`, its server apart) with 0, 20 and 200 tasks.

The figures of AWS's own agent for the same tasks: 45 MiB idle, 56 MiB with 20 tasks, 0.35 % of a core with
20 idle tasks (its process alone; Docker Engine comes on top).
"""

import os
import shlex
import subprocess
import time

from benchlib import machine
from benchlib.cluster import Cluster, binary, environment
from benchlib.rig import Rig
from benchlib.stamps import PROGRAM
from benchlib.tables import show
from parts.memory import family

COUNTS = [0, 20, 200]
SETTLE, WATCH = 5, 20
TICKS = os.sysconf("SC_CLK_TCK")


class Apart(Cluster):
    """A server without a node, and an agent in a process of its own."""

    def spawn(self) -> None:
        common = shlex.split(os.environ.get("WHARF_ARGS", "--log warn"))
        log = self.log.open("ab")
        self.process = subprocess.Popen(
            [binary(), "server", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}", *common],
            env=environment(), stdout=log, stderr=log)
        self.wait_ready()
        self.agent_data = self.data.with_name(self.data.name + "-agent")
        told = subprocess.run([binary(), "env", "--data-dir", self.data], env=environment(), check=True,
                              capture_output=True, text=True).stdout
        exports = (line.removeprefix("export ") for line in told.splitlines())
        variables = dict(shlex.split(line)[0].split("=", 1) for line in exports)
        make = [binary(), "agent", "--data-dir", self.agent_data, "--cluster", "default", *common]
        from benchlib.api import Api

        Api(variables).call("CreateCluster", {"clusterName": "default"})
        self.agent = subprocess.Popen(make, env={**environment(), **variables}, stdout=log, stderr=log)

    def down(self) -> None:
        subprocess.run([binary(), "down", "--data-dir", self.agent_data], env=environment(), check=True,
                       capture_output=True)
        self.agent.wait(30)
        super().down()


def cpu_ticks(pids: set[int]) -> int:
    """User and system time so far."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def figures(name: str, pids: set[int], seconds: float, before: int) -> list[str]:
    used = [machine.memory_kib(pid) for pid in pids]
    rss, pss, private = (sum(column) / 1024 for column in zip(*used))
    share = (cpu_ticks(pids) - before) / TICKS / seconds * 100
    return [name, str(len(pids)), f"{rss:.1f}", f"{pss:.1f}", f"{private:.1f}", f"{share:.2f}"]


def run(rig: Rig) -> None:
    rows = []
    cluster = Apart(rig.folder / "apart")
    try:
        cluster.up()
        definition = cluster.register("agents", cluster.push_stamp(rig.docker), rig.stamps("agents").folder,
                                      network="host")
        tasks: list[str] = []
        for count in COUNTS:
            while len(tasks) < count:
                tasks += cluster.tasks(cluster.api.call("RunTask", {
                    "taskDefinition": definition, "count": min(10, count - len(tasks))}))
            if tasks:
                cluster.wait_status(tasks, "RUNNING", 120, every=0.1)
            time.sleep(SETTLE)
            agent = {cluster.agent.pid}
            everything = family(cluster.agent.pid) - machine.named(PROGRAM)
            ticks, all_ticks = cpu_ticks(agent), cpu_ticks(everything)
            begun = time.monotonic()
            time.sleep(WATCH)
            seconds = time.monotonic() - begun
            rows.append(figures(f"{count} tasks: the agent's process", agent, seconds, ticks))
            rows.append(figures(f"{count} tasks: with zygote, shims, slots", everything, seconds, all_ticks))
        cluster.stop(tasks)
    finally:
        cluster.down()
    show("The agent alone: MiB, and percent of one core", ["", "processes", "RSS", "PSS", "private", "CPU %"], rows)
