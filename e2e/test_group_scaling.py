"""Auto Scaling groups without a capacity provider: launch templates, policies, schedules, tags."""

import base64
import contextlib
import datetime
import subprocess
import textwrap

import pytest
from botocore.exceptions import ClientError

from lib import server
from lib.wait import eventually


@pytest.fixture
def racks(tmp_path):
    """A server whose nodes are only noted down by a program, each in a file of its own."""
    program, kept = tmp_path / "nodes", tmp_path / "kept"
    kept.mkdir()
    program.write_text(textwrap.dedent(f"""\
        #!/bin/sh
        cd {kept}
        case $1 in
        start) {{ env; cat; }} > "$WHARF_NODE_ID" ;;
        end) rm -f "$WHARF_NODE_ID" ;;
        list) ls ;;
        esac
        """))
    program.chmod(0o700)
    with server.running(tmp_path / "data", "--node-command", str(program)) as wharf:
        wharf.kept = kept
        yield wharf


@contextlib.contextmanager
def refused(code, words):
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code and words in error["Message"], error


def group(scaling, name):
    found, = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return found


def template(ec2, name, **data):
    made = ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-1", "InstanceType": "t3.nano"} | data)
    return made["LaunchTemplate"]


def make(scaling, name, max_size=5, **more):
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=max_size, AvailabilityZones=["us-east-1a"],
        **{"LaunchTemplate": {"LaunchTemplateName": name, "Version": "$Latest"}} | more)


def causes(scaling, name):
    found = scaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
    return [activity["Cause"] for activity in found]


