"""Memory and processor limits, and what happens at them."""

import re

from lib.tasks import last, one


def test_a_program_that_takes_more_than_its_memory_is_killed(tasks):
    task = tasks.finish(tasks.container("alloc", 200, "say", "never", memory=32))
    assert one(task)["exitCode"] == 137
    assert one(task)["reason"].startswith("OutOfMemoryError")
    assert task["stoppedReason"].startswith(("OutOfMemoryError", "Essential container in task exited"))


def test_memory_within_the_limit_is_given(tasks):
    assert "took 40 MiB" in tasks.output("alloc", 40, memory=64)


def test_a_reservation_is_no_limit(tasks):
    container = tasks.container("alloc", 64, "say", "(end)", memoryReservation=16)
    del container["memory"]
    assert "took 64 MiB" in tasks.output(definition=tasks.define(container))


def test_the_tasks_memory_bounds_its_containers_together(tasks):
    container = tasks.container("alloc", 200, "say", "never")
    del container["memory"]
    task = tasks.finish(container, memory="64", cpu="128")
    assert one(task)["exitCode"] == 137


def test_limits_are_in_the_kernel(tasks, wharf):
    from lib import kernel
    arn = tasks.run(definition=tasks.define(tasks.container("on-term", 0, "forever", memory=48, cpu=256)))
    tasks.running(arn)
    [process] = [p for p in wharf.containers(last(arn)) if p.name == "probe"]
    values = []
    for line in kernel.text(f"/proc/{process.pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for name in (controllers.split(",") if controllers else ["unified", ""]):
            for file in ("memory.limit_in_bytes", "memory.max", "cpu.shares", "cpu.weight"):
                value = kernel.text(f"/sys/fs/cgroup/{name}{path}/{file}").strip()
                if value:
                    values.append((file, value))
    assert any(f.startswith("memory") and v == str(48 << 20) for f, v in values), values
    assert any(re.match(r"cpu\.(shares|weight)", f) and v in ("256", "10") for f, v in values), values


def test_the_instance_counts_what_is_reserved(tasks):
    before = tasks.left()
    arn = tasks.run(definition=tasks.define(tasks.container("on-term", 0, "forever", memory=100, cpu=128)))
    tasks.running(arn)
    after = tasks.left()
    assert before["CPU"] - after["CPU"] == 128 and before["MEMORY"] - after["MEMORY"] == 100
    tasks.stop(arn)
    assert tasks.left() == before


def test_no_room_says_what_is_missing_and_where(tasks, ecs):
    [instance] = ecs.list_container_instances()["containerInstanceArns"]
    for more, reason in (({"memory": 1 << 24}, "RESOURCE:MEMORY"), ({"cpu": 1 << 20, "memory": 8}, "RESOURCE:CPU")):
        definition = tasks.define(tasks.container("exit", 0, **more))
        answer = ecs.run_task(taskDefinition=definition, count=2)
        assert answer["tasks"] == [] and len(answer["failures"]) >= 1
        failure = answer["failures"][0]
        assert failure["reason"] == reason and failure["arn"] == instance
        assert last(instance) in failure["detail"] and re.search(r"\d", failure["detail"])


def test_a_service_that_does_not_fit_tells_why(tasks, name):
    tasks.create_service(tasks.define(tasks.container("exit", 0, memory=1 << 24)), 1, name)
    tasks.told(name, "unable to place a task because no container instance met all of its requirements")
    tasks.told(name, "insufficient memory")


def test_placement_constraint_distinct_instance(tasks, ecs):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    answer = ecs.run_task(taskDefinition=definition, count=2, group="apart", placementConstraints=[{"type": "distinctInstance"}])
    assert len(answer["tasks"]) == 1 and len(answer["failures"]) == 1
