"""Application Auto Scaling by boto3: services that follow a metric, an alarm, a clock."""

import datetime
import re
import time

import botocore
import botocore.exceptions
import botocore.session
import pytest

from lib.wait import eventually

DIMENSION = "ecs:service:DesiredCount"


class Scaling:
    """What scales one service."""

    def __init__(self, wharf, tasks, name):
        self.api, self.tasks, self.name = wharf.client("application-autoscaling"), tasks, name
        self.what = {"ServiceNamespace": "ecs", "ScalableDimension": DIMENSION, "ResourceId": f"service/default/{name}"}

    def register(self, low, high, **more):
        return self.api.register_scalable_target(MinCapacity=low, MaxCapacity=high, **self.what, **more)

    def track(self, policy, target, kind="ECSServiceAverageCPUUtilization", **more):
        metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": kind}} if kind else {}
        return self.api.put_scaling_policy(
            PolicyName=policy, PolicyType="TargetTrackingScaling", **self.what,
            TargetTrackingScalingPolicyConfiguration={"TargetValue": target} | metric | more)

    def steps(self, policy, *steps, kind="ChangeInCapacity", **more):
        return self.api.put_scaling_policy(
            PolicyName=policy, PolicyType="StepScaling", **self.what,
            StepScalingPolicyConfiguration={"AdjustmentType": kind, "StepAdjustments": list(steps)} | more)

    def activities(self, **more):
        pages = self.api.get_paginator("describe_scaling_activities").paginate(**self.what, **more)
        return [activity for page in pages for activity in page["ScalingActivities"]]

    def reaches(self, count, within):
        def there():
            found = self.tasks.service(self.name)
            assert (found["desiredCount"], found["runningCount"]) == (count, count), (
                found["desiredCount"], found["runningCount"], self.activities(IncludeNotScaledActivities=True))
            return True
        return eventually(there, within=within, every=0.5)


@pytest.fixture
def scaling(wharf, tasks, name):
    yield Scaling(wharf, tasks, name)


def start(tasks, name, count=1, *words, **container):
    words = words or ("on-term", 0, "forever")
    tasks.create_service(tasks.define(tasks.container(*words, **container)), count, name)
    tasks.stable(name)


def fails(call, code="ValidationException"):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call()
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def test_a_service_follows_its_cpu_out_and_in(tasks, scaling, wharf, volume, name):
    """Each task works as much as the others: the load is more than any number of them takes."""
    work = volume / "work"
    work.touch()
    container = tasks.container(
        "on-term", 0, "toil", "/shared/work", cpu=256,
        mountPoints=[{"sourceVolume": "shared", "containerPath": "/shared"}])
    definition = tasks.define(container, volumes=[{"name": "shared", "host": {"sourcePath": str(volume)}}])
    tasks.create_service(definition, 1, name)
    tasks.stable(name)
    scaling.register(1, 3)
    policy = scaling.track("cpu", 20.0, ScaleOutCooldown=1, ScaleInCooldown=1)
    assert policy["PolicyARN"].endswith(f":resource/ecs/service/default/{name}:policyName/cpu")
    high, low = (alarm["AlarmName"] for alarm in policy["Alarms"])
    assert high.startswith(f"TargetTracking-service/default/{name}-AlarmHigh-")
    assert low.startswith(f"TargetTracking-service/default/{name}-AlarmLow-")
    alarms = wharf.client("cloudwatch")
    shown = eventually(lambda: alarms.describe_alarms(AlarmNames=[high, low])["MetricAlarms"])
    assert {alarm["AlarmActions"][0] for alarm in shown} == {policy["PolicyARN"]}

    scaling.reaches(3, within=90)
    work.unlink()
    scaling.reaches(1, within=180)
    done = eventually(lambda: (lambda all: all if all[0]["StatusCode"] == "Successful" else None)(scaling.activities()))
    assert done[0]["Description"] == "Setting desired count to 1."
    assert done[0]["StatusMessage"] == "Successfully set desired count to 1. Change successfully fulfilled by ecs."
    assert done[0]["Cause"].startswith(f"monitor alarm {low} in state ALARM triggered policy cpu. Over the last")
    assert done[-1]["Cause"].startswith(f"monitor alarm {high} in state ALARM triggered policy cpu. Over the last")
    assert "CPUUtilization" in done[-1]["Cause"] and "the target is 20" in done[-1]["Cause"]
    assert any("has set desired count to 1." in event for event in tasks.events(name))

    scaling.api.delete_scaling_policy(PolicyName="cpu", **scaling.what)
    eventually(lambda: not alarms.describe_alarms(AlarmNames=[high, low])["MetricAlarms"])


