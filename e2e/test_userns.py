"""`wharf up --userns`: tasks whose root is nobody on the node."""

import pathlib
import urllib.request

import pytest

from conftest import prepared, tidy
from lib import kernel, server
from lib.tasks import Tasks, one, port_of
from lib.wait import eventually

BASE = 1879048192


@pytest.fixture
def mapped(tmp_path, request):
    """A server whose tasks are in user namespaces."""
    mode = getattr(request, "param", "on")
    with server.running(tmp_path / "data", "--userns", mode) as wharf:
        wharf.images = prepared(wharf)
        helper = Tasks(wharf, wharf.images)
        yield helper
        tidy(helper)


def users(folder):
    """The users, as the node numbers them, of the processes that see a folder as theirs."""
    found = set()
    for pid in kernel.pids():
        if str(folder) in kernel.text(f"/proc/{pid}/mountinfo"):
            status = kernel.text(f"/proc/{pid}/status")
            found |= {int(line.split()[1]) for line in status.splitlines() if line.startswith("Uid:")}
    return found


def test_a_task_on_the_bridge_is_reached_and_is_nobody(mapped, tmp_path):
    marked = tmp_path / "marked-folder"
    marked.mkdir()
    arn = mapped.run(definition=mapped.define(
        mapped.container(
            image="hello", portMappings=[{"containerPort": 8080}],
            mountPoints=[{"sourceVolume": "marked", "containerPath": "/marked"}]),
        networkMode="bridge", volumes=[{"name": "marked", "host": {"sourcePath": str(marked)}}]))
    task = mapped.running(arn)

    def answers():
        with urllib.request.urlopen(f"http://127.0.0.1:{port_of(task)}/", timeout=30) as answer:
            return answer.status == 200

    eventually(answers)
    seen = users(marked.name)
    assert seen and min(seen) >= BASE, seen
    assert pathlib.Path(marked).stat().st_uid == 0
    mapped.stop(arn)


@pytest.mark.parametrize("mapped", ["strict"], indirect=True)
def test_a_strict_node_refuses_by_name(mapped):
    stopped = mapped.finish(mapped.container("exit", 0, privileged=True))
    assert stopped["stopCode"] == "TaskFailedToStart", stopped
    assert "--userns strict" in one(stopped).get("reason", "") + stopped.get("stoppedReason", "")