def test_nodes_start_by_a_version_of_a_launch_template(racks, name):
    ec2, scaling = racks.client("ec2"), racks.client("autoscaling")
    made = template(ec2, name, UserData=base64.b64encode(b"ECS_CLUSTER=blue\n").decode(), TagSpecifications=[
        {"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "a"}, {"Key": "rack", "Value": "1"}]}])
    assert (made["DefaultVersionNumber"], made["LatestVersionNumber"]) == (1, 1)
    make(scaling, name, DesiredCapacity=1, Tags=[
        {"Key": "team", "Value": "b", "PropagateAtLaunch": True},
        {"Key": "kept", "Value": "c", "PropagateAtLaunch": False}])

    def noted():
        return [text for p in racks.kept.iterdir() if "ECS_CLUSTER=blue" in (text := p.read_text())]

    told = eventually(noted, what="a node is ordered")[0].splitlines()
    for line in ("WHARF_NODE_CLUSTER=blue", "WHARF_NODE_INSTANCE_TYPE=t3.nano", "WHARF_NODE_TAGS=rack=1",
                 "team=b", "ECS_CLUSTER=blue"):
        assert line in told, told
    assert "kept=c" not in told
    node, = group(scaling, name)["Instances"]
    assert node["LaunchTemplate"] == {
        "LaunchTemplateId": made["LaunchTemplateId"], "LaunchTemplateName": name, "Version": "1"}
    ec2.create_launch_template_version(
        LaunchTemplateName=name, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.small"})
    scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)

    def second():
        return {n["InstanceType"]: n["LaunchTemplate"]["Version"] for n in group(scaling, name)["Instances"]}

    eventually(lambda: second() == {"t3.nano": "1", "t3.small": "2"}, what="the newest version counts")
    versions = ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
    assert [v["VersionNumber"] for v in versions] == [2, 1]
    assert versions[0]["LaunchTemplateData"]["ImageId"] == "ami-1"
    assert versions[0]["LaunchTemplateData"]["UserData"] == versions[1]["LaunchTemplateData"]["UserData"]
    # Gone while the group uses it: what cannot be started is told, and another one mends it.
    scaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["Terminate"])
    ec2.delete_launch_template(LaunchTemplateName=name)
    scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=3)

    def failed():
        found = scaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
        return [a for a in found if a["StatusCode"] == "Failed" and "is not there" in a["StatusMessage"]]

    eventually(failed, what="the failure is told")
    other = template(ec2, f"{name}-2")
    scaling.update_auto_scaling_group(
        AutoScalingGroupName=name, LaunchTemplate={"LaunchTemplateId": other["LaunchTemplateId"]})
    eventually(lambda: len(list(racks.kept.iterdir())) == 3, within=30, what="the third is ordered")


def test_launch_templates_are_told_and_changed_as_clients_do(wharf, name):
    ec2 = wharf.client("ec2")
    made = template(ec2, name)
    again = dict(LaunchTemplateName=f"{name}-t", ClientToken="t",
                 LaunchTemplateData={"InstanceType": "t3.nano"})
    one, two = ec2.create_launch_template(**again), ec2.create_launch_template(**again)
    assert one["LaunchTemplate"] == two["LaunchTemplate"]
    with refused("InvalidLaunchTemplateName.AlreadyExistsException", "already in use"):
        template(ec2, name)
    with refused("InvalidLaunchTemplateName.MalformedException", "between 3 and 128"):
        template(ec2, "a b")
    with refused("UnsupportedOperation", "BlockDeviceMappings"):
        template(ec2, f"{name}-x", BlockDeviceMappings=[{"DeviceName": "/dev/sda"}])
    with refused("InvalidParameterValue", 'ResourceType "volume"'):
        template(ec2, f"{name}-x", TagSpecifications=[{"ResourceType": "volume", "Tags": []}])
    with refused("InvalidLaunchTemplateName.NotFoundException", "does not exist"):
        ec2.describe_launch_templates(LaunchTemplateNames=["nobody"])
    with refused("InvalidLaunchTemplateId.Malformed", "begins with lt-"):
        ec2.describe_launch_templates(LaunchTemplateIds=["x"])
    with refused("DryRunOperation", "would have succeeded"):
        ec2.describe_launch_templates(DryRun=True)
    for description in ("two", "three"):
        version = ec2.create_launch_template_version(
            LaunchTemplateId=made["LaunchTemplateId"], VersionDescription=description,
            LaunchTemplateData={"InstanceType": "t3.micro"})["LaunchTemplateVersion"]
    assert version["VersionNumber"] == 3 and version["DefaultVersion"] is False
    changed = ec2.modify_launch_template(LaunchTemplateName=name, DefaultVersion="2")["LaunchTemplate"]
    assert (changed["DefaultVersionNumber"], changed["LatestVersionNumber"]) == (2, 3)
    done = ec2.delete_launch_template_versions(LaunchTemplateName=name, Versions=["1", "2", "9"])
    assert [v["VersionNumber"] for v in done["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]
    codes = {v["VersionNumber"]: v["ResponseError"]["Code"]
             for v in done["UnsuccessfullyDeletedLaunchTemplateVersions"]}
    assert codes == {2: "unexpectedError", 9: "launchTemplateVersionDoesNotExist"}
    with refused("InvalidLaunchTemplateId.VersionNotFound", "version 1"):
        ec2.describe_launch_template_versions(LaunchTemplateName=name, Versions=["1"])
    filtered = ec2.describe_launch_templates(
        Filters=[{"Name": "launch-template-name", "Values": [f"{name}*"]}])["LaunchTemplates"]
    assert {t["LaunchTemplateName"] for t in filtered} == {name, f"{name}-t"}
    moving = ec2.describe_launch_template_versions(Versions=["$Default"])["LaunchTemplateVersions"]
    assert {v["VersionNumber"] for v in moving if v["LaunchTemplateName"] == name} == {2}
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateName=name, PaginationConfig={"PageSize": 1})
    assert [v["VersionNumber"] for page in pages for v in page["LaunchTemplateVersions"]] == [3, 2]
    for each in (name, f"{name}-t"):
        ec2.delete_launch_template(LaunchTemplateName=each)


def test_policies_move_a_group(racks, name):
    ec2, scaling, cloudwatch = (racks.client(s) for s in ("ec2", "autoscaling", "cloudwatch"))
    template(ec2, name)
    make(scaling, name, DefaultCooldown=3600, DesiredCapacity=1)
    up = scaling.put_scaling_policy(
        AutoScalingGroupName=name, PolicyName="up", AdjustmentType="ChangeInCapacity",
        ScalingAdjustment=1)["PolicyARN"]
    scaling.execute_policy(AutoScalingGroupName=name, PolicyName="up")
    assert group(scaling, name)["DesiredCapacity"] == 2
    eventually(lambda: any("user request executed policy up" in c for c in causes(scaling, name)),
               what="the activity tells of the policy")
    with refused("ScalingActivityInProgress", "in progress"):
        scaling.execute_policy(AutoScalingGroupName=name, PolicyName=up, HonorCooldown=True)
    with refused("ScalingActivityInProgress", "in progress"):
        scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=1, HonorCooldown=True)
    steps = scaling.put_scaling_policy(
        AutoScalingGroupName=name, PolicyName="steps", PolicyType="StepScaling",
        AdjustmentType="PercentChangeInCapacity", MinAdjustmentMagnitude=2, EstimatedInstanceWarmup=0,
        StepAdjustments=[{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 10}])["PolicyARN"]
    with refused("ValidationError", "needs MetricValue"):
        scaling.execute_policy(AutoScalingGroupName=name, PolicyName="steps")
    scaling.execute_policy(
        AutoScalingGroupName=name, PolicyName="steps", MetricValue=59.0, BreachThreshold=50.0)
    assert group(scaling, name)["DesiredCapacity"] == 4
    # An alarm orders the step policy: 4, and two more at least, but five at most.
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="test", MetricName="m", Statistic="Average", Period=10,
        EvaluationPeriods=1, Threshold=50.0, ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[steps])

    def scaled_out():
        # Again and again, since a slow machine may look at the alarm when a period is over and past.
        cloudwatch.put_metric_data(Namespace="test", MetricData=[{"MetricName": "m", "Value": 90.0}])
        return group(scaling, name)["DesiredCapacity"] == 5

    eventually(scaled_out, within=60, what="the alarm scales out")
    eventually(lambda: any(f"alarm {name} in state ALARM triggered policy steps" in c
                           for c in causes(scaling, name)), what="the activity tells of the alarm")
    policies = scaling.describe_policies(AutoScalingGroupName=name)["ScalingPolicies"]
    assert {p["PolicyName"]: p["PolicyType"] for p in policies} == {
        "up": "SimpleScaling", "steps": "StepScaling"}
    named, = (p for p in policies if p["PolicyName"] == "steps")
    assert [a["AlarmName"] for a in named["Alarms"]] == [name]
    scaling.put_scaling_policy(
        AutoScalingGroupName=name, PolicyName="up", AdjustmentType="ChangeInCapacity",
        ScalingAdjustment=-1, Enabled=False)
    with refused("ValidationError", "disabled"):
        scaling.execute_policy(AutoScalingGroupName=name, PolicyName="up")
    scaling.delete_policy(AutoScalingGroupName=name, PolicyName="up")
    with refused("ValidationError", "No scaling policy up"):
        scaling.delete_policy(AutoScalingGroupName=name, PolicyName="up")


