"""Capacity providers over Auto Scaling groups whose nodes are started on this machine, by the server
itself or by a program of the user's."""

import contextlib
import json
import os
import subprocess
import textwrap

import pytest
from botocore.exceptions import ClientError

from conftest import prepared
from lib import server
from lib.tasks import Tasks
from lib.wait import eventually


@contextlib.contextmanager
def cluster_of(wharf, name, max_size=2, instance_type="t3.nano", **managed):
    """A cluster `name` with a capacity provider `name` over a group `name`."""
    scaling = wharf.client("autoscaling")
    ecs = wharf.client("ecs")
    ecs.create_cluster(clusterName=name)
    user_data = f"#!/bin/bash\necho ECS_CLUSTER={name} >> /etc/ecs/ecs.config\n"
    scaling.create_launch_configuration(
        LaunchConfigurationName=name, ImageId="ami-12345678", InstanceType=instance_type,
        UserData=user_data)  # which botocore puts in base 64
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, LaunchConfigurationName=name, MinSize=0, MaxSize=max_size,
        AvailabilityZones=["us-east-1a", "us-east-1b"], NewInstancesProtectedFromScaleIn=True)
    group, = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    provider = ecs.create_capacity_provider(name=name, autoScalingGroupProvider={
        "autoScalingGroupArn": group["AutoScalingGroupARN"],
        "managedScaling": {"status": "ENABLED", "targetCapacity": 100, "instanceWarmupPeriod": 1} | managed,
        "managedTerminationProtection": "ENABLED", "managedDraining": "ENABLED"})["capacityProvider"]
    assert provider["status"] == "ACTIVE"
    ecs.put_cluster_capacity_providers(
        cluster=name, capacityProviders=[name],
        defaultCapacityProviderStrategy=[{"capacityProvider": name, "weight": 1}])
    yield scaling, ecs


def nodes(scaling, name):
    group, = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return group["Instances"]


def remove(scaling, ecs, name):
    """Takes everything away again, in the order that AWS asks for."""
    ecs.put_cluster_capacity_providers(
        cluster=name, capacityProviders=[], defaultCapacityProviderStrategy=[])
    assert ecs.delete_capacity_provider(capacityProvider=name)["capacityProvider"]["status"] == "INACTIVE"
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)

    def gone():
        named = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return not named["AutoScalingGroups"]

    eventually(gone, within=60, what="the group is gone with its nodes")
    scaling.delete_launch_configuration(LaunchConfigurationName=name)
    assert ecs.delete_cluster(cluster=name)["cluster"]["status"] == "INACTIVE"


@pytest.fixture
def growing(tmp_path):
    """A server that starts nodes on this machine."""
    with server.running(tmp_path / "data", "--nodes", "local") as wharf:
        wharf.images = prepared(wharf)
        yield wharf


def test_nodes_come_for_tasks_and_go_after_them(growing, name):
    with cluster_of(growing, name) as (scaling, ecs):
        tasks = Tasks(growing, growing.images, cluster=name)
        definition = tasks.define(tasks.container("on-term", 0, "forever") | {"memory": 200})
        arns = tasks.run(definition=definition, count=4)
        first = tasks.describe(arns[0])
        assert first["lastStatus"] == "PROVISIONING"
        assert first["capacityProviderName"] == name and "containerInstanceArn" not in first
        tasks.running(*arns)
        # 512 MiB of a nano, less what the node has for itself: two tasks of 200 on each.
        assert len(nodes(scaling, name)) == 2
        hosts = {tasks.describe(arn)["containerInstanceArn"] for arn in arns}
        assert len(hosts) == 2
        instances = ecs.describe_container_instances(cluster=name, containerInstances=sorted(hosts))
        ids = {i["ec2InstanceId"] for i in instances["containerInstances"]}
        assert ids == {node["InstanceId"] for node in nodes(scaling, name)}
        for arn in arns:
            tasks.stop(arn)
        eventually(lambda: not nodes(scaling, name), within=90, what="idle nodes go")
        assert not ecs.list_container_instances(cluster=name)["containerInstanceArns"]
        activities = scaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
        assert {a["StatusCode"] for a in activities} == {"Successful"}
        assert any("4 tasks wait for a place" in a["Cause"] for a in activities), activities
        remove(scaling, ecs, name)


