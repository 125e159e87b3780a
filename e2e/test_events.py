"""EventBridge by boto3 and the AWS CLI: events of tasks and services, rules, targets, schedules, history."""

import http.server
import json
import queue
import threading
import time

import botocore.exceptions
import pytest

from lib.tasks import fresh, last
from lib.wait import eventually

TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
RUN = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*"},
    {"Effect": "Allow", "Action": ["iam:PassRole", "ecs:TagResource"], "Resource": "*"}]}


def refused(code, call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def arn(wharf, service, rest):
    env = wharf.env
    account = wharf.client("sts").get_caller_identity()["Account"]
    return f"arn:aws:{service}:{env['AWS_REGION']}:{account}:{rest}"


def messages(wharf, group):
    """The events in a log group, oldest first."""
    pages = wharf.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [json.loads(event["message"]) for page in pages for event in page["events"]]


def role(wharf, policy=RUN):
    iam, name = wharf.client("iam"), fresh("r")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    if policy:
        iam.put_role_policy(RoleName=name, PolicyName="run", PolicyDocument=json.dumps(policy))
    return made


def to_group(wharf, rule, pattern, **target):
    """A rule whose events go to a log group of its own; its name."""
    group = f"/aws/events/{rule}"
    wharf.client("logs").create_log_group(logGroupName=group)
    api = wharf.client("events")
    api.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    answer = api.put_targets(Rule=rule, Targets=[
        {"Id": "group", "Arn": arn(wharf, "logs", f"log-group:{group}")} | target])
    assert answer["FailedEntryCount"] == 0
    return group


def remove(api, rule):
    ids = [target["Id"] for target in api.list_targets_by_rule(Rule=rule)["Targets"]]
    if ids:
        api.remove_targets(Rule=rule, Ids=ids)
    api.delete_rule(Name=rule)


@pytest.fixture
def api(wharf):
    api = wharf.client("events")
    yield api
    for rule in api.list_rules()["Rules"]:
        remove(api, rule["Name"])


@pytest.fixture
def hook():
    """A web server that keeps what is posted to it and answers as it is told."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            self.server.got.put((self.path, dict(self.headers.items()), body.decode()))
            status = self.server.answers.pop(0) if self.server.answers else 204
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.answers = queue.Queue(), []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def destination(wharf, hook, name, path="", **more):
    api = wharf.client("events")
    connection = api.create_connection(
        Name=name, AuthorizationType="API_KEY",
        AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": "hush"}} | more)
    made = api.create_api_destination(
        Name=name, ConnectionArn=connection["ConnectionArn"], HttpMethod="POST",
        InvocationEndpoint=f"http://127.0.0.1:{hook.server_port}/hook{path}")
    return made["ApiDestinationArn"]


# --- Events of ECS ------------------------------------------------------------------------------------


def test_a_rule_takes_what_happens_to_a_task_to_a_log_group(wharf, api, tasks, name):
    definition = tasks.define(tasks.container("exit", 3), family=name)
    pattern = {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"], "detail": {"group": [f"family:{name}"]}}
    group = to_group(wharf, name, pattern)
    task = tasks.run(definition=definition)

    def told():
        found = messages(wharf, group)
        assert found and found[-1]["detail"]["lastStatus"] == "STOPPED", [e["detail"]["lastStatus"] for e in found]
        return found
    found = eventually(told, within=30)
    for event in found:
        assert event["version"] == "0" and event["source"] == "aws.ecs" and event["resources"] == [task]
        assert event["account"] == task.split(":")[4] and event["region"] == task.split(":")[3]
        assert len(event["id"]) == 36 and event["time"].endswith("Z") and "." not in event["time"]
    versions = [event["detail"]["version"] for event in found]
    assert versions == sorted(set(versions)), "each version once, in order"
    assert len({event["id"] for event in found}) == len(found)
    detail = found[-1]["detail"]
    described = tasks.describe(task)
    assert detail["taskArn"] == task and detail["version"] == described["version"]
    assert detail["containers"][0]["exitCode"] == 3
    assert detail["stopCode"] == "EssentialContainerExited"
    assert detail["stoppedAt"] == described["stoppedAt"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    for member in ("clusterArn", "taskDefinitionArn", "cpu", "memory", "createdAt", "desiredStatus", "group",
                   "launchType", "overrides", "updatedAt", "containerInstanceArn", "connectivity", "attributes"):
        assert member in detail, member
    assert "tags" not in detail


def test_services_tell_of_deployments_and_steady_states(wharf, api, tasks, name):
    service = arn(wharf, "ecs", f"service/default/{name}")
    group = to_group(wharf, name, {"resources": [service]})
    tasks.create_service(tasks.define(tasks.container("on-term", 0, "forever")), 1, name)
    tasks.stable(name)

    def told():
        found = messages(wharf, group)
        names = {event["detail"].get("eventName") for event in found}
        wanted = {"SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_COMPLETED", "SERVICE_STEADY_STATE"}
        assert wanted <= names, names
        return found
    found = eventually(told, within=60)
    by_name = {event["detail"].get("eventName"): event for event in found}
    done = by_name["SERVICE_DEPLOYMENT_COMPLETED"]
    assert done["detail-type"] == "ECS Deployment State Change" and done["detail"]["eventType"] == "INFO"
    assert done["detail"]["deploymentId"].startswith("ecs-svc/")
    steady = by_name["SERVICE_STEADY_STATE"]
    assert steady["detail-type"] == "ECS Service Action"
    assert steady["detail"]["clusterArn"].endswith("cluster/default")
    said = [event["detail"]["message"] for event in found if event["source"] == "wharf"]
    assert any("has reached a steady state" in message for message in said), said


def test_a_service_that_finds_no_place_tells_it(wharf, api, tasks, name):
    group = to_group(wharf, name, {"detail": {"eventName": ["SERVICE_TASK_PLACEMENT_FAILURE"]},
                                   "resources": [{"suffix": f"/{name}"}]})
    definition = tasks.define(tasks.container("forever") | {"memory": 30_000_000})
    tasks.create_service(definition, 1, name)
    event = eventually(lambda: messages(wharf, group)[0], within=20)
    assert event["detail"]["eventType"] == "ERROR" and "memory" in event["detail"]["reason"]


# --- Rules and targets --------------------------------------------------------------------------------


def test_rules_are_put_listed_switched_and_deleted(wharf, api, name):
    pattern = json.dumps({"source": ["x"]})
    made = api.put_rule(Name=name, EventPattern=pattern, Description="d", Tags=[{"Key": "a", "Value": "1"}])["RuleArn"]
    assert made == arn(wharf, "events", f"rule/{name}")
    shown = api.describe_rule(Name=name)
    assert (shown["EventPattern"], shown["State"], shown["Description"]) == (pattern, "ENABLED", "d")
    assert shown["EventBusName"] == "default"
    api.disable_rule(Name=name)
    assert api.describe_rule(Name=name, EventBusName="default")["State"] == "DISABLED"
    api.enable_rule(Name=name)
    assert api.describe_rule(Name=name)["State"] == "ENABLED"
    api.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
    shown = api.describe_rule(Name=name)
    assert "EventPattern" not in shown and "Description" not in shown and shown["ScheduleExpression"] == "rate(5 minutes)"
    api.tag_resource(ResourceARN=made, Tags=[{"Key": "b", "Value": "2"}])
    api.untag_resource(ResourceARN=made, TagKeys=["a"])
    assert api.list_tags_for_resource(ResourceARN=made)["Tags"] == [{"Key": "b", "Value": "2"}]
    others = [f"{name}-{n}" for n in range(3)]
    for other in others:
        api.put_rule(Name=other, EventPattern=pattern)
    first = api.list_rules(NamePrefix=f"{name}-", Limit=2)
    rest = api.list_rules(NamePrefix=f"{name}-", Limit=2, NextToken=first["NextToken"])
    assert [rule["Name"] for rule in first["Rules"] + rest["Rules"]] == others and "NextToken" not in rest
    group = arn(wharf, "logs", "log-group:/g")
    api.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": group}, {"Id": "2", "Arn": group, "Input": "{}"}])
    assert [target["Id"] for target in api.list_targets_by_rule(Rule=name)["Targets"]] == ["1", "2"]
    assert api.list_rule_names_by_target(TargetArn=group)["RuleNames"] == [name]
    assert "targets" in refused("ValidationException", api.delete_rule, Name=name)
    gone = api.remove_targets(Rule=name, Ids=["1", "2", "3"])
    assert [entry["TargetId"] for entry in gone["FailedEntries"]] == ["3"]
    api.delete_rule(Name=name)
    assert "does not exist" in refused("ResourceNotFoundException", api.describe_rule, Name=name)
    api.delete_rule(Name=name)


def test_what_cannot_be_is_refused_with_its_reason(wharf, api, name):
    refused("ValidationException", api.put_rule, Name=name)
    assert "Unrecognized match type" in refused(
        "InvalidEventPatternException", api.put_rule, Name=name, EventPattern='{"a": [{"b": 1}]}')
    for expression in ("rate(0 minutes)", "rate(1 minutes)x", "cron(* * * * *)", "at(2030-01-01T00:00:00)"):
        assert "ScheduleExpression" in refused(
            "ValidationException", api.put_rule, Name=name, ScheduleExpression=expression)
    refused("ResourceNotFoundException", api.put_rule, Name=name, EventPattern='{"a": [1]}', EventBusName="other")
    refused("ResourceNotFoundException", api.put_targets, Rule=name, Targets=[{"Id": "1", "Arn": "x"}])
    api.put_rule(Name=name, EventPattern='{"a": [1]}')
    group, cluster = arn(wharf, "logs", "log-group:/g"), arn(wharf, "ecs", "cluster/default")
    ecs = {"TaskDefinitionArn": "x:1"}
    for target, why in [
        ({"Arn": arn(wharf, "sqs", "q")}, "sqs"),
        ({"Arn": "arn:aws:logs:eu-west-9:123456789012:log-group:x"}, "eu-west-9"),
        ({"Arn": group, "Input": "{"}, "JSON syntax error"),
        ({"Arn": group, "Input": "{}", "InputPath": "$"}, "Only one of"),
        ({"Arn": group, "InputPath": "detail"}, "InputPath"),
        ({"Arn": group, "InputTransformer": {"InputTemplate": "<x>"}}, "<x>"),
        ({"Arn": group, "DeadLetterConfig": {"Arn": arn(wharf, "sqs", "q")}}, "DeadLetterConfig"),
        ({"Arn": group, "EcsParameters": ecs}, "EcsParameters"),
        ({"Arn": cluster}, "EcsParameters"),
        ({"Arn": cluster, "EcsParameters": ecs}, "RoleArn is required"),
        ({"Arn": cluster, "EcsParameters": ecs, "RoleArn": arn(wharf, "iam", "role/none").replace(
            f":{wharf.env['AWS_REGION']}:", "::")}, "there is no role"),
    ]:
        message = refused("ValidationException", api.put_targets, Rule=name, Targets=[{"Id": "1"} | target])
        assert why in message, message
    six = [{"Id": str(n), "Arn": group} for n in range(6)]
    refused("LimitExceededException", api.put_targets, Rule=name, Targets=six)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        api.create_event_bus(Name="other")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_patterns_are_tried_and_buses_are_one(wharf, api):
    event = {"id": "1", "detail-type": "t", "source": "s", "account": "1", "time": "2026-11-23T00:00:00Z",
             "region": "r", "resources": [], "detail": {"n": 5, "ip": "10.0.0.7", "s": "Ab"}}

    def takes(pattern):
        return api.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))["Result"]
    assert takes({"detail": {"n": [{"numeric": [">", 4, "<", 6]}], "ip": [{"cidr": "10.0.0.0/24"}]}})
    assert takes({"$or": [{"source": ["x"]}, {"detail": {"s": [{"equals-ignore-case": "AB"}]}}]})
    assert not takes({"detail": {"n": [{"anything-but": 5}]}})
    refused("InvalidEventPatternException", api.test_event_pattern, EventPattern="[]", Event=json.dumps(event))
    refused("ValidationException", api.test_event_pattern, EventPattern='{"a": [1]}', Event='{"id": "1"}')
    assert [bus["Name"] for bus in api.list_event_buses()["EventBuses"]] == ["default"]
    assert api.describe_event_bus()["Arn"].endswith(":event-bus/default")


def test_events_of_ones_own_are_taken_and_transformed(wharf, api, name):
    group = to_group(wharf, name, {"source": [name]}, InputTransformer={
        "InputPathsMap": {"who": "$.detail.who", "all": "$.detail"},
        "InputTemplate": '{"rule": "<aws.events.rule-name>", "who": <who>, "text": "hello <who>", "all": <all>}'})
    good = {"Source": name, "DetailType": "t", "Detail": '{"who": "w", "n": [1]}', "Resources": ["arn:x"]}
    answer = api.put_events(Entries=[
        good, good | {"Source": "aws.ecs"}, good | {"Detail": "x"}, {"Source": name, "Detail": "{}"}])
    codes = [entry.get("ErrorCode") for entry in answer["Entries"]]
    assert codes == [None, "NotAuthorizedForSourceException", "MalformedDetail", "InvalidArgument"]
    assert answer["FailedEntryCount"] == 3 and answer["Entries"][0]["EventId"]
    event = eventually(lambda: messages(wharf, group)[0], within=10)
    assert event == {"rule": name, "who": "w", "text": "hello w", "all": {"who": "w", "n": [1]}}

    def counted():
        found = wharf.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Events", MetricName="Invocations", Dimensions=[{"Name": "RuleName", "Value": name}],
            StartTime=time.time() - 600, EndTime=time.time() + 60, Period=60, Statistics=["Sum"])["Datapoints"]
        assert sum(point["Sum"] for point in found) == 1
        return True
    eventually(counted, within=10)


def test_a_web_hook_is_called_and_tried_again(wharf, api, hook, name):
    hook.answers[:] = [503]
    target = destination(wharf, hook, name, "/*", InvocationHttpParameters={
        "HeaderParameters": [{"Key": "x-more", "Value": "m"}]})
    try:
        shown = api.describe_connection(Name=name)
        assert shown["AuthParameters"]["ApiKeyAuthParameters"] == {"ApiKeyName": "x-key"}
        assert "hush" not in json.dumps(shown, default=str)
        api.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
        api.put_targets(Rule=name, Targets=[{"Id": "hook", "Arn": target, "InputPath": "$.detail", "HttpParameters": {
            "PathParameterValues": ["a"], "QueryStringParameters": {"q": "1"}, "HeaderParameters": {"x-own": "o"}}}])
        refused("ValidationException", api.delete_connection, Name=name)
        api.put_events(Entries=[{"Source": name, "DetailType": "t", "Detail": '{"n": 1}'}])
        first, again = hook.got.get(timeout=60), hook.got.get(timeout=60)
        assert first[2] == again[2] == '{"n":1}'
        path, headers, _ = again
        headers = {key.lower(): value for key, value in headers.items()}
        assert path == "/hook/a?q=1"
        assert (headers["x-key"], headers["x-own"], headers["x-more"]) == ("hush", "o", "m")
        remove(api, name)
    finally:
        api.delete_api_destination(Name=name)
        api.delete_connection(Name=name)
    refused("ResourceNotFoundException", api.describe_api_destination, Name=name)


# --- Tasks of rules -----------------------------------------------------------------------------------


def test_an_event_runs_a_task_with_overrides_once(wharf, api, tasks, name):
    definition = tasks.define(tasks.container("exit", 9), family=name)
    api.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    overrides = {"containerOverrides": [{"name": "app", "command": ["exit", "5"]}]}
    target = {"Id": "run", "Arn": arn(wharf, "ecs", "cluster/default"), "RoleArn": role(wharf),
              "Input": json.dumps(overrides),
              "EcsParameters": {"TaskDefinitionArn": definition, "TaskCount": 2, "Group": name,
                                "Tags": [{"Key": "k", "Value": "v"}], "EnableECSManagedTags": True}}
    api.put_targets(Rule=name, Targets=[target])
    api.put_events(Entries=[{"Source": name, "DetailType": "t", "Detail": "{}"}])

    def ran():
        found = [tasks.describe(task) for task in tasks.ecs.list_tasks(family=name, desiredStatus="STOPPED")["taskArns"]]
        assert [task["lastStatus"] for task in found] == ["STOPPED"] * 2
        return found
    for task in eventually(ran, within=30):
        assert task["startedBy"] == f"events-rule/{name}" and task["group"] == name
        assert task["containers"][0]["exitCode"] == 5


def test_a_role_that_may_not_run_tasks_runs_none(wharf, api, tasks, name):
    definition = tasks.define(tasks.container("exit", 0), family=name)
    api.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    api.put_targets(Rule=name, Targets=[{
        "Id": "run", "Arn": arn(wharf, "ecs", "cluster/default"), "RoleArn": role(wharf, policy=None),
        "EcsParameters": {"TaskDefinitionArn": definition}}])
    api.put_events(Entries=[{"Source": name, "DetailType": "t", "Detail": "{}"}])

    def failed():
        found = wharf.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Events", MetricName="FailedInvocations", Dimensions=[{"Name": "RuleName", "Value": name}],
            StartTime=time.time() - 600, EndTime=time.time() + 60, Period=60, Statistics=["Sum"])["Datapoints"]
        assert sum(point["Sum"] for point in found) == 1
        return True
    eventually(failed, within=10)
    assert not tasks.ecs.list_tasks(family=name)["taskArns"]


def test_a_schedule_runs_tasks_and_rules_outlive_a_kill(own, own_tasks, name):
    api = own.client("events")
    definition = own_tasks.define(own_tasks.container("exit", 0), family=name)
    group = to_group(own, name, {"detail": {"group": [f"family:{name}"]}, "detail-type": ["ECS Task State Change"]})
    api.put_rule(Name=f"{name}-tick", ScheduleExpression="rate(1 minute)")
    api.put_targets(Rule=f"{name}-tick", Targets=[{
        "Id": "run", "Arn": arn(own, "ecs", "cluster/default"), "RoleArn": role(own),
        "EcsParameters": {"TaskDefinitionArn": definition}}])
    own.kill()
    own.start()
    assert {rule["Name"] for rule in api.list_rules()["Rules"]} == {name, f"{name}-tick"}

    def ran():
        found = own_tasks.ecs.list_tasks(family=name, desiredStatus="STOPPED")["taskArns"]
        assert len(found) == 1
        return found
    task = eventually(ran, within=75, every=0.5)[0]
    own.kill()
    own.start()
    # What has run does not run again, and the last word on the task is told though the server was gone.
    assert own_tasks.ecs.list_tasks(family=name, desiredStatus="STOPPED")["taskArns"] == [task]
    assert not own_tasks.ecs.list_tasks(family=name)["taskArns"]

    def told():
        found = [event["detail"]["lastStatus"] for event in messages(own, group)]
        assert found[-1] == "STOPPED", found
        return True
    eventually(told, within=20)


# --- History ------------------------------------------------------------------------------------------


def test_the_history_is_read_by_the_command_line(wharf, api, tasks, name):
    task = tasks.run(definition=tasks.define(tasks.container("exit", 0), family=name))
    tasks.stopped(task)

    def shown():
        lines = wharf.run("events", "--data-dir", wharf.data, "--task", last(task), "--since", "10m").stdout.splitlines()
        assert lines[0].split() == ["TIME", "CLUSTER", "SUBJECT", "WHAT"], lines
        assert any("STOPPED" in line and f"family:{name}" in line for line in lines), lines
        return lines
    eventually(shown, within=10)
    text = wharf.run("events", "--data-dir", wharf.data, "--task", last(task), "--json").stdout
    events = [json.loads(line) for line in text.splitlines()]
    assert {event["detail"]["taskArn"] for event in events} == {task}
    assert wharf.run("events", "--data-dir", wharf.data, "--cluster", "none").stdout == ""
    wrong = wharf.run("events", "--data-dir", wharf.data, "--since", "soon", check=False)
    assert wrong.returncode == 1 and "--since" in wrong.stderr
    groups = wharf.client("logs").describe_log_groups(logGroupNamePrefix="/wharf/events")["logGroups"]
    assert groups[0]["retentionInDays"] == 7


def test_the_aws_cli_puts_rules_and_events(wharf, api, name):
    made = wharf.aws("events", "put-rule", "--name", name, "--event-pattern", json.dumps({"source": [name]}),
                     "--output", "text")
    assert made.endswith(f"rule/{name}")
    entries = json.dumps([{"Source": name, "DetailType": "t", "Detail": "{}"}])
    assert '"FailedEntryCount": 0' in wharf.aws("events", "put-events", "--entries", entries, "--output", "json")
    wharf.aws("events", "delete-rule", "--name", name)