def test_a_policy_that_tracks_has_its_alarms_and_goes_with_its_group(racks, name):
    ec2, scaling, cloudwatch = (racks.client(s) for s in ("ec2", "autoscaling", "cloudwatch"))
    template(ec2, name)
    make(scaling, name)
    custom = {"Namespace": "AWS/ECS", "MetricName": "CPUReservation", "Statistic": "Average",
              "Dimensions": [{"Name": "ClusterName", "Value": "default"}]}
    put = scaling.put_scaling_policy(
        AutoScalingGroupName=name, PolicyName="track", PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={"TargetValue": 75.0, "CustomizedMetricSpecification": custom})
    names = {a["AlarmName"] for a in put["Alarms"]}
    assert len(names) == 2 and all(n.startswith(f"TargetTracking-{name}-Alarm") for n in names)

    def shown():
        return {a["AlarmName"] for a in cloudwatch.describe_alarms()["MetricAlarms"]} & names

    eventually(lambda: shown() == names, what="the alarms show")
    policy, = scaling.describe_policies(PolicyTypes=["TargetTrackingScaling"])["ScalingPolicies"]
    given = policy["TargetTrackingConfiguration"]
    assert given["CustomizedMetricSpecification"] == custom and given["TargetValue"] == 75.0
    with refused("ValidationError", "ASGAverageCPUUtilization is not measured"):
        scaling.put_scaling_policy(
            AutoScalingGroupName=name, PolicyName="cpu", PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={"TargetValue": 75.0, "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ASGAverageCPUUtilization"}})
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name)
    assert not scaling.describe_policies(PolicyTypes=["TargetTrackingScaling"])["ScalingPolicies"]
    eventually(lambda: not shown(), what="the alarms go")