def test_bounds_are_kept_from_the_first_moment(tasks, scaling, ecs, name):
    start(tasks, name)
    arn = scaling.register(2, 4, Tags={"team": "web"})["ScalableTargetARN"]
    scaling.reaches(2, within=30)
    [target] = scaling.api.describe_scalable_targets(
        ServiceNamespace="ecs", ResourceIds=[scaling.what["ResourceId"]])["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"], target["ScalableTargetARN"]) == (2, 4, arn)
    assert not any(target["SuspendedState"].values())
    assert scaling.api.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "web"}
    scaling.api.tag_resource(ResourceARN=arn, Tags={"a": "1"})
    scaling.api.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert scaling.api.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"a": "1"}
    # By hand it goes where it is told; registering brings it back.
    ecs.update_service(service=name, desiredCount=5)
    assert tasks.service(name)["desiredCount"] == 5
    scaling.api.register_scalable_target(**scaling.what, SuspendedState={"ScheduledScalingSuspended": True})
    assert tasks.service(name)["desiredCount"] == 4
    causes = [activity["Cause"] for activity in scaling.activities()]
    assert causes == ["maximum capacity was set to 4", "minimum capacity was set to 2"]
    ecs.delete_service(service=name, force=True)
    assert not scaling.api.describe_scalable_targets(
        ServiceNamespace="ecs", ResourceIds=[scaling.what["ResourceId"]])["ScalableTargets"]


def test_a_scheduled_action_runs_at_its_time(tasks, scaling, name):
    start(tasks, name)
    scaling.register(1, 5)
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
    scaling.api.put_scheduled_action(
        ScheduledActionName="soon", Schedule=f"at({soon:%Y-%m-%dT%H:%M:%S})", **scaling.what,
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 6})
    scaling.api.put_scheduled_action(
        ScheduledActionName="daily", Schedule="cron(0 6 ? * MON-FRI *)", Timezone="Europe/Berlin", **scaling.what,
        ScalableTargetAction={"MinCapacity": 1})
    actions = {a["ScheduledActionName"]: a for a in scaling.api.describe_scheduled_actions(
        ServiceNamespace="ecs", ResourceId=scaling.what["ResourceId"])["ScheduledActions"]}
    assert actions["daily"]["Timezone"] == "Europe/Berlin" and "MaxCapacity" not in actions["daily"]["ScalableTargetAction"]
    assert tasks.service(name)["desiredCount"] == 1
    scaling.reaches(2, within=30)
    cause = "scheduled action name soon was triggered"
    assert [(a["Cause"], a["Description"]) for a in scaling.activities()] == [
        (f"{cause}: minimum capacity was set to 2", "Setting desired count to 2."),
        (cause, "Setting min capacity to 2 and max capacity to 6")]
    scaling.api.delete_scheduled_action(ScheduledActionName="daily", **scaling.what)
    fails(lambda: scaling.api.delete_scheduled_action(ScheduledActionName="daily", **scaling.what), "ObjectNotFoundException")


def test_an_alarm_moves_a_service_by_a_step(tasks, scaling, wharf, name):
    start(tasks, name)
    scaling.register(1, 9)
    up = scaling.steps(
        "up", {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 50, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 50, "ScalingAdjustment": 2}, Cooldown=600, MetricAggregationType="Maximum")
    assert not up.get("Alarms")
    alarms = wharf.client("cloudwatch")
    alarms.put_metric_alarm(
        AlarmName=f"jobs-{name}", Namespace="E2E", MetricName=f"jobs-{name}", Statistic="Maximum", Period=10,
        EvaluationPeriods=1, Threshold=10, ComparisonOperator="GreaterThanThreshold", AlarmActions=[up["PolicyARN"]])

    [shown] = scaling.api.describe_scaling_policies(**scaling.what)["ScalingPolicies"]
    assert [alarm["AlarmName"] for alarm in shown["Alarms"]] == [f"jobs-{name}"]

    def put(value):
        alarms.put_metric_data(Namespace="E2E", MetricData=[
            {"MetricName": f"jobs-{name}", "Value": value, "StorageResolution": 1}])
    end = time.monotonic() + 240
    while tasks.service(name)["desiredCount"] == 1 and time.monotonic() < end:
        put(100.0)
        time.sleep(1)
    scaling.reaches(3, within=30)
    [activity] = scaling.activities()
    assert activity["Cause"] == (
        f"monitor alarm jobs-{name} in state ALARM triggered policy up. The metric was 100, the threshold 10; "
        "the step adjustment of 2 makes 3 of 1.")
    history = alarms.describe_alarm_history(AlarmName=f"jobs-{name}", HistoryItemType="Action")["AlarmHistoryItems"]
    assert any(up["PolicyARN"] in item["HistorySummary"] for item in history), history
    alarms.delete_alarms(AlarmNames=[f"jobs-{name}"])


