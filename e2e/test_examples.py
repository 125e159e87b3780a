"""The requests and answers that AWS publishes as examples of ECS, replayed in order against the binary: what botocore has
of them, made live by the names and ARNs that are true here. Each answer has every member of the published one, of the
same kind, and the same value wherever the request or the preparation decides it."""

import datetime

import boto3
import botocore.exceptions
import botocore.loaders
import pytest

from lib.tasks import last, patience
from lib.wait import eventually

# What the published request or the preparation decides; all else is of the moment.
DECIDED = {
    "clusterName", "serviceName", "family", "name", "value", "status", "desiredStatus", "image", "command", "cpu", "memory",
    "essential", "links", "environment", "volumes", "mountPoints", "volumesFrom", "revision", "maximumPercent",
    "minimumHealthyPercent", "key", "type",
}
# A node of one's own is no instance of EC2.
ABSENT = {"ec2InstanceId"}
# Settings of ARNs can no longer be "disabled", which the published answers still have.
UNDECIDED = {"ListAccountSettings": {"value"}, "DeleteAccountSetting": {"value"}}

ORDER = (
    "CreateCluster", "DescribeClusters", "ListClusters", "TagResource", "ListTagsForResource", "UntagResource",
    "PutAccountSettingDefault", "PutAccountSetting", "ListAccountSettings", "DeleteAccountSetting",
    "RegisterTaskDefinition", "DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies",
    "CreateService", "DescribeServices", "ListServices", "RunTask", "ListTasks", "DescribeTasks", "UpdateService",
    "ListContainerInstances", "DescribeContainerInstances", "DeleteService", "DeleteCluster",
    "DeregisterContainerInstance",
)


def published():
    """Every example as (operation, input, output), in an order in which they can be true."""
    loader = botocore.loaders.create_loader()
    examples = loader.load_service_model("ecs", "examples-1")["examples"]
    assert set(examples) == set(ORDER), "botocore has examples of other operations"
    return [(operation, each.get("input", {}), each.get("output", {})) for operation in ORDER
            for each in examples[operation]]


class Stage:
    """What stands before the first example, and what is true in place of what they name."""

    def __init__(self, wharf, tasks):
        self.ecs, self.tasks = wharf.client("ecs"), tasks
        self.account = wharf.client("sts").get_caller_identity()["Account"]
        self.region = wharf.env["AWS_REGION"]

    def prepare(self, examples):
        for name in ("test", "dev"):
            self.ecs.create_cluster(clusterName=name)
        [hello] = [out["taskDefinition"] for operation, _, out in examples if operation == "DescribeTaskDefinition"]
        for _ in range(hello["revision"]):
            self.ecs.register_task_definition(family=hello["family"], containerDefinitions=hello["containerDefinitions"])
        plain = [{"name": "simple-app", "image": "absent", "memory": 8, "portMappings": [{"containerPort": 80}]}]
        for family, revisions in {"node-js-app": 1, "web-timer": 1, "hpcc": 1, "hpcc-c4-8xlarge": 1, "sleep300": 2,
                                  "wordpress": 6, "console-sample-app-static": 1}.items():
            for _ in range(revisions):
                self.ecs.register_task_definition(family=family, containerDefinitions=plain)
        container = self.tasks.container("on-term", 0, "forever", name="ecs-demo", portMappings=[{"containerPort": 80}])
        self.ecs.register_task_definition(family="amazon-ecs-sample", containerDefinitions=[container])
        self.tasks.create_service("amazon-ecs-sample", 1, "my-http-service")
        self.tasks.stable("my-http-service")

    def live(self, operation, request):
        """The request with what is here in place of what it names."""
        [instance] = self.ecs.list_container_instances()["containerInstanceArns"]
        [task] = [each["taskArn"] for each in self.tasks.of_service("my-http-service")[:1]] or [""]
        here = {"containerInstance": last(instance), "containerInstances": [last(instance)], "tasks": [last(task)]}
        return {name: here.get(name, self.arn(value)) for name, value in request.items()}

    def arn(self, value):
        if not isinstance(value, str):
            return value
        value = value.replace("<aws_account_id>", self.account).replace("aws_account_id", self.account)
        return value.replace("ecs:region:", f"ecs:{self.region}:")

    def before(self, operation, request):
        """What AWS's documentation asks for before such a request."""
        if operation == "DeleteService":
            self.ecs.update_service(service=request["service"], desiredCount=0)