def test_scheduled_actions_move_a_group(racks, name):
    ec2, scaling = racks.client("ec2"), racks.client("autoscaling")
    template(ec2, name)
    make(scaling, name)
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    scaling.put_scheduled_update_group_action(
        AutoScalingGroupName=name, ScheduledActionName="soon", StartTime=soon, MinSize=2, MaxSize=3)
    scaling.put_scheduled_update_group_action(
        AutoScalingGroupName=name, ScheduledActionName="nightly", Recurrence="0 22 * * 1-5",
        TimeZone="Europe/Berlin", DesiredCapacity=0, MinSize=0)
    nightly, = scaling.describe_scheduled_actions(
        AutoScalingGroupName=name, ScheduledActionNames=["nightly"])["ScheduledUpdateGroupActions"]
    assert nightly["StartTime"] > soon and nightly["TimeZone"] == "Europe/Berlin"
    eventually(lambda: group(scaling, name)["DesiredCapacity"] == 2, within=15, what="it ran")
    assert (group(scaling, name)["MinSize"], group(scaling, name)["MaxSize"]) == (2, 3)
    eventually(lambda: any("the scheduled action soon executed. Setting min size from 0 to 2." in c
                           for c in causes(scaling, name)), what="the activity tells of it")
    left = scaling.describe_scheduled_actions(AutoScalingGroupName=name)["ScheduledUpdateGroupActions"]
    assert [a["ScheduledActionName"] for a in left] == ["nightly"]
    for words, given in {
            "in the past": {"StartTime": datetime.datetime(2020, 1, 1), "MinSize": 1},
            "needs five": {"Recurrence": "0 22 * *", "MinSize": 1},
            "At least one": {"Recurrence": "0 22 * * *"},
            "min bound, 2": {"Recurrence": "0 22 * * *", "MinSize": 2, "MaxSize": 1},
            "not a time zone": {"Recurrence": "0 22 * * *", "TimeZone": "Mars", "MinSize": 1}}.items():
        with refused("ValidationError", words):
            scaling.put_scheduled_update_group_action(
                AutoScalingGroupName=name, ScheduledActionName="bad", **given)
    failed = scaling.batch_put_scheduled_update_group_action(
        AutoScalingGroupName=name, ScheduledUpdateGroupActions=[
            {"ScheduledActionName": "a", "Recurrence": "0 1 * * *", "MinSize": 1},
            {"ScheduledActionName": "b"}])["FailedScheduledUpdateGroupActions"]
    assert [f["ScheduledActionName"] for f in failed] == ["b"]
    failed = scaling.batch_delete_scheduled_action(
        AutoScalingGroupName=name, ScheduledActionNames=["a", "b"])["FailedScheduledActions"]
    assert [f["ScheduledActionName"] for f in failed] == ["b"]


