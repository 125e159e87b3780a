"""`wharf up` in a data folder of its own, and what the benchmarks ask of it."""

import base64
import os
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

from . import stamps
from .api import Api
from .docker import Docker

ROOT = Path(__file__).resolve().parent.parent.parent


def binary() -> Path:
    """The binary that is measured: the release build, or `$WHARF`."""
    return Path(os.environ.get("WHARF", ROOT / "target/release/wharf"))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment() -> dict[str, str]:
    """Ours without what would point a client elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WHARF_"))}


class Cluster:
    """A server and a node in one process, and what it wrote to its log beside the data folder."""

    def __init__(self, data: Path, *flags: str) -> None:
        self.flags = flags
        self.data = data
        self.port = free_port()
        self.log = data.with_suffix(".log")
        self.process: subprocess.Popen | None = None

    def spawn(self) -> None:
        """Starts the binary and returns at once."""
        command = [binary(), "up", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}", *self.flags]
        command += shlex.split(os.environ.get("WHARF_ARGS", "--log warn"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)

    def wait_ready(self, seconds: float = 30) -> None:
        """Waits until /readyz answers 200."""
        end = time.monotonic() + seconds
        request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"wharf up ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(request)
                    if b" 200 " in connection.recv(200).split(b"\r\n")[0]:
                        return
            except OSError:
                pass
            if time.monotonic() > end:
                raise TimeoutError(f"wharf is not ready after {seconds} s: {self.log.read_text()[-2000:]}")
            time.sleep(0.001)

    def terminate(self) -> None:
        """Ends the server as SIGTERM does: tasks would go on."""
        self.process.terminate()
        self.process.wait(30)

    def up(self) -> "Cluster":
        """Starts, and waits until this machine takes tasks."""
        self.spawn()
        self.wait_ready()
        self.connect()
        end = time.monotonic() + 30
        while not self._joined():
            if time.monotonic() > end:
                raise TimeoutError(f"this machine did not join: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        return self

    def connect(self) -> None:
        """Learns where the server is and with which keys it is called."""
        wanted = [binary(), "env", "--data-dir", self.data]
        text = subprocess.run(wanted, env=environment(), check=True, capture_output=True, text=True).stdout
        exports = (line.removeprefix("export ") for line in text.splitlines())
        self.variables = dict(shlex.split(line)[0].split("=", 1) for line in exports)
        self.api = Api(self.variables)

    def _joined(self) -> bool:
        arns = self.api.call("ListContainerInstances", {})["containerInstanceArns"]
        if not arns:
            return False
        found = self.api.call("DescribeContainerInstances", {"containerInstances": arns})
        return all(instance["agentConnected"] for instance in found["containerInstances"])

    def down(self) -> None:
        """Stops everything of the data folder, and removes it."""
        if self.process:
            subprocess.run([binary(), "down", "--data-dir", self.data], env=environment(), check=True,
                           capture_output=True)
            self.process.wait(30)
        if keep := os.environ.get("BENCH_KEEP_LOGS"):
            shutil.copy(self.log, Path(keep) / f"{self.data.parent.name}-{self.log.name}")
        shutil.rmtree(self.data, ignore_errors=True)

    # --- images and definitions -----------------------------------------------------------------

    def password(self) -> str:
        """What `aws ecr get-login-password` prints."""
        data = self.api.call("GetAuthorizationToken", {}, "ecr")["authorizationData"][0]
        return base64.b64decode(data["authorizationToken"]).decode().removeprefix("AWS:")

    def push(self, source: str, repository: str, *options: str) -> str:
        """Pushes an image with skopeo; answers the name a task definition uses."""
        made = self.api.call("CreateRepository", {"repositoryName": repository}, "ecr")["repository"]
        target = f"docker://127.0.0.1:{self.port}/{repository}:latest"
        subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--dest-creds",
                        f"AWS:{self.password()}", *options, source, target], check=True)
        return f"{made['repositoryUri']}:latest"

    def push_stamp(self, docker: Docker) -> str:
        """The peer's own image of the stamp program, so that both start the same bytes."""
        return self.push(f"docker-daemon:{stamps.IMAGE}", "stamp", "--src-daemon-host", f"unix://{docker.path}")

    def register(self, family: str, image: str, folder: Path, *, network: str = "bridge", mark: str = "") -> str:
        """A task of the stamp program, beside whose limits and mounts the peer's are set."""
        container = {
            "name": "stamp", "image": image, "cpu": 10, "memory": 64, "essential": True,
            "environment": [{"name": "STAMP_DIR", "value": "/stamps"}, {"name": "MARK", "value": mark}],
            "mountPoints": [{"sourceVolume": "stamps", "containerPath": "/stamps"}],
        }
        if network == "bridge":
            container["portMappings"] = [{"containerPort": 8080, "hostPort": 0}]
        made = self.api.call("RegisterTaskDefinition", {
            "family": family, "networkMode": network, "containerDefinitions": [container],
            "volumes": [{"name": "stamps", "host": {"sourcePath": str(folder)}}],
        })
        return made["taskDefinition"]["taskDefinitionArn"]

    # --- tasks ----------------------------------------------------------------------------------

    def tasks(self, answer: dict) -> list[str]:
        """The ARNs of a RunTask's answer; raises if a task was not placed."""
        if answer["failures"]:
            raise RuntimeError(f"tasks were not placed: {answer['failures']}")
        return [task["taskArn"] for task in answer["tasks"]]

    def wait_status(self, tasks: list[str], status: str, seconds: float = 30, every: float = 0.001) -> list[dict]:
        """Asks again and again until all of them have the status."""
        prepared = [self.api.prepare("DescribeTasks", {"tasks": tasks[at:at + 100]})
                    for at in range(0, len(tasks), 100)]
        end = time.monotonic() + seconds
        while True:
            found = []
            for request in prepared:
                self.api.send(request)
                found += self.api.receive()["tasks"]
            if all(task["lastStatus"] == status for task in found):
                return found
            stopped = [task for task in found if task["lastStatus"] == "STOPPED"]
            if status == "RUNNING" and stopped:
                raise RuntimeError(f"a task stopped: {stopped[0].get('stoppedReason')} {stopped[0]['containers']}")
            if time.monotonic() > end:
                late = [(task["taskArn"], task["lastStatus"]) for task in found if task["lastStatus"] != status]
                raise TimeoutError(f"not {status} after {seconds} s: {late}")
            time.sleep(every)

    def stop(self, tasks: list[str]) -> None:
        """Stops them and waits until they are."""
        for task in tasks:
            self.api.call("StopTask", {"task": task})
        self.wait_status(tasks, "STOPPED", every=0.01)
