"""Container health checks."""

from lib.tasks import one
from lib.wait import eventually

FAST = {"interval": 5, "timeout": 2, "retries": 1}


def check(*command, **more):
    return {"healthCheck": {"command": ["CMD", *command]} | FAST | more}


def test_a_healthy_container_makes_a_healthy_task(tasks):
    arn = tasks.run(definition=tasks.define(tasks.container(
        image="hello", linuxParameters={"initProcessEnabled": True}, **check("/hello", "--health"))))
    task = tasks.until(arn, lambda t: t["healthStatus"] == "HEALTHY")
    assert one(task)["healthStatus"] == "HEALTHY"


def test_before_the_first_check_health_is_unknown(tasks):
    arn = tasks.run(definition=tasks.define(tasks.container("on-term", 0, "forever", **check("/probe", "exit", "0", interval=60))))
    task = tasks.running(arn)
    assert task["healthStatus"] == "UNKNOWN"


def test_without_a_check_health_stays_unknown(tasks):
    arn = tasks.run("on-term", 0, "forever")
    assert tasks.running(arn)["healthStatus"] == "UNKNOWN"


def test_a_task_on_its_own_stays_when_it_is_unhealthy(tasks):
    arn = tasks.run(definition=tasks.define(tasks.container("on-term", 0, "forever", **check("/probe", "exit", "1"))))
    task = tasks.until(arn, lambda t: t["healthStatus"] == "UNHEALTHY")
    assert task["lastStatus"] == "RUNNING" and task["desiredStatus"] == "RUNNING"


def test_a_service_replaces_an_unhealthy_task(tasks, volume, name):
    well = volume / "well"
    well.write_text("")
    definition = tasks.define(
        tasks.container("on-term", 0, "forever", mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}],
                        **check("/probe", "exists", "/v/well")),
        volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}])
    tasks.create_service(definition, 1, name)
    first = eventually(lambda: next((t for t in tasks.of_service(name) if t["healthStatus"] == "HEALTHY"), None))
    well.unlink()
    task = tasks.stopped(first["taskArn"])
    assert "failed container health checks" in task["stoppedReason"].lower()
    well.write_text("")
    tasks.told(name, "failed container health checks")
    second = eventually(lambda: next((t for t in tasks.of_service(name) if t["healthStatus"] == "HEALTHY"), None))
    assert second["taskArn"] != first["taskArn"]
