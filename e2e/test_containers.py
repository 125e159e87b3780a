"""What a container's definition promises and its program sees."""

import pytest

from lib.tasks import last, one


def test_environment_command_and_working_directory(tasks):
    printed = tasks.output(
        "env", "A", "env", "PATH", "identity", workingDirectory="/tmp", hostname="box",
        environment=[{"name": "A", "value": "with spaces and = signs"}])
    assert "A=with spaces and = signs" in printed
    assert "PATH=/" in printed  # From the image.
    assert "directory /tmp" in printed and "hostname box" in printed
    assert "process 1" in printed


def test_an_entry_point_replaces_the_images(tasks):
    assert "replaced" in tasks.output("say", "never", entryPoint=["/probe", "say", "replaced"])


def test_user_and_groups(tasks):
    printed = tasks.output("identity", user="1234:5678")
    assert "Uid 1234\t1234\t1234\t1234" in printed and "Gid 5678\t5678\t5678\t5678" in printed


def test_capabilities_are_dockers_unless_asked_otherwise(tasks):
    assert "CapEff 00000000a80425fb" in tasks.output("capabilities")
    dropped = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    assert "CapEff 0000000000000400" in tasks.output("capabilities", linuxParameters=dropped)
    assert any(int(line.split()[1], 16).bit_count() > 30
               for line in tasks.output("capabilities", privileged=True) if line.startswith("CapEff"))


def test_ulimits(tasks):
    printed = "\n".join(tasks.output("limits", ulimits=[{"name": "nofile", "softLimit": 123, "hardLimit": 456}]))
    line = next(line for line in printed.splitlines() if line.startswith("Max open files"))
    assert line.split()[3:5] == ["123", "456"]


def test_a_volume_of_the_host_is_shared_both_ways(tasks, volume):
    (volume / "in").write_text("from outside")
    definition = tasks.define(
        tasks.container("read", "/v/in", "write", "/v/out", "from inside", "say", "(end)",
                        mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}]),
        volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}])
    assert "from outside" in tasks.output(definition=definition)
    assert (volume / "out").read_text() == "from inside"


def test_a_volume_may_be_read_only(tasks, volume):
    definition = tasks.define(
        tasks.container("write", "/v/out", "x", "say", "(end)",
                        mountPoints=[{"sourceVolume": "v", "containerPath": "/v", "readOnly": True}]),
        volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}])
    assert any("could not write /v/out" in line for line in tasks.output(definition=definition))
    assert not (volume / "out").exists()


def test_the_root_file_system_may_be_read_only(tasks):
    printed = tasks.output("write", "/tmp/x", "x", readonlyRootFilesystem=True)
    assert any("could not write /tmp/x" in line for line in printed)
    assert "wrote /tmp/x" in tasks.output("write", "/tmp/x", "x")


def test_a_container_does_not_see_another_ones_files(tasks):
    tasks.output("write", "/tmp/secret", "x")
    task = tasks.finish(tasks.container("exists", "/tmp/secret"))
    assert one(task)["exitCode"] == 1


def test_a_volume_shared_by_the_containers_of_a_task(tasks):
    share = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
    definition = tasks.define(
        tasks.container("await", "/v/ready", "read", "/v/ready", "say", "(end)", **share),
        tasks.container("write", "/v/ready", "it is", name="writer", essential=False, **share),
        volumes=[{"name": "v"}])
    assert "it is" in tasks.output(definition=definition)


def test_tmpfs(tasks):
    parameters = {"tmpfs": [{"containerPath": "/scratch", "size": 8}]}
    printed = "\n".join(tasks.output("mounts", linuxParameters=parameters))
    assert "tmpfs /scratch tmpfs" in printed and "size=8192k" in printed


def test_init_process(tasks):
    printed = tasks.output("identity", linuxParameters={"initProcessEnabled": True})
    assert "process 1" not in printed


def test_init_process_forwards_the_signal_that_a_program_does_not_handle(tasks):
    arn = tasks.run(definition=tasks.define(tasks.container(
        "say", "ready", "forever", linuxParameters={"initProcessEnabled": True}, stopTimeout=20)))
    tasks.prints(arn, "ready")
    task = tasks.stop(arn)
    assert one(task)["exitCode"] == 143
    assert (task["stoppedAt"] - task["stoppingAt"]).total_seconds() < 10


def test_the_task_ends_with_its_essential_container(tasks):
    task = tasks.finish(
        tasks.container("say", "bye", "exit", 3),
        tasks.container("on-term", 0, "forever", name="side", essential=False))
    assert task["stoppedReason"] == "Essential container in task exited"
    assert one(task)["exitCode"] == 3
    assert one(task, "side")["lastStatus"] == "STOPPED"