def test_a_metric_of_ones_own_is_followed(tasks, scaling, wharf, name):
    """A second's data points of PutMetricData, by metric math."""
    start(tasks, name)
    scaling.register(1, 4)
    stat = {"Metric": {"Namespace": "E2E", "MetricName": f"queue-{name}"}, "Stat": "Average"}
    scaling.track("queue", 10.0, None, ScaleOutCooldown=1, CustomizedMetricSpecification={"Metrics": [
        {"Id": "m1", "MetricStat": stat, "ReturnData": False},
        {"Id": "e1", "Expression": "m1 / 2", "ReturnData": True}]})
    metrics = wharf.client("cloudwatch")
    end = time.monotonic() + 240
    while tasks.service(name)["desiredCount"] < 3 and time.monotonic() < end:
        metrics.put_metric_data(Namespace="E2E", MetricData=[
            {"MetricName": f"queue-{name}", "Value": 60.0, "StorageResolution": 1}])
        time.sleep(0.5)
    scaling.reaches(3, within=30)
    assert "the expression was 30 with 1 task" in scaling.activities()[-1]["Cause"]


def test_policies_are_shown_as_they_were_put(tasks, scaling, name):
    start(tasks, name, 0)
    scaling.register(0, 4)
    for count in range(12):
        scaling.track(f"p{count:02}", 50.0, "ECSServiceAverageMemoryUtilization")
    scaling.steps("s", {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 200}, kind="PercentChangeInCapacity", MinAdjustmentMagnitude=2, Cooldown=60)
    pages = list(scaling.api.get_paginator("describe_scaling_policies").paginate(**scaling.what))
    assert [len(page["ScalingPolicies"]) for page in pages] == [10, 3]
    step = pages[-1]["ScalingPolicies"][-1]
    assert step["StepScalingPolicyConfiguration"] == {
        "AdjustmentType": "PercentChangeInCapacity", "Cooldown": 60, "MinAdjustmentMagnitude": 2,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 200}]}
    tracking = pages[0]["ScalingPolicies"][0]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 50.0 and "ScaleOutCooldown" not in tracking
    # What an update leaves out stays.
    scaling.steps("s", {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}, kind="PercentChangeInCapacity")
    scaling.api.deregister_scalable_target(**scaling.what)
    assert not scaling.api.describe_scaling_policies(**scaling.what)["ScalingPolicies"]


def test_the_published_examples_are_taken(tasks, wharf):
    """botocore's own examples, in the order in which they make sense."""
    api = wharf.client("application-autoscaling")
    loader = botocore.session.get_session().get_component("data_loader")
    examples = loader.load_service_model("application-autoscaling", "examples-1")["examples"]
    start(tasks, "web-app", 0)

    def play(operation, **more):
        [example] = examples[operation]
        method = getattr(api, botocore.xform_name(operation))
        return example.get("output", {}), method(**(example["input"] | more))
    play("RegisterScalableTarget")
    expected, answer = play("PutScalingPolicy")
    assert [re.sub("[0-9a-f-]{36}$", "", a["AlarmName"]) for a in answer["Alarms"]] == [
        re.sub("[0-9a-f-]{36}$", "", a["AlarmName"]) for a in expected["Alarms"]]
    expected, answer = play("DescribeScalableTargets")
    own = [t for t in answer["ScalableTargets"] if t["ResourceId"] == "service/default/web-app"]
    for shown in (own[0], expected["ScalableTargets"][0]):
        del shown["CreationTime"], shown["RoleARN"]
        shown.pop("ScalableTargetARN", None)
    assert own == expected["ScalableTargets"]
    play("DescribeScalingPolicies")
    play("DescribeScalingActivities")
    play("DeleteScalingPolicy", PolicyName="cpu75-target-tracking-scaling-policy")
    play("DeregisterScalableTarget")


