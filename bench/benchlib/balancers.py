"""Balancers and what stands behind them: started by configuration files in a folder, ended by process id."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import machine
from .cluster import ROOT

BINARY = ROOT / "target/release/examples/serve"
BODY = "x" * 128
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def family(root: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {pid: parent for pid, (parent, _, _) in machine.processes().items()}
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= grown
    return found


def cpu_seconds(pids: set[int]) -> float:
    """What the processes have used of the processor."""
    spent = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        spent += sum(int(field) for field in fields[11:15])  # its own and its dead children's
    return spent / TICKS


def answers(port: int, host: str = "any.test") -> bytes:
    """The answer to one request; empty if there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            parts = []
            while part := client.recv(65536):
                parts.append(part)
            return b"".join(parts)
    except OSError:
        return b""


class Server:
    """A process with a port, in its own folder."""

    name = ""

    def __init__(self, folder: Path, backends: list[int], routes: int = 0) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.backends = backends
        self.routes = routes
        self.process: subprocess.Popen | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> "Server":
        log = (self.folder / "log").open("w")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        end = time.monotonic() + 30
        while b" 200 " not in answers(self.port, "r0.test")[:16]:
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"{self.name} did not start: see {self.folder}/log")
            time.sleep(0.05)
        return self

    def pids(self) -> set[int]:
        return family(self.process.pid)

    def stop(self) -> None:
        if self.process is None:
            return
        pids = self.pids()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait(5)

    def reroute(self) -> tuple[float, float]:
        """Sends one host, r7.test, to the other backend: seconds until a request sees it, and of the processor."""
        raise NotImplementedError

    def until_rerouted(self, before: bytes) -> None:
        end = time.monotonic() + 60
        while answers(self.port, "r7.test").rpartition(b"\r\n\r\n")[2] == before:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.name} did not change its route")
            time.sleep(0.001)

    def body(self) -> bytes:
        return answers(self.port, "r7.test").rpartition(b"\r\n\r\n")[2]


class Nginx(Server):
    name = "nginx"
    workers = 2

    def blocks(self) -> str:
        # The same fields that an application load balancer adds.
        proxy = """
                proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host:$server_port;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
                proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Amzn-Trace-Id "Root=1-$request_id";"""
        servers = "".join(f"server 127.0.0.1:{port}; " for port in self.backends)
        text = f"upstream all {{ {servers} keepalive 256; keepalive_requests 100000000; }}\n"
        for number, port in enumerate(self.backends):
            text += f"upstream only{number} {{ server 127.0.0.1:{port}; keepalive 256; }}\n"
        where = "all"
        if self.routes:
            lines = "\n".join(f"r{n}.test only{self.changed if n == 7 else 0};" for n in range(self.routes))
            text += f"map_hash_max_size 65536; map_hash_bucket_size 128;\nmap $host $to {{ default only0;\n{lines}\n}}\n"
            where = "$to"
        return text + f"server {{ listen 127.0.0.1:{self.port} reuseport; location / {{ {proxy} proxy_pass http://{where}; }} }}"

    def write(self) -> Path:
        file = self.folder / "nginx.conf"
        file.write_text(f"""
            worker_processes {self.workers}; daemon off; pid {self.folder}/pid; error_log {self.folder}/error.log;
            events {{ worker_connections 15000; }}
            http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600;
            {self.blocks()} }}""")
        return file

    changed = 0

    def command(self) -> list[str]:
        return [shutil.which("nginx"), "-c", str(self.write())]

    def reroute(self) -> tuple[float, float]:
        before, old = self.body(), self.pids()
        spent = cpu_seconds(old)
        begun = time.monotonic()
        self.changed = 1 - self.changed
        self.write()
        self.process.send_signal(signal.SIGHUP)
        self.until_rerouted(before)
        took = time.monotonic() - begun
        time.sleep(0.5)
        return took, cpu_seconds(self.pids() | old) - spent


class Backend(Nginx):
    """What stands behind: answers at once, and says which it is."""

    name = "backend"
    workers = 1

    def blocks(self) -> str:
        return f'server {{ listen 127.0.0.1:{self.port}; location / {{ return 200 "{self.port} {BODY}"; }} }}'


class HaProxy(Server):
    name = "HAProxy"

    def command(self) -> list[str]:
        file = self.folder / "haproxy.cfg"
        lines = "\n".join(f"    server b{n} 127.0.0.1:{port} pool-max-conn 256" for n, port in enumerate(self.backends))
        only = "\n".join(f"backend only{n}\n    server b 127.0.0.1:{port} pool-max-conn 256" for n, port in enumerate(self.backends))
        where = "all"
        if self.routes:
            (self.folder / "map").write_text("".join(f"r{n}.test only0\n" for n in range(self.routes)))
            where = f"%[req.hdr(host),lower,map({self.folder}/map,only0)]"
        file.write_text(f"""
global
    nbthread 2
    maxconn 15000
    no strict-limits
    stats socket {self.folder}/socket level admin
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    http-reuse always
    option forwardfor
frontend f
    bind 127.0.0.1:{self.port}
    unique-id-format %{{+X}}o%ci%cp%Ts%rt
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Port {self.port}
    http-request set-header X-Amzn-Trace-Id Root=1-%[unique-id]
    use_backend {where}
backend all
{lines}
{only}
""")
        return [shutil.which("haproxy"), "-f", str(file)]

    def reroute(self) -> tuple[float, float]:
        before, spent = self.body(), cpu_seconds(self.pids())
        begun = time.monotonic()
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(f"{self.folder}/socket")
            current = getattr(self, "current", 0)
            self.current = 1 - current
            admin.sendall(f"set map {self.folder}/map r7.test only{self.current}\n".encode())
            admin.recv(100)
        self.until_rerouted(before)
        return time.monotonic() - begun, cpu_seconds(self.pids()) - spent


class Ours(Server):
    name = "Wharf"

    def command(self) -> list[str]:
        file = self.folder / "table.json"
        epoch, seconds = 0, lambda n: {"secs": n, "nanos": 0}
        targets = {f"t{port}": {"key": f"t{port}", "address": f"127.0.0.1:{port}", "registered_at": epoch, "phase": "registered"}
                   for port in self.backends}
        def group(name: str, chosen: dict) -> dict:
            return {"id": name, "health_check": {"enabled": False}, "targets": chosen}
        groups = {"all": group("all", targets)}
        for number, port in enumerate(self.backends):
            groups[f"only{number}"] = group(f"only{number}", {f"t{port}": targets[f"t{port}"]})
        def to(name: str) -> dict:
            return {"forward": {"groups": [{"group": name, "weight": 1}]}}
        rules = [{"id": f"r{n}", "priority": n + 1, "conditions": [{"host": [{"wildcard": f"r{n}.test"}]}], "action": to("only0")}
                 for n in range(self.routes)]
        listener = {"id": "l", "bind": ["127.0.0.1"], "port": self.port, "protocol": "http", "rules": rules,
                    "balancer": {"id": "lb", "idle_timeout": seconds(600)}, "default_action": to("all")}
        file.write_text(json.dumps({"listeners": [listener], "groups": groups}))
        return [str(BINARY), str(file), "2"]

    def start(self) -> "Server":
        super().start()
        self.process.stdout.readline()
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait(10)

    def reroute(self) -> tuple[float, float]:
        before = self.body()
        self.current = 1 - getattr(self, "current", 0)
        self.process.stdin.write(f"route r7 only{self.current}\n")
        self.process.stdin.flush()
        _, took, spent = self.process.stdout.readline().split()
        self.until_rerouted(before)
        return int(took) / 1e6, int(spent) / 1e6
