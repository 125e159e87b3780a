"""Memory of all processes of Wharf and of Docker Engine, idle and with twenty containers.

PSS counts a page that several processes share once in all; RSS counts it for each. The containers' own
programs are not counted.
"""

import socket
import struct
import time

from benchlib import machine
from benchlib.rig import Rig
from benchlib.stamps import IMAGE, PROGRAM
from benchlib.tables import show

TASKS = 20
IDLE = 10


def family(root: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {pid: parent for pid, (parent, _, _) in machine.processes().items()}
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= grown
    return found


def wharf_processes(server: int) -> set[int]:
    """The server, the zygote, the shims and the slots: all descend from the server."""
    return family(server) - machine.named(PROGRAM)


def docker_processes(path: str, before: set[int]) -> set[int]:
    """The daemon at the other end of the socket, its containerd, and the shims and proxies that came since."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        daemon = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    all_of_them = machine.processes()
    found = {pid for pid in family(daemon) if pid in before or all_of_them.get(pid, (0, "", ""))[1] == "docker-proxy"}
    if not any(all_of_them[pid][1] == "containerd" for pid in found):
        found |= {pid for pid, (_, name, _) in all_of_them.items() if name == "containerd"}
    return found | {pid for pid, (_, name, _) in all_of_them.items()
                    if pid not in before and name.startswith(("containerd-shim", "docker-proxy"))}


def row(name: str, pids: set[int], idle: tuple[float, float, float] | None) -> tuple[list[str], tuple]:
    """A line of the table, and its sums in MiB."""
    used = [machine.memory_kib(pid) for pid in pids]
    sums = tuple(sum(column) / 1024 for column in zip(*used))
    cells = [name, len(pids), *(f"{figure:.1f}" for figure in sums)]
    cells.append(f"{(sums[1] - idle[1]) / TASKS:.2f}" if idle else "")
    return cells, sums


def run(rig: Rig) -> None:
    rows = []
    with rig.cluster() as cluster:
        stamps = rig.stamps("memory")
        server = cluster.process.pid
        time.sleep(IDLE)
        cells, idle = row("wharf up, idle", wharf_processes(server), None)
        rows.append(cells)
        definition = cluster.register("memory", cluster.push_stamp(rig.docker), stamps.folder)
        tasks = []
        for _ in range(TASKS):
            tasks += cluster.tasks(cluster.api.call("RunTask", {"taskDefinition": definition}))
        cluster.wait_status(tasks, "RUNNING")
        time.sleep(IDLE)
        with_tasks = wharf_processes(server)
        rows.append(row(f"wharf up, {TASKS} tasks", with_tasks, idle)[0])
        rows.append(row("  of which the server", {server}, None)[0])
        rows.append(row("  of which zygote, shims and slots", with_tasks - {server}, None)[0])
        cluster.stop(tasks)
    before = set(machine.processes())
    cells, idle = row("dockerd + containerd, idle", docker_processes(rig.docker.path, before), None)
    rows.append(cells)
    containers = []
    for _ in range(TASKS):
        containers.append(rig.docker.create(IMAGE, stamps.folder))
        rig.docker.start(containers[-1])
    time.sleep(IDLE)
    rows.append(row(f"dockerd + containerd + shims, {TASKS} containers", docker_processes(rig.docker.path, before), idle)[0])
    for container in containers:
        rig.docker.remove(container)
    show("Memory in MiB, the containers' own programs not counted",
         ["", "processes", "RSS", "PSS", "private", "PSS more a task"], rows)