def test_a_service_moves_off_a_node_that_is_ended(growing, name):
    with cluster_of(growing, name, max_size=3) as (scaling, ecs):
        tasks = Tasks(growing, growing.images, cluster=name)
        definition = tasks.define(tasks.container("on-term", 0, "forever") | {"memory": 200})
        service = ecs.create_service(
            cluster=name, serviceName="s", taskDefinition=definition, desiredCount=2)["service"]
        assert service["capacityProviderStrategy"] == [{"capacityProvider": name, "weight": 1, "base": 0}]
        assert "launchType" not in service

        def steady():
            found, = ecs.describe_services(cluster=name, services=["s"])["services"]
            return found["runningCount"] == 2 and found["pendingCount"] == 0 and found

        eventually(steady, within=60, what="the service runs")
        node, = nodes(scaling, name)
        scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=node["InstanceId"], ShouldDecrementDesiredCapacity=False)

        def moved():
            ids = [n["InstanceId"] for n in nodes(scaling, name)]
            return node["InstanceId"] not in ids and len(ids) == 1 and steady()

        eventually(moved, within=90, what="another node has taken its place")
        ecs.delete_service(cluster=name, service="s", force=True)
        eventually(lambda: not nodes(scaling, name), within=90, what="idle nodes go")
        remove(scaling, ecs, name)


def test_nodes_outlive_their_server(growing, name):
    with cluster_of(growing, name) as (scaling, ecs):
        tasks = Tasks(growing, growing.images, cluster=name)
        definition = tasks.define(tasks.container("on-term", 0, "forever") | {"memory": 200})
        arn = tasks.run(definition=definition)
        tasks.running(arn)
        before = nodes(scaling, name)
        growing.kill()
        growing.start()

        def back():
            instances = ecs.list_container_instances(cluster=name)["containerInstanceArns"]
            found = ecs.describe_container_instances(cluster=name, containerInstances=instances)
            return all(i["agentConnected"] for i in found["containerInstances"])

        eventually(back, within=60, what="the node is back")
        assert tasks.describe(arn)["lastStatus"] == "RUNNING"
        assert [n["InstanceId"] for n in nodes(scaling, name)] == [n["InstanceId"] for n in before]
        tasks.stop(arn)
        eventually(lambda: not nodes(scaling, name), within=90, what="idle nodes go")
        remove(scaling, ecs, name)


def test_a_program_of_ones_own_starts_nodes(tmp_path, name):
    program = tmp_path / "nodes"
    kept = tmp_path / "kept"
    kept.mkdir()
    program.write_text(textwrap.dedent(f"""\
        #!/bin/sh
        # Machines that are only noted down, but for those of the type that there is none of.
        cd {kept}
        case $1 in
        start)
            [ "$WHARF_NODE_INSTANCE_TYPE" != none ] || {{ echo "no such machine" >&2; exit 1; }}
            env | grep ^WHARF_NODE_ > "$WHARF_NODE_ID" ;;
        end) rm -f "$WHARF_NODE_ID" ;;
        list) ls ;;
        esac
        """))
    program.chmod(0o700)
    with server.running(tmp_path / "data", "--node-command", str(program)) as wharf:
        wharf.images = prepared(wharf)
        with cluster_of(wharf, name, instance_type="rack") as (scaling, ecs):
            scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=0)
            tasks = Tasks(wharf, wharf.images, cluster=name)
            definition = tasks.define(tasks.container("on-term", 0, "forever"))
            arn = tasks.run(definition=definition)
            node = eventually(lambda: nodes(scaling, name), what="a node is ordered")[0]
            assert node["LifecycleState"] == "Pending"
            told = eventually(lambda: [p.read_text() for p in kept.iterdir()], what="it was noted")[0]
            assert f"WHARF_NODE_CLUSTER={name}" in told and f"WHARF_NODE_ID={node['InstanceId']}" in told
            assert tasks.describe(arn)["lastStatus"] == "PROVISIONING"
            tasks.stop(arn)
            remove(scaling, ecs, name)
            assert not list(kept.iterdir())
        other = f"{name}-x"
        with cluster_of(wharf, other, instance_type="none") as (scaling, ecs):
            tasks = Tasks(wharf, wharf.images, cluster=other)
            arn = tasks.run(definition=definition)

            def failed():
                found = scaling.describe_scaling_activities(AutoScalingGroupName=other)["Activities"]
                return [a for a in found if a["StatusCode"] == "Failed"]

            activity = eventually(failed, what="it failed")[0]
            assert "no such machine" in activity["StatusMessage"], activity
            tasks.stop(arn)
            remove(scaling, ecs, other)