def test_groups_are_described_as_asked(wharf, name):
    ec2, scaling = wharf.client("ec2"), wharf.client("autoscaling")
    made = template(ec2, name)
    with refused("ValidationError", "either LaunchTemplate"):
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=1, AvailabilityZones=["us-east-1a"])
    with refused("ValidationError", "has no version 7"):
        make(scaling, name, LaunchTemplate={"LaunchTemplateName": name, "Version": "7"})
    with refused("ValidationError", "MixedInstancesPolicy is not built"):
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=1, AvailabilityZones=["us-east-1a"],
            MixedInstancesPolicy={"LaunchTemplate": {"LaunchTemplateSpecification": {
                "LaunchTemplateName": name}}})
    ec2.create_launch_template(LaunchTemplateName=f"{name}-n", LaunchTemplateData={"ImageId": "ami-1"})
    with refused("ValidationError", "must contain the parameter InstanceType"):
        make(scaling, name, LaunchTemplate={"LaunchTemplateName": f"{name}-n"})
    make(scaling, name, LaunchTemplate={"LaunchTemplateId": made["LaunchTemplateId"]})
    found = group(scaling, name)
    assert found["LaunchTemplate"]["Version"] == "$Default" and "LaunchConfigurationName" not in found
    scaling.create_or_update_tags(Tags=[
        {"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": "a", "Value": "1",
         "PropagateAtLaunch": True}])
    tag, = scaling.describe_tags(Filters=[
        {"Name": "auto-scaling-group", "Values": [name]}, {"Name": "key", "Values": ["a"]}])["Tags"]
    assert tag["Value"] == "1" and tag["PropagateAtLaunch"] is True
    with refused("ValidationError", "there is no filter"):
        scaling.describe_tags(Filters=[{"Name": "colour", "Values": ["x"]}])
    scaling.delete_tags(Tags=[{"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": "a"}])
    assert not group(scaling, name)["Tags"]
    bare, = scaling.describe_auto_scaling_groups(
        AutoScalingGroupNames=[name], IncludeInstances=False)["AutoScalingGroups"]
    assert not bare.get("Instances")
    assert len(scaling.describe_adjustment_types()["AdjustmentTypes"]) == 3
    assert {"ProcessName": "Launch"} in scaling.describe_scaling_process_types()["Processes"]
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name)
    for each in (name, f"{name}-n"):
        ec2.delete_launch_template(LaunchTemplateName=each)


def test_tags_of_a_group_reach_container_instances(tmp_path, name):
    with server.running(tmp_path / "data", "--nodes", "local") as wharf:
        ec2, scaling, ecs = (wharf.client(s) for s in ("ec2", "autoscaling", "ecs"))
        template(ec2, name)
        make(scaling, name, DesiredCapacity=1, Tags=[
            {"Key": "team", "Value": "blue", "PropagateAtLaunch": True},
            {"Key": "own", "Value": "x", "PropagateAtLaunch": False}])

        def joined():
            ids = {node["InstanceId"] for node in group(scaling, name)["Instances"]}
            arns = ecs.list_container_instances(cluster="default")["containerInstanceArns"]
            found = ecs.describe_container_instances(
                cluster="default", containerInstances=arns, include=["TAGS"])["containerInstances"]
            return [i for i in found if i.get("ec2InstanceId") in ids]

        instance, = eventually(joined, within=60, what="the node joins")
        assert instance["tags"] == [{"key": "team", "value": "blue"}]
        kinds = {a["name"]: a.get("value") for a in instance["attributes"]}
        assert kinds["ecs.instance-type"] == "t3.nano" and kinds["ecs.ami-id"] == "ami-1"
        scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
        eventually(lambda: not scaling.describe_auto_scaling_groups()["AutoScalingGroups"],
                   within=60, what="the group goes")


def test_the_cli_sees_it(wharf, name):
    def aws(*words):
        return subprocess.run(
            [server.AWS, *words, "--output", "text"], env=server.environment(**wharf.env), check=True,
            capture_output=True, text=True).stdout.strip()

    data = '{"ImageId":"ami-1","InstanceType":"t3.nano"}'
    aws("ec2", "create-launch-template", "--launch-template-name", name, "--launch-template-data", data)
    aws("autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", name,
        "--launch-template", f"LaunchTemplateName={name},Version=1", "--min-size", "0", "--max-size", "1",
        "--availability-zones", "us-east-1a")
    arn = aws("autoscaling", "put-scaling-policy", "--auto-scaling-group-name", name, "--policy-name", "up",
              "--adjustment-type", "ChangeInCapacity", "--scaling-adjustment", "1", "--query", "PolicyARN")
    assert arn.endswith(f":autoScalingGroupName/{name}:policyName/up"), arn
    aws("autoscaling", "delete-auto-scaling-group", "--auto-scaling-group-name", name)
    aws("ec2", "delete-launch-template", "--launch-template-name", name)
