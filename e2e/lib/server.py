"""The binary under test: start it, talk to it by real clients, kill it, end it, and see what it leaves."""

import contextlib
import hashlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import boto3
import botocore.config

from . import kernel
from .wait import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("WHARF_BIN", ROOT / "target/debug/wharf"))
AWS = ROOT / ".venv/bin/aws"


# One for all clients: it reads each service's model once, which costs more than most calls do.
SESSION, CONNECTING = boto3.session.Session(), threading.Lock()
_given = set()


def free_port():
    """A port that nobody has: none of those from which the kernel and Wharf take theirs meanwhile."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("0.0.0.0", port))
            if port not in _given:
                _given.add(port)
                return port


def environment(**more):
    """This process's environment without anything that would point AWS tools elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "WHARF_", "BOTO"))}
    nowhere = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", "NO_COLOR": "1"} | more


class Wharf:
    """One data folder and the `wharf up` on it."""

    def __init__(self, data, *flags):
        self.data = pathlib.Path(data)
        self.port = free_port()
        self.flags = flags
        self.process = None
        self.log = self.data.parent / f"{self.data.name}.log"
        self._env = None
        self._clients = {}

    # --- Life -------------------------------------------------------------------------------------

    def start(self, within=30):
        """Starts `wharf up` and waits until it is ready to run tasks."""
        assert BINARY.exists(), f"{BINARY} is not built: cargo build -p wharf"
        command = [BINARY, "up", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}", *self.flags]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment(WHARF_LOG=os.environ.get("E2E_LOG", "info")), start_new_session=True)
        eventually(self._ready, within=within, every=0.02, what="wharf up")
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"wharf up ended with {self.process.returncode}:\n{self.told()}")
        return self.get("/readyz")[0] == 200

    def told(self, lines=40):
        """The end of what it logged."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self):
        """Ends the server as a power cut would, tasks and their shims apart."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=60)

    def terminate(self):
        """Ends the server in order; tasks go on."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)

    def down(self):
        """`wharf down`: the end of everything."""
        done = self.run("down", "--data-dir", self.data, check=False, timeout=240)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=60)
        if self.process.poll() is None:
            self.process.kill()
            raise AssertionError(f"wharf down left the server running: {done.stdout}{done.stderr}")
        assert done.returncode == 0, f"wharf down: {done.stdout}{done.stderr}"
        return done

    # --- Talk -------------------------------------------------------------------------------------

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self):
        """What `wharf env` exports."""
        if self._env is None:
            text = self.run("env", "--data-dir", self.data).stdout
            pairs = [line.removeprefix("export ").split("=", 1) for line in text.splitlines()]
            self._env = {name: value.strip("'") for name, value in pairs}
        return self._env

    def get(self, path):
        """Status and body of a plain GET; status 0 if nobody answers."""
        try:
            with urllib.request.urlopen(self.endpoint + path, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def client(self, service):
        """A boto3 client that tries once, so that tests see every error."""
        if service not in self._clients:
            self._clients[service] = self._connect(service)
        return self._clients[service]

    def _connect(self, service):
        settings = {"retries": {"max_attempts": 0}, "connect_timeout": 30, "read_timeout": 120}
        with CONNECTING:
            return SESSION.client(
                service, endpoint_url=self.env["AWS_ENDPOINT_URL"], region_name=self.env["AWS_REGION"],
                aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
                config=botocore.config.Config(**settings))

    def run(self, *words, check=True, timeout=120, **more):
        """Runs a `wharf` command with this server's environment, if it is known."""
        done = subprocess.run(
            [BINARY, *map(str, words)], capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, env=environment(**(self._env or {})), **more)
        assert not check or done.returncode == 0, f"wharf {words}: {done.stdout}{done.stderr}"
        return done

    def aws(self, *words, check=True, timeout=240):
        """Runs the real AWS CLI with nothing but the exports of `wharf env`; returns its output."""
        done = subprocess.run(
            [AWS, *map(str, words)], capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, env=environment(**self.env))
        if check:
            assert done.returncode == 0, f"aws {' '.join(map(str, words))}: {done.stdout}{done.stderr}"
            return done.stdout.strip()
        return done

    # --- What it leaves ---------------------------------------------------------------------------

    @property
    def tag(self):
        """The six letters by which the kernel's objects of this data folder are named."""
        return hashlib.sha256(os.fsencode(self.data.resolve())).hexdigest()[:6]

    @property
    def volatile(self):
        """The folder of its sockets and of the records of running containers."""
        return kernel.volatile() / self.tag

    def processes(self):
        """Every process of this data folder: server, zygote, shims, and what runs in containers."""
        found = set(kernel.in_cgroup(f"wharf-{self.tag}"))
        found |= set(kernel.with_argument(str(self.volatile)))
        found |= set(kernel.with_argument(str(self.data)))
        if self.process and self.process.poll() is None:
            found |= {self.process.pid, *kernel.descendants(self.process.pid)}
        return [kernel.Process(pid) for pid in sorted(found)]

    def shims(self):
        """The processes that hold the tasks."""
        return [p for p in self.processes() if p.name == "shim"]

    def containers(self, task_id=None):
        """The processes in containers, of one task or of all. Slots that wait for a task are none."""
        inside = set(kernel.in_cgroup(f"wharf-{self.tag}"))
        found = []
        for record in (self.volatile / "s").glob(f"{task_id or '*'}/shim.pid"):
            shim = kernel.text(record).strip()
            found += [pid for pid in kernel.descendants(int(shim)) if pid in inside] if shim else []
        return [kernel.Process(pid) for pid in found]

    def leftovers(self, known=()):
        """What is still there that `wharf down` should have removed; `known` are processes it had."""
        left = [f"process {p}" for p in {*known, *self.processes()} if p.alive()]
        left += [f"cgroup {path}" for path in kernel.cgroups(f"wharf-{self.tag}")]
        left += [f"mount {line}" for line in kernel.mounts(str(self.data))]
        left += [f"mount {line}" for line in kernel.mounts(str(self.volatile))]
        left += [f"link {name}" for name in kernel.links() if self.tag in name]
        left += [f"netns {name}" for name in kernel.namespaces() if self.tag in name]
        left += [f"table {name}" for name in kernel.tables() if self.tag in name]
        left += [f"file {self.volatile}"] if self.volatile.exists() else []
        return left


@contextlib.contextmanager
def running(data, *flags):
    """A server for as long as the block lasts; afterwards nothing of it may be left."""
    wharf = Wharf(data, *flags)
    try:
        wharf.start()
        yield wharf
    finally:
        known = wharf.processes()
        links, tables = kernel.links(), kernel.tables()
        failure = None
        try:
            wharf.down()
        except Exception as error:  # What is left is told all the same.
            failure = error
        time.sleep(0.2)
        left = wharf.leftovers(known)
        for process in known:
            process.kill()
        if failure is not None:
            raise AssertionError(f"{failure}; left: {left}; links {links}, tables {tables}")
        assert not left, f"wharf down left {left}"
