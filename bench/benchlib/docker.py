"""The peer: Docker Engine, by its API over the socket and by its command line.

`DOCKER_HOST` (unix:// only) names another engine than the machine's.
"""

import http.client
import json
import os
import socket
import subprocess
import urllib.parse
from pathlib import Path

LABEL = "wharf-bench"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self.socket_path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.socket_path)


class Docker:
    """One kept-alive connection to the engine. Everything made bears a label, and `clean` removes
    that and nothing else."""

    def __init__(self) -> None:
        host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        if not host.startswith("unix://"):
            raise SystemExit(f"DOCKER_HOST is {host}: the benchmarks reach Docker by a unix:// socket only")
        self.path = host.removeprefix("unix://")
        self.connection = _Connection(self.path)
        self.images: list[str] = []

    def call(self, method: str, path: str, body: bytes | dict | None = None, kind: str = "application/json",
             headers: dict[str, str] | None = None) -> bytes:
        """One request; answers the body, or raises with what the engine said."""
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        told = {"Content-Type": kind, **(headers or {})}
        self.connection.request(method, f"/v1.41{path}", body, told)
        response = self.connection.getresponse()
        text = response.read()
        if response.status >= 400:
            raise RuntimeError(f"docker: {method} {path}: {response.status} {text.decode(errors='replace')}")
        return text

    def describe(self) -> str:
        """The engine's version and how it stores layers: both matter to its speed."""
        info = json.loads(self.call("GET", "/info"))
        return f"Docker {info['ServerVersion']}, storage driver {info['Driver']}, cgroup v{info['CgroupVersion']}"

    def load_image(self, archive: bytes, name: str, change: str) -> None:
        """`docker import`: an image of one layer."""
        repo, tag = name.rsplit(":", 1)
        query = urllib.parse.urlencode({"fromSrc": "-", "repo": repo, "tag": tag, "changes": change})
        self.call("POST", f"/images/create?{query}", archive, "application/x-tar")
        self.images.append(name)

    def create(self, image: str, folder: Path, *, network: str = "bridge", publish: bool = True,
               restart: str = "no", mark: str = "") -> str:
        """Makes a container of the stamp program; answers its id."""
        host = {"NetworkMode": network, "Binds": [f"{folder}:/stamps"], "RestartPolicy": {"Name": restart},
                "Memory": 64 << 20, "CpuShares": 10}
        spec = {"Image": image, "Env": ["STAMP_DIR=/stamps", f"MARK={mark}"], "Labels": {LABEL: ""},
                "HostConfig": host}
        if publish and network == "bridge":
            spec["ExposedPorts"] = {"8080/tcp": {}}
            host["PortBindings"] = {"8080/tcp": [{"HostPort": ""}]}
        return json.loads(self.call("POST", "/containers/create", spec))["Id"]

    def start(self, container: str) -> None:
        self.call("POST", f"/containers/{container}/start")

    def stop(self, container: str) -> None:
        self.call("POST", f"/containers/{container}/stop?t=10")

    def remove(self, container: str) -> None:
        self.call("DELETE", f"/containers/{container}?force=true&v=true")

    def process(self, container: str) -> int:
        """The container's first process, as the machine numbers it."""
        return json.loads(self.call("GET", f"/containers/{container}/json"))["State"]["Pid"]

    def run_command(self, image: str, folder: Path, network: str) -> list[str]:
        """What a person would type."""
        ports = ["-p", "0:8080"] if network == "bridge" else []
        return ["docker", "run", "-d", "--label", LABEL, "--network", network, *ports, "--memory", "64m",
                "--cpu-shares", "10", "-v", f"{folder}:/stamps", "-e", "STAMP_DIR=/stamps", image]

    def run(self, image: str, folder: Path, network: str) -> str:
        """`docker run -d`; answers the container's id."""
        done = subprocess.run(self.run_command(image, folder, network), check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def clean(self) -> None:
        """Removes every container that bears the label, and the images that were made here."""
        filters = urllib.parse.quote(json.dumps({"label": [LABEL]}))
        self.connection.close()
        for container in json.loads(self.call("GET", f"/containers/json?all=true&filters={filters}")):
            self.remove(container["Id"])
        for image in self.images:
            self.call("DELETE", f"/images/{image}?force=true")
        self.images.clear()
