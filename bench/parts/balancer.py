"""The balancer beside nginx and HAProxy, before the same two backends, with the same fields added to requests.

Stands alone too, without Docker: `.venv/bin/python bench/parts/balancer.py [SECONDS]`.
"""

import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchlib import machine  # noqa: E402
from benchlib.balancers import Backend, HaProxy, Nginx, Ours, Server, cpu_seconds  # noqa: E402
from benchlib.cluster import ROOT  # noqa: E402
from benchlib.tables import median, show  # noqa: E402

KINDS = [Ours, Nginx, HaProxy]
CONNECTIONS = 64
IDLE = 10_000
ROUTES = 10_000
SCRIPT = """
done = function(summary, latency, requests)
  io.write(string.format("RESULT %d %d %f %f %f %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout))
end
"""


def load(server: Server, script: Path, seconds: float) -> dict[str, float]:
    """One run of wrk: what it saw, and what the balancer used of the processor meanwhile."""
    before = cpu_seconds(server.pids())
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", str(script), f"http://127.0.0.1:{server.port}/"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(server.pids()) - before
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\S+) (\S+) (\S+)", output)
    requests, micros, p50, p99, p999, errors = map(float, found.groups())
    return {"rps": requests / micros * 1e6, "p50": p50, "p99": p99, "p999": p999, "errors": errors,
            "cpu": spent / requests * 1e6}


def throughput(folder: Path, backends: list[int], rounds: int, seconds: float) -> None:
    script = folder / "done.lua"
    script.write_text(SCRIPT)
    seen: dict[str, list[dict[str, float]]] = {}
    servers = [kind(folder / f"load-{kind.name}", backends) for kind in KINDS]
    try:
        for server in servers:
            load(server.start(), script, 1)
        for _ in range(rounds):  # in turn, so that a busy moment meets all of them
            for server in servers:
                seen.setdefault(server.name, []).append(load(server, script, seconds))
    finally:
        for server in servers:
            server.stop()
    rows = []
    for name, runs in seen.items():
        middle = {key: median([run[key] for run in runs]) for key in runs[0]}
        rows.append([name, f"{middle['rps']:.0f}", *(f"{middle[key] / 1000:.2f}" for key in ("p50", "p99", "p999")),
                     f"{middle['cpu']:.1f}", f"{sum(run['errors'] for run in runs):.0f}"])
    show(f"HTTP/1.1 keep-alive, {CONNECTIONS} connections, {rounds} runs of {seconds:.0f} s in turn, medians",
         ["", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU s a million", "errors"], rows)


def memory(folder: Path, backends: list[int]) -> None:
    rows = []
    for kind in KINDS:
        server = kind(folder / f"idle-{kind.name}", backends)
        clients = []
        try:
            server.start()
            time.sleep(1)
            before = sum(machine.memory_kib(pid)[1] for pid in server.pids())
            for _ in range(IDLE):
                clients.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            fresh = sum(machine.memory_kib(pid)[1] for pid in server.pids())
            for client in clients:  # one request each: the buffers that it takes may stay
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                client.recv(4096)
            time.sleep(1)
            used = sum(machine.memory_kib(pid)[1] for pid in server.pids())
            rows.append([server.name, f"{before / 1024:.1f}", f"{fresh / 1024:.1f}", f"{used / 1024:.1f}",
                         f"{(used - before) / IDLE:.2f}"])
        finally:
            for client in clients:
                client.close()
            server.stop()
    show(f"Memory (PSS, MiB) with {IDLE} idle connections", ["", "none", "silent", "after one request each", "KiB each"], rows)


def routes(folder: Path, backends: list[int], rounds: int) -> None:
    rows = []
    for kind in KINDS:
        server = kind(folder / f"routes-{kind.name}", backends, ROUTES)
        try:
            server.start()
            changes = [server.reroute() for _ in range(rounds)]
        finally:
            server.stop()
        how = {"Wharf": "apply", "nginx": "reload", "HAProxy": "set map"}[server.name]
        rows.append([f"{server.name} ({how})", *(f"{statistics.median(column) * 1000:.2f}" for column in zip(*changes))])
    show(f"One route among {ROUTES} changed, medians of {rounds}", ["", "ms", "CPU ms"], rows)


def measure(folder: Path, scale: float, seconds: float) -> None:
    subprocess.run(["cargo", "build", "--quiet", "--release", "-p", "balancer", "--example", "serve"], cwd=ROOT, check=True)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for all that is started from here
    rounds = max(3, int(5 * scale))
    behind = [Backend(folder / f"backend-{number}", []) for number in range(2)]
    try:
        ports = [backend.start().port for backend in behind]
        throughput(folder, ports, rounds, seconds)
        memory(folder, ports)
        routes(folder, ports, rounds)
    finally:
        for backend in behind:
            backend.stop()


def run(rig) -> None:
    measure(rig.folder / "balancer", rig.scale, max(3, 10 * rig.scale))


if __name__ == "__main__":
    # What was started is also ended when somebody ends this early.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"machine: {machine.line()}")
    with tempfile.TemporaryDirectory(prefix="wharf-bench-") as scratch:
        Path(scratch).chmod(0o755)  # nginx's workers are nobody
        measure(Path(scratch), 1.0, float(sys.argv[1]) if len(sys.argv) > 1 else 10)
    print(machine.pressure())
