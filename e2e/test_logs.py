"""The `awslogs` driver and CloudWatch Logs."""

import subprocess
import time

import pytest

from lib.server import BINARY, environment
from lib.tasks import GROUP, fresh, last
from lib.wait import eventually


def test_standard_output_and_error_arrive_in_order(tasks):
    arn = tasks.run("say", "one", "complain", "two", "say", "three")
    tasks.stopped(arn)
    assert sorted(tasks.prints(arn, "three")) == ["one", "three", "two"]


def test_every_line_of_many_arrives_and_pages_are_read_both_ways(tasks, wharf):
    arn = tasks.run("lines", 3000, "say", "(end)")
    tasks.stopped(arn)
    printed = tasks.prints(arn, "(end)")
    assert printed == [f"line {n}" for n in range(3000)] + ["(end)"]
    logs, stream = tasks.logs, f"t/app/{last(arn)}"
    newest = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, limit=10)
    assert [e["message"] for e in newest["events"]][-1] == "(end)" and len(newest["events"]) == 10
    before = logs.get_log_events(
        logGroupName=GROUP, logStreamName=stream, limit=10, nextToken=newest["nextBackwardToken"])
    assert [e["message"] for e in before["events"]] == [f"line {n}" for n in range(2981, 2991)]


def test_filtering_finds_words_over_streams(tasks):
    word = fresh("needle")
    arns = [tasks.run("say", f"a {word} here", "say", "hay") for _ in range(2)]
    tasks.stopped(*arns)
    def found():
        pages = tasks.logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, filterPattern=f'"{word}"')
        return [event for page in pages for event in page["events"]]
    events = eventually(lambda: (lambda e: e if len(e) == 2 else None)(found()))
    assert {e["logStreamName"] for e in events} == {f"t/app/{last(arn)}" for arn in arns}
    assert all(e["message"] == f"a {word} here" and e["eventId"] for e in events)


def test_the_stream_is_there_as_soon_as_the_container_runs(tasks):
    arn = tasks.run("on-term", 0, "forever")
    tasks.running(arn)
    streams = tasks.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"t/app/{last(arn)}")["logStreams"]
    assert [s["logStreamName"] for s in streams] == [f"t/app/{last(arn)}"]


def test_a_group_is_made_when_the_definition_says_so(tasks):
    group = f"/{fresh('made')}"
    options = {"awslogs-group": group, "awslogs-create-group": "true", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
    container = tasks.container("say", "x", logConfiguration={"logDriver": "awslogs", "options": options})
    tasks.finish(container)
    assert tasks.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["logGroupName"] == group


def test_a_missing_group_fails_the_task_with_the_reason(tasks):
    options = {"awslogs-group": "/not/there", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
    task = tasks.finish(tasks.container("say", "x", logConfiguration={"logDriver": "awslogs", "options": options}))
    assert task["stopCode"] == "TaskFailedToStart"
    assert "/not/there" in task["stoppedReason"] + str(task["containers"])


def test_wharf_logs_reads_a_task_and_a_service(tasks, wharf, name):
    arn = tasks.run("say", "from the task")
    tasks.stopped(arn)
    eventually(lambda: "from the task" in wharf.run("logs", last(arn)).stdout)
    tasks.create_service(tasks.define(tasks.container("say", "from the service", "on-term", 0, "forever")), 2, name)
    tasks.stable(name)
    eventually(lambda: wharf.run("logs", name).stdout.count("from the service") == 2)
    refused = wharf.run("logs", "nothing-like-that", check=False)
    assert refused.returncode != 0 and "nothing-like-that" in refused.stderr


def test_wharf_logs_follows(tasks, wharf, volume):
    definition = tasks.define(
        tasks.container("say", "early", "await", "/v/go", "say", "late", "on-term", 0, "forever",
                        mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}]),
        volumes=[{"name": "v", "host": {"sourcePath": str(volume)}}])
    arn = tasks.run(definition=definition)
    tasks.prints(arn, "early")
    follower = subprocess.Popen(
        [BINARY, "logs", "-f", last(arn)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**wharf.env))
    try:
        assert follower.stdout.readline().strip() == "early"
        (volume / "go").write_text("")
        assert follower.stdout.readline().strip() == "late"
        assert follower.poll() is None
    finally:
        follower.terminate()
        follower.wait(timeout=60)


def test_groups_and_streams_by_hand(wharf):
    logs, group = wharf.client("logs"), f"/{fresh('hand')}"
    logs.create_log_group(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    [shown] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert shown["retentionInDays"] == 7
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[
        {"timestamp": now - 1, "message": "first"}, {"timestamp": now, "message": "sécond ✓"}])
    events = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)["events"]
    assert [(e["timestamp"], e["message"]) for e in events] == [(now - 1, "first"), (now, "sécond ✓")]
    late = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": 1, "message": "old"}])
    assert "tooOldLogEventEndIndex" in late.get("rejectedLogEventsInfo", {}) or "expiredLogEventEndIndex" in late.get("rejectedLogEventsInfo", {})
    logs.delete_log_group(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_log_events(logGroupName=group, logStreamName="s")


def test_a_driver_that_is_not_built_is_refused_by_name(tasks, ecs):
    with pytest.raises(ecs.exceptions.ClientException, match="splunk"):
        tasks.define(tasks.container("exit", 0, logConfiguration={"logDriver": "splunk"}))
