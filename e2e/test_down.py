"""`wharf down`, and that these tests can fail."""

import pytest

from lib import server
from lib.tasks import Tasks, last
from lib.wait import eventually


def test_down_leaves_nothing_and_up_again_remembers(own, own_tasks):
    tasks = own_tasks
    port = tasks.define(tasks.container("on-term", 0, "forever", portMappings=[{"containerPort": 80}]), networkMode="bridge")
    service = tasks.create_service(port, 2)
    tasks.stable(service)
    known = own.processes()
    assert len(known) >= 4 and own.containers(), "there was nothing to leave behind"
    # Otherwise the check below would pass whatever was left.
    assert any("process" in left for left in own.leftovers(known))
    assert any("cgroup" in left for left in own.leftovers(known))
    assert any("table" in left for left in own.leftovers(known))
    assert any("link" in left for left in own.leftovers(known))
    own.down()
    assert own.leftovers(known) == []
    own.start()
    # The old tasks are over, and the service runs anew, in real processes.
    def healed():
        found = tasks.of_service(service)
        return len(found) == 2 and all(own.containers(last(t["taskArn"])) for t in found)
    eventually(healed)
    tasks.stable(service)


def test_down_twice_and_down_of_nothing(own, tmp_path):
    own.down()
    own.down()
    nothing = own.run("down", "--data-dir", tmp_path / "never-was", check=False)
    assert "never-was" in nothing.stdout + nothing.stderr
    own.start()


def test_down_after_the_server_was_killed(own, own_tasks):
    arn = own_tasks.run("on-term", 0, "forever")
    own_tasks.running(arn)
    known = own.processes()
    own.kill()
    own.down()
    assert own.leftovers(known) == []
    own.start()
    assert own_tasks.stopped(arn)["lastStatus"] == "STOPPED"


def test_two_servers_on_one_machine_do_not_meet(own, tmp_path, own_tasks):
    arn = own_tasks.run("on-term", 0, "forever")
    own_tasks.running(arn)
    with server.running(tmp_path / "other") as other:
        assert other.client("ecs").list_tasks()["taskArns"] == []
        helper = Tasks(other, {"probe": "nothing"})
        assert len(helper.ecs.list_container_instances()["containerInstanceArns"]) == 1
    assert own_tasks.status_of(arn) == "RUNNING" and own.containers()


def test_a_server_that_cannot_start_fails_the_fixture(tmp_path):
    with pytest.raises((RuntimeError, AssertionError)):
        server.Wharf(tmp_path / "data", "--no-such-flag").start(within=5)