def kind(value):
    if isinstance(value, datetime.datetime):
        return str
    return (int, float) if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)


def missing(expected, got, undecided, at=""):
    """What of a published answer is not in this one."""
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return [f"{at} is {got!r}"]
        lost = [f"{at}.{name} is not there" for name in expected if name not in got and name not in ABSENT]
        there = [name for name in expected if name in got]
        return lost + [why for name in there for why in (
            differs(name, expected[name], got[name], undecided, f"{at}.{name}"))]
    if isinstance(expected, list):
        if not isinstance(got, list) or (expected and not got):
            return [f"{at} is {got!r}"]
        pairs = zip(expected, got) if len(got) >= len(expected) else [(expected[0], got[0])] if expected else []
        return [why for n, (one, other) in enumerate(pairs) for why in missing(one, other, undecided, f"{at}[{n}]")]
    same = kind(expected) == kind(got)
    return [] if same else [f"{at} is {got!r}, published is {expected!r}"]


def differs(name, expected, got, undecided, at):
    decided = name in DECIDED - undecided and not isinstance(expected, (dict, list))
    if decided and expected != got:
        return [f"{at} is {got!r}, published is {expected!r}"]
    if isinstance(expected, list) and name in DECIDED and not expected and got:
        return [f"{at} is {got!r}, published is empty"]
    if isinstance(expected, str) and expected.startswith("arn:aws:ecs:") and isinstance(got, str):
        same = got.split(":")[5].split("/")[0] == expected.split(":")[5].split("/")[0]
        return [] if same else [f"{at} is {got!r}, published is {expected!r}"]
    return missing(expected, got, undecided, at)


def by_name(answer):
    """Lists whose order says nothing, in that of their names."""
    if isinstance(answer, dict):
        return {name: by_name(value) for name, value in answer.items()}
    if isinstance(answer, list) and answer and all(isinstance(each, dict) and "name" in each for each in answer):
        return sorted(map(by_name, answer), key=lambda each: each["name"])
    return [by_name(each) for each in answer] if isinstance(answer, list) else answer


def names_of(answer):
    """The names that lists of names in an answer have, so that others beside them are left out."""
    return {each["name"] for value in answer.values() if isinstance(value, list)
            for each in value if isinstance(each, dict) and "name" in each}


def replay(stage, operation, request, output):
    call = getattr(stage.ecs, boto3.session.botocore.xform_name(operation))
    stage.before(operation, request)
    live = stage.live(operation, request)
    changes = not operation.startswith(("Describe", "List"))

    def look():
        answer = call(**live)
        if operation == "ListAccountSettings":
            wanted = names_of(output)
            answer["settings"] = [each for each in answer["settings"] if each["name"] in wanted]
        lost = missing(by_name(output), by_name(answer), UNDECIDED.get(operation, set()), operation)
        assert not lost, f"{operation} {live}: {lost}"
        return True

    return look() if changes else eventually(look, within=30)


def test_the_published_examples_are_answered_as_published(own, own_tasks):
    examples = published()
    stage = Stage(own, own_tasks)
    stage.prepare(examples)
    for operation, request, output in examples:
        if any("loadBalancerName" in each for each in request.get("loadBalancers", [])):
            # Classic load balancers are refused by name, and the role that goes with them.
            with pytest.raises(botocore.exceptions.ClientError) as refused:
                replay(stage, operation, request, output)
            assert refused.value.response["Error"]["Code"] == "InvalidParameterException"
            assert refused.value.response["Error"]["Message"].startswith(("role", "loadBalancers"))
            continue
        replay(stage, operation, request, output)
    for service in stage.ecs.list_services()["serviceArns"]:  # Without the one that an example has deleted.
        stage.ecs.delete_service(service=service, force=True)
    stage.ecs.get_waiter("services_inactive").wait(
        services=["ecs-simple-service", "my-http-service"], WaiterConfig=patience(60))