def test_the_task_outlives_a_container_that_is_not_essential(tasks):
    arn = tasks.run(definition=tasks.define(
        tasks.container("on-term", 0, "forever"),
        tasks.container("exit", 9, name="side", essential=False)))
    task = tasks.until(arn, lambda t: one(t, "side")["lastStatus"] == "STOPPED")
    assert one(task, "side")["exitCode"] == 9
    assert tasks.status_of(arn) == "RUNNING" and one(tasks.describe(arn))["lastStatus"] == "RUNNING"
    tasks.stop(arn)


@pytest.mark.parametrize("condition, status, then", [
    ("COMPLETE", 4, "runs"), ("SUCCESS", 0, "runs"), ("SUCCESS", 4, "never")])
def test_depends_on_the_end_of_another(tasks, volume, condition, status, then):
    share = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
    definition = tasks.define(
        tasks.container("exists", "/v/done", "say", "(ran)", dependsOn=[{"containerName": "first", "condition": condition}], **share),
        tasks.container("sleep", 0.7, "write", "/v/done", "x", "exit", status, name="first", essential=False, **share),
        volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}])
    arn = tasks.run(definition=definition)
    task = tasks.stopped(arn)
    assert one(task, "first")["exitCode"] == status
    if then == "runs":
        assert one(task)["exitCode"] == 0
        tasks.prints(arn, "(ran)")
    else:
        assert one(task)["exitCode"] == 143  # the ECS agent's, of what never started
        assert task["stopCode"] == "TaskFailedToStart"


def test_depends_on_the_start_and_the_health_of_another(tasks, volume):
    share = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
    check = {"command": ["CMD", "/probe", "exists", "/v/well"], "interval": 5, "timeout": 2, "retries": 5}
    definition = tasks.define(
        tasks.container("on-term", 0, "forever", dependsOn=[{"containerName": "side", "condition": "HEALTHY"}], **share),
        tasks.container("on-term", 0, "forever", name="side", essential=False, healthCheck=check, **share),
        volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}])
    arn = tasks.run(definition=definition)
    tasks.until(arn, lambda t: one(t, "side")["lastStatus"] == "RUNNING")
    assert one(tasks.describe(arn))["lastStatus"] == "PENDING"
    (volume / "well").write_text("")
    tasks.running(arn)
    # Health travels on a way of its own, behind the states.
    tasks.until(arn, lambda t: one(t, "side")["healthStatus"] == "HEALTHY")
    tasks.stop(arn)


def test_containers_stop_in_the_reverse_order_of_dependence(tasks, volume):
    share = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
    definition = tasks.define(
        tasks.container("on-term", 0, "forever", dependsOn=[{"containerName": "base", "condition": "START"}], **share),
        tasks.container("on-term", 0, "forever", name="base", **share),
        volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}])
    arn = tasks.run(definition=definition)
    tasks.running(arn)
    task = tasks.stop(arn)
    assert [one(task, n)["exitCode"] for n in ("app", "base")] == [0, 0]
    first, then = (tasks.logs.filter_log_events(
        logGroupName="/e2e", logStreamNames=[f"t/{n}/{last(arn)}"])["events"][-1]["timestamp"] for n in ("app", "base"))
    assert first <= then


def test_a_restart_policy_starts_the_container_again_within_the_task(tasks):
    arn = tasks.run(definition=tasks.define(
        tasks.container("on-term", 0, "forever"),
        tasks.container("say", "again", "exit", 1, name="side", essential=False,
                        restartPolicy={"enabled": True, "restartAttemptPeriod": 60})))
    tasks.running(arn)
    lines = tasks.prints(arn, "again", "side")
    assert lines.count("again") >= 1
    assert tasks.status_of(arn) == "RUNNING"
    tasks.stop(arn)


def test_a_restart_policy_brings_back_a_killed_program(tasks, wharf):
    arn = tasks.run(definition=tasks.define(tasks.container(
        "say", "up", "on-term", 0, "forever", restartPolicy={"enabled": True, "restartAttemptPeriod": 60})))
    tasks.running(arn)
    # A container must have been up for the attempt period before it is started again.
    first = one(tasks.describe(arn))["runtimeId"]
    assert first and [p for p in wharf.containers(last(arn)) if p.name == "probe"]
    tasks.stop(arn)


def test_an_exit_code_may_be_excepted_from_restarting(tasks):
    task = tasks.finish(tasks.container(
        "exit", 0, restartPolicy={"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60}))
    assert one(task)["exitCode"] == 0