def test_what_contradicts_itself_is_refused(wharf, name):
    scaling, ecs = wharf.client("autoscaling"), wharf.client("ecs")

    def refused(call, code, words, **request):
        with pytest.raises(ClientError) as caught:
            call(**request)
        error = caught.value.response["Error"]
        assert error["Code"] == code and words in error["Message"], error

    scaling.create_launch_configuration(
        LaunchConfigurationName=name, ImageId="ami-1", InstanceType="t3.nano")
    group = dict(AutoScalingGroupName=name, LaunchConfigurationName=name, MinSize=0, MaxSize=1,
                 AvailabilityZones=["us-east-1a"])
    refused(scaling.create_auto_scaling_group, "ValidationError", "min bound, 2", **group | {"MinSize": 2})
    refused(scaling.create_auto_scaling_group, "ValidationError", "not found",
            **group | {"LaunchConfigurationName": "none"})
    refused(scaling.create_auto_scaling_group, "ValidationError", "TargetGroupARNs is not built",
            **group | {"TargetGroupARNs": ["arn:x"]})
    refused(scaling.create_auto_scaling_group, "ValidationError", "Context is not built",
            **group | {"Context": "x"})
    refused(scaling.create_launch_configuration, "ValidationError", "InstanceMonitoring is not built",
            LaunchConfigurationName=f"{name}-2", ImageId="ami-1", InstanceType="t3.nano",
            InstanceMonitoring={"Enabled": True})
    scaling.create_auto_scaling_group(**group)
    refused(scaling.create_auto_scaling_group, "AlreadyExists", "already exists", **group)
    refused(scaling.set_desired_capacity, "ValidationError", "above max value 1",
            AutoScalingGroupName=name, DesiredCapacity=2)
    refused(scaling.delete_launch_configuration, "ResourceInUse", "attached",
            LaunchConfigurationName=name)
    arn = scaling.describe_auto_scaling_groups(
        AutoScalingGroupNames=[name])["AutoScalingGroups"][0]["AutoScalingGroupARN"]
    provider = dict(name=name, autoScalingGroupProvider={"autoScalingGroupArn": arn})
    refused(ecs.create_capacity_provider, "InvalidParameterException", "instance protection",
            name=name, autoScalingGroupProvider={
                "autoScalingGroupArn": arn, "managedTerminationProtection": "ENABLED",
                "managedScaling": {"status": "ENABLED"}})
    refused(ecs.create_capacity_provider, "InvalidParameterException", "there is no group",
            name=name, autoScalingGroupProvider={"autoScalingGroupArn": "nobody"})
    ecs.create_capacity_provider(**provider)
    refused(ecs.create_capacity_provider, "InvalidParameterException", "already exists", **provider)
    refused(ecs.create_capacity_provider, "InvalidParameterException", "already being used",
            **provider | {"name": f"{name}-2"})
    refused(ecs.run_task, "InvalidParameterException", "not associated", taskDefinition=Tasks(
        wharf, wharf.images).define(Tasks(wharf, wharf.images).container("exit", 0)),
        capacityProviderStrategy=[{"capacityProvider": name}])
    mixed = [{"capacityProvider": "FARGATE", "weight": 1}, {"capacityProvider": name, "weight": 1}]
    refused(ecs.put_cluster_capacity_providers, "InvalidParameterException",
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and",
            cluster="default", capacityProviders=["FARGATE", name], defaultCapacityProviderStrategy=mixed)
    refused(ecs.delete_capacity_provider, "ClientException", "not found", capacityProvider="none")
    missing = ecs.describe_capacity_providers(capacityProviders=["nobody's", name])
    assert [p["name"] for p in missing["capacityProviders"]] == [name]
    assert missing["failures"][0]["reason"] == "MISSING"
    ecs.delete_capacity_provider(capacityProvider=name)
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name)
    scaling.delete_launch_configuration(LaunchConfigurationName=name)


def test_the_cli_sees_it(wharf, name):
    def aws(*words):
        done = subprocess.run(
            [server.AWS, *words], env=server.environment(**wharf.env), check=True, capture_output=True)
        return json.loads(done.stdout) if done.stdout.strip() else None

    aws("autoscaling", "create-launch-configuration", "--launch-configuration-name", name,
        "--image-id", "ami-1", "--instance-type", "t3.nano")
    aws("autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", name,
        "--launch-configuration-name", name, "--min-size", "0", "--max-size", "1",
        "--availability-zones", "us-east-1a", "--tags", "Key=team,Value=x")
    group, = aws("autoscaling", "describe-auto-scaling-groups",
                 "--auto-scaling-group-names", name)["AutoScalingGroups"]
    assert group["Tags"][0]["Value"] == "x" and group["DesiredCapacity"] == 0
    made = aws("ecs", "create-capacity-provider", "--name", name, "--auto-scaling-group-provider",
               f"autoScalingGroupArn={group['AutoScalingGroupARN']},managedScaling={{status=ENABLED}}")
    assert made["capacityProvider"]["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 100
    made = aws("ecs", "create-cluster", "--cluster-name", name, "--capacity-providers", name,
               "--default-capacity-provider-strategy", f"capacityProvider={name},weight=1")
    assert made["cluster"]["capacityProviders"] == [name]
    aws("ecs", "put-cluster-capacity-providers", "--cluster", name, "--capacity-providers", "[]",
        "--default-capacity-provider-strategy", "[]")
    aws("ecs", "delete-capacity-provider", "--capacity-provider", name)
    aws("autoscaling", "delete-auto-scaling-group", "--auto-scaling-group-name", name)
    aws("autoscaling", "delete-launch-configuration", "--launch-configuration-name", name)
    aws("ecs", "delete-cluster", "--cluster", name)
    assert os.path.exists(server.AWS)