def test_bad_input_is_refused_as_aws_does(tasks, scaling, name):
    api, what = scaling.api, scaling.what
    missing = fails(lambda: scaling.track("cpu", 50.0), "ObjectNotFoundException")
    assert missing == (f"No scalable target registered for service namespace: ecs, resource ID: service/default/{name}, "
                       f"scalable dimension: {DIMENSION}")
    assert fails(lambda: scaling.register(1, 2)) == f"ECS service doesn't exist: service/default/{name}"
    start(tasks, name, 0)
    table = [
        ("Maximum capacity cannot be less", lambda: scaling.register(3, 2)),
        ("must not be negative", lambda: scaling.register(-1, 2)),
        ("must both be specified", lambda: api.register_scalable_target(MinCapacity=0, **what)),
        ("Unsupported service namespace", lambda: api.register_scalable_target(
            ServiceNamespace="dynamodb", ResourceId="table/t", ScalableDimension="dynamodb:table:ReadCapacityUnits",
            MinCapacity=1, MaxCapacity=2)),
        ("Unsupported service namespace", lambda: api.register_scalable_target(
            MinCapacity=1, MaxCapacity=2, **(what | {"ResourceId": f"service/{name}"}))),
        ("not the ARN of a role", lambda: scaling.register(0, 2, RoleARN="me")),
    ]
    for words, call in table:
        assert words in fails(call)
    scaling.register(0, 2)
    lower = lambda by, low, high=None: {"ScalingAdjustment": by, "MetricIntervalLowerBound": low} | (
        {"MetricIntervalUpperBound": high} if high is not None else {})
    put_action = lambda **more: api.put_scheduled_action(ScheduledActionName="a", **what, **more)
    both = {"ScalableTargetAction": {"MinCapacity": 1, "MaxCapacity": 2}}
    table = [
        ("PredictiveScaling is not built", lambda: api.put_scaling_policy(PolicyName="p", PolicyType="PredictiveScaling", **what)),
        ("PolicyType must be specified", lambda: api.put_scaling_policy(PolicyName="p", **what)),
        ("TargetValue", lambda: scaling.track("p", 0.0)),
        ("not a metric of the service namespace ecs", lambda: scaling.track("p", 1.0, "RDSReaderAverageCPUUtilization")),
        ("ResourceLabel must be", lambda: scaling.track("p", 1.0, "ALBRequestCountPerTarget")),
        ("Invalid ResourceLabel", lambda: scaling.track("p", 1.0, None, PredefinedMetricSpecification={
            "PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": "web"})),
        ("is not attached to the service", lambda: scaling.track("p", 1.0, None, PredefinedMetricSpecification={
            "PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": "app/a/0123456789abcdef/targetgroup/b/0123456789abcdef"})),
        ("Exactly one of", lambda: scaling.track("p", 1.0, None)),
        ("Namespace and Statistic", lambda: scaling.track("p", 1.0, None, CustomizedMetricSpecification={"MetricName": "x"})),
        ("error in expression", lambda: scaling.track("p", 1.0, None, CustomizedMetricSpecification={
            "Metrics": [{"Id": "e", "Expression": "m1 +"}]})),
        ("At least one step", lambda: scaling.steps("p")),
        ("There is a gap between 5 and 6", lambda: scaling.steps("p", lower(1, 0, 5), lower(2, 6))),
        ("overlap at 4", lambda: scaling.steps("p", lower(1, 0, 5), lower(2, 4))),
        ("MinAdjustmentMagnitude", lambda: scaling.steps("p", lower(1, 0), MinAdjustmentMagnitude=1)),
        ("are the forms", lambda: put_action(Schedule="daily", **both)),
        ("six", lambda: put_action(Schedule="cron(0 6 * * MON)", **both)),
        ("not a time zone", lambda: put_action(Schedule="rate(1 day)", Timezone="Moon/Base", **both)),
        ("is over", lambda: put_action(Schedule="at(2001-01-01T00:00:00)", **both)),
        ("Schedule must be specified", lambda: put_action(**both)),
        ("ScalableTargetAction must specify", lambda: put_action(Schedule="rate(1 day)")),
        ("after its start", lambda: put_action(Schedule="rate(1 day)", StartTime=2e9, EndTime=1.9e9, **both)),
        ("MaxResults", lambda: api.describe_scaling_policies(ServiceNamespace="ecs", MaxResults=11)),
    ]
    for words, call in table:
        message = fails(call)
        assert words in message, message
    fails(lambda: api.describe_scalable_targets(ServiceNamespace="ecs", NextToken="x"), "InvalidNextTokenException")
    fails(lambda: api.delete_scaling_policy(PolicyName="none", **what), "ObjectNotFoundException")
    fails(lambda: api.list_tags_for_resource(
        ResourceARN="arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/none"), "ResourceNotFoundException")


def test_top_shows_a_service_under_scaling(tasks, scaling, wharf, name):
    start(tasks, name)
    scaling.register(2, 4)
    scaling.reaches(2, within=30)

    def line():
        table = wharf.run("top", "--once", "--data-dir", wharf.data).stdout.splitlines()
        assert table[0].split() == ["SERVICE", "TASKS", "TARGETS", "REQ/S", "P50", "CPU", "MEMORY", "ROLLOUT", "SCALED"]
        [own] = [line for line in table if line.startswith(f"{name} ")]
        # Its use is measured by and by.
        assert "%" in own, own
        return own
    assert eventually(line, within=60).split()[1] == "2/2"
    assert line().endswith(" ago: desired count to 2")
