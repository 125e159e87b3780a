"""What is killed comes back: the server, the shims, the containers, all of it."""

import shutil
import signal
import time

from lib import kernel
from lib.tasks import last, one
from lib.wait import eventually, stays


def programs(wharf, task):
    """The probes in a task's containers."""
    return [p for p in wharf.containers(last(task)) if p.name == "probe"]


def test_tasks_outlive_a_killed_server_and_are_adopted(own, own_tasks):
    tasks = own_tasks
    arn = tasks.run("say", "one", "on-term", 0, "forever")
    service = tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 2)
    tasks.running(arn)
    tasks.stable(service)
    before = {t["taskArn"] for t in tasks.of_service(service)}
    identity, [process] = one(tasks.describe(arn))["runtimeId"], programs(own, arn)
    own.kill()
    time.sleep(0.5)
    assert process.alive(), "the task died with the server"
    own.start()
    stays(lambda: process.alive() and tasks.status_of(arn) == "RUNNING", during=3)
    assert one(tasks.describe(arn))["runtimeId"] == identity
    assert {t["taskArn"] for t in tasks.of_service(service)} == before
    assert len(tasks.ecs.list_container_instances()["containerInstanceArns"]) == 1
    # It is still the server's: logs arrive, and it can be stopped.
    assert "one" in tasks.printed(arn)
    assert one(tasks.stop(arn))["exitCode"] == 0
    eventually(lambda: not process.alive())


def test_tasks_outlive_an_orderly_restart(own, own_tasks):
    arn = own_tasks.run("on-term", 0, "forever")
    own_tasks.running(arn)
    [process] = programs(own, arn)
    assert own.terminate() == 0
    assert process.alive()
    own.start()
    stays(lambda: own_tasks.status_of(arn) == "RUNNING" and process.alive())


def test_a_task_that_ends_while_the_server_is_away_is_told_afterwards(own, own_tasks, volume):
    tasks = own_tasks
    definition = tasks.define(
        tasks.container("await", "/v/go", "say", "unheard", "exit", 6,
                        mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}]),
        volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}])
    arn = tasks.run(definition=definition)
    tasks.running(arn)
    [process] = programs(own, arn)
    own.kill()
    (volume / "go").write_text("")
    eventually(lambda: not process.alive())
    own.start()
    task = tasks.stopped(arn)
    assert one(task)["exitCode"] == 6 and task["stopCode"] == "EssentialContainerExited"
    assert "unheard" in tasks.prints(arn, "unheard")


def test_a_service_heals_what_died_while_the_server_was_away(own, own_tasks):
    tasks = own_tasks
    service = tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 2)
    tasks.stable(service)
    victim = tasks.of_service(service)[0]["taskArn"]
    own.kill()
    for process in own.containers(last(victim)):
        process.kill()
    own.start()
    task = tasks.stopped(victim)
    assert one(task)["exitCode"] == 137
    eventually(lambda: len([t for t in tasks.of_service(service) if t["lastStatus"] == "RUNNING"]) == 2)


def test_everything_killed_at_once(own, own_tasks):
    tasks = own_tasks
    service = tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 2)
    tasks.stable(service)
    alone = tasks.run("on-term", 0, "forever")
    tasks.running(alone)
    before = {t["taskArn"] for t in tasks.of_service(service)}
    everything = own.processes()
    own.kill()
    for process in everything:
        process.kill()
    eventually(lambda: not any(p.alive() for p in everything))
    own.start()
    tasks.stopped(alone, *before)
    task = tasks.describe(alone)
    assert task["stoppedReason"], "nobody says why it stopped"
    after = eventually(lambda: (lambda found: found if len(found) == 2 else None)(
        {t["taskArn"] for t in tasks.of_service(service) if t["lastStatus"] == "RUNNING"}))
    assert not after & before


def test_a_reboot(own, own_tasks):
    """What a power cut leaves: the data folder, and nothing in the kernel or in /run."""
    tasks = own_tasks
    service = tasks.create_service(
        tasks.define(tasks.container("on-term", 0, "forever", portMappings=[{"containerPort": 80}]), networkMode="bridge"), 2)
    tasks.stable(service)
    alone = tasks.run("on-term", 0, "forever")
    tasks.running(alone)
    before = {t["taskArn"] for t in tasks.of_service(service)}
    everything = own.processes()
    own.kill()
    for process in everything:
        process.kill()
    eventually(lambda: not any(p.alive() for p in everything))
    shutil.rmtree(own.volatile)
    kernel.output(kernel.tool("ip"), "link", "delete", f"wharf-{own.tag}")
    kernel.output(kernel.tool("nft"), "delete", "table", "ip", f"wharf_{own.tag}")
    own.start()
    tasks.stopped(alone, *before)
    assert tasks.describe(alone)["stoppedReason"]
    eventually(lambda: len([t for t in tasks.of_service(service) if t["lastStatus"] == "RUNNING"]) == 2)
    assert len(tasks.ecs.list_container_instances()["containerInstanceArns"]) == 1


def test_killed_shims_are_noticed(own, own_tasks):
    tasks = own_tasks
    service = tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 1)
    tasks.stable(service)
    [first] = [t["taskArn"] for t in tasks.of_service(service)]
    for process in own.shims():
        process.kill()
    tasks.stopped(first)
    eventually(lambda: [t for t in tasks.of_service(service) if t["lastStatus"] == "RUNNING" and t["taskArn"] != first])


def test_every_container_killed_by_hand(own, own_tasks):
    tasks = own_tasks
    service = tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 3)
    tasks.stable(service)
    before = {t["taskArn"] for t in tasks.of_service(service)}
    for process in own.containers():
        process.kill(signal.SIGKILL)
    tasks.stopped(*before)
    after = eventually(lambda: (lambda found: found if len(found) == 3 else None)(
        {t["taskArn"] for t in tasks.of_service(service) if t["lastStatus"] == "RUNNING"}))
    assert not after & before


def test_nothing_acknowledged_is_lost_to_kills(own, own_tasks):
    tasks = own_tasks
    acknowledged = []
    for _ in range(5):
        for _ in range(5):
            acknowledged.append(tasks.define(tasks.container("exit", 0)))
        own.kill()
        own.start()
    for arn in acknowledged:
        assert tasks.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["status"] == "ACTIVE"


def test_a_kill_while_tasks_start_leaves_none_half_way(own, own_tasks):
    tasks = own_tasks
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    arns = tasks.run(definition=definition, count=8)
    own.kill()
    own.start()
    eventually(lambda: all(tasks.status_of(arn) in ("RUNNING", "STOPPED") for arn in arns))
    running = [arn for arn in arns if tasks.status_of(arn) == "RUNNING"]
    eventually(lambda: all(len(programs(own, arn)) == 1 for arn in running))
    for arn in running:
        tasks.ecs.stop_task(task=arn)
    tasks.stopped(*arns)
    eventually(lambda: own.containers() == [])
