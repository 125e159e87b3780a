"""What stands on the server while the cases run, so that right requests reach something; and the names by which they do."""

import contextlib

import botocore.exceptions

NAME = "conform"


class World:
    """One of everything, made again whenever a case has removed it."""

    def __init__(self, wharf):
        self.wharf = wharf
        self.ecs = wharf.client("ecs")
        self.arn = wharf.client("sts").get_caller_identity()["Arn"]
        self.account = wharf.client("sts").get_caller_identity()["Account"]

    def ensure(self):
        """Makes what is missing; what exists already answers with an error, or as it is."""
        client = self.wharf.client
        for make in (
            lambda: self.ecs.create_cluster(clusterName="default"),
            lambda: client("logs").create_log_group(logGroupName=NAME),
            lambda: client("logs").create_log_stream(logGroupName=NAME, logStreamName=NAME),
            lambda: client("ecr").create_repository(repositoryName=NAME),
            lambda: client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument=TRUST),
            lambda: client("secretsmanager").create_secret(Name=NAME, SecretString="s"),
            lambda: client("ssm").put_parameter(Name=NAME, Value="v", Type="String"),
            lambda: client("cloudwatch").put_metric_alarm(**ALARM),
            lambda: client("elbv2").create_target_group(Name=NAME, Protocol="HTTP", Port=80, VpcId=self.vpc()),
            lambda: self.ecs.create_service(serviceName=NAME, taskDefinition=NAME, desiredCount=0),
        ):
            with contextlib.suppress(botocore.exceptions.ClientError):
                make()
        with contextlib.suppress(botocore.exceptions.ClientError):
            self.ecs.describe_task_definition(taskDefinition=NAME)
            return
        self.ecs.register_task_definition(family=NAME, containerDefinitions=[{"name": "c", "image": "absent", "memory": 8}])
        with contextlib.suppress(botocore.exceptions.ClientError):
            self.ecs.create_service(serviceName=NAME, taskDefinition=NAME, desiredCount=0)

    def vpc(self):
        return self.wharf.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]

    def known(self, service):
        """Values by the names of members."""
        return KNOWN.get(service, lambda _: {})(self)

    def of_ecs(self):
        instances = self.ecs.list_container_instances()["containerInstanceArns"]
        return {
            "cluster": "default", "clusters": ["default"], "clusterName": "default", "taskDefinition": NAME,
            "taskDefinitions": [f"{NAME}:1"], "service": NAME, "services": [NAME], "serviceName": NAME, "family": NAME,
            "familyPrefix": NAME, "containerInstances": instances, "containerInstance": (instances or ["absent"])[0],
            "resourceArn": f"arn:aws:ecs:us-east-1:{self.account}:cluster/default", "image": "absent", "memory": 8,
            "count": 1, "desiredCount": 0, "maxResults": 5, "maximumPercent": 200, "minimumHealthyPercent": 50,
        }

    def of_elbv2(self):
        balancing = self.wharf.client("elbv2")
        groups = [group["TargetGroupArn"] for group in balancing.describe_target_groups()["TargetGroups"]]
        subnets = [subnet["SubnetId"] for subnet in self.wharf.client("ec2").describe_subnets()["Subnets"]]
        known = {"Subnets": subnets[:2], "VpcId": self.vpc(), "PageSize": 5}
        if groups:
            known |= {"TargetGroupArn": groups[0], "TargetGroupArns": groups[:1], "ResourceArns": groups[:1]}
        return known


TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
ALARM = {
    "AlarmName": NAME, "MetricName": "m", "Namespace": "n", "Statistic": "Average", "Period": 60,
    "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
}
KNOWN = {
    "ecs": World.of_ecs,
    "elbv2": World.of_elbv2,
    "logs": lambda _: {"logGroupName": NAME, "logStreamName": NAME, "limit": 5, "retentionInDays": 7},
    "ecr": lambda _: {"repositoryName": NAME, "repositoryNames": [NAME], "maxResults": 5},
    "iam": lambda world: {
        "RoleName": NAME, "PolicyName": NAME, "AssumeRolePolicyDocument": TRUST, "PolicyDocument": TRUST, "MaxItems": 5,
        "PolicyArn": f"arn:aws:iam::{world.account}:policy/{NAME}"},
    "secretsmanager": lambda _: {"SecretId": NAME, "Name": NAME, "MaxResults": 5},
    "ssm": lambda _: {"Name": NAME, "Names": [NAME], "MaxResults": 5},
    "cloudwatch": lambda _: {
        "AlarmName": NAME, "AlarmNames": [NAME], "MetricName": "m", "Namespace": "n", "Period": 60, "StateValue": "OK",
        "Statistic": "Average", "ComparisonOperator": "GreaterThanThreshold"},
    "application-autoscaling": lambda _: {
        "ServiceNamespace": "ecs", "ResourceId": f"service/default/{NAME}", "ScalableDimension": "ecs:service:DesiredCount",
        "PolicyName": NAME, "ScheduledActionName": NAME, "MaxResults": 5},
    "sts": lambda world: {"RoleArn": f"arn:aws:iam::{world.account}:role/{NAME}", "RoleSessionName": NAME},
}
