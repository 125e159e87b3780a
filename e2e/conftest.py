"""Fixtures: one server for most tests, one of its own for each test that kills it."""

import os
import pathlib

import pytest

from lib import apart, images, server
from lib.tasks import GROUP, Tasks, fresh

os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

# The files that take longest are begun first, so that no worker is left with one at the end.
LONG = ["balancer_metrics", "deployments", "capacity", "events", "conformance", "balancer_logs", "cli", "containers",
        "rollouts", "exec", "s3", "group_scaling", "inside", "exec_resume", "services", "scaling", "faults"]
WORKER = os.environ.get("PYTEST_XDIST_WORKER")


def pytest_configure(config):
    config.addinivalue_line("markers", "docker: asks this machine's Docker Engine, which is in the machine's network")


def pytest_sessionstart():
    if WORKER and os.geteuid() == 0:
        apart.enter()


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        raise pytest.UsageError("these tests start containers, which takes root: sudo make test")
    if not WORKER:
        return
    order = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.skip(reason="Docker Engine is not in a worker's network: run it without -n"))


def prepared(wharf):
    """A server with both images pushed and a log group."""
    wharf.client("logs").create_log_group(logGroupName=GROUP)
    return {name: images.provide(wharf, name) for name in images.SOURCES}


@pytest.fixture(scope="session")
def wharf(tmp_path_factory):
    """The server that most tests share."""
    with server.running(tmp_path_factory.mktemp("shared") / "data") as wharf:
        wharf.images = prepared(wharf)
        yield wharf


@pytest.fixture
def own(tmp_path):
    """A server of this test's own, with the images, to be killed at will."""
    with server.running(tmp_path / "data") as wharf:
        wharf.images = prepared(wharf)
        yield wharf


@pytest.fixture
def ecs(wharf):
    return wharf.client("ecs")


@pytest.fixture
def tasks(wharf):
    """Tasks on the shared server; whatever a test leaves running there is stopped."""
    helper = Tasks(wharf, wharf.images)
    yield helper
    tidy(helper)


@pytest.fixture
def own_tasks(own):
    return Tasks(own, own.images)


@pytest.fixture
def name():
    """A name that no other test uses."""
    return fresh()


@pytest.fixture
def volume(tmp_path) -> pathlib.Path:
    """A folder of this machine for containers to share."""
    folder = tmp_path / "volume"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    return folder


def tidy(helper):
    """Removes every service and task, so that the next test has the whole machine."""
    ecs, cluster = helper.ecs, helper.cluster
    for arn in ecs.list_services(cluster=cluster, maxResults=100)["serviceArns"]:
        ecs.delete_service(cluster=cluster, service=arn, force=True)
    for arn in ecs.list_tasks(cluster=cluster)["taskArns"]:
        ecs.stop_task(cluster=cluster, task=arn, reason="the test is over")
