"""Roles by real clients: their life, what assuming them allows, and what a task is given of them."""

import base64
import datetime
import json

import boto3
import botocore.config
import botocore.exceptions
import pytest

from lib import images
from lib.tasks import fresh, last, one
from lib.wait import eventually

EXECUTION = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


def trust(**principal):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]})


def allow(action, resource="*"):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": action, "Resource": resource}]})


TASKS = trust(Service="ecs-tasks.amazonaws.com")


@pytest.fixture
def iam(wharf):
    return wharf.client("iam")


@pytest.fixture
def account(wharf):
    return wharf.client("sts").get_caller_identity()["Account"]


@pytest.fixture
def role(iam):
    """Makes roles; whatever a test leaves of them is removed."""
    made = []

    def make(document=TASKS, **policies):
        name = fresh("role")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        made.append(name)
        for policy, text in policies.items():
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=text)
        return arn

    yield make
    for name in made:
        remove(iam, name)


def remove(iam, name):
    try:
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        pass


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]


def session(wharf, credentials):
    """boto3 clients with temporary credentials."""
    def client(service):
        return boto3.session.Session().client(
            service, endpoint_url=wharf.endpoint, region_name=wharf.env["AWS_REGION"],
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials.get("SessionToken") or credentials["Token"],
            config=botocore.config.Config(retries={"max_attempts": 0}))
    return client


# === Their life ===


def test_a_roles_life_by_the_aws_cli(wharf, tmp_path):
    name, policy = fresh("role"), fresh("policy")
    (tmp_path / "trust.json").write_text(TASKS)
    (tmp_path / "policy.json").write_text(allow("ecs:*"))
    file = lambda which: f"file://{tmp_path}/{which}.json"
    aws = lambda *words: json.loads(wharf.aws("--output", "json", "iam", *words) or "null")

    made = aws("create-role", "--role-name", name, "--assume-role-policy-document", file("trust"),
               "--description", "for tests", "--tags", "Key=team,Value=red", "--max-session-duration", "7200")["Role"]
    assert made["Arn"].endswith(f":role/{name}") and made["Path"] == "/"
    wharf.aws("iam", "wait", "role-exists", "--role-name", name)
    shown = aws("get-role", "--role-name", name)["Role"]
    assert shown["AssumeRolePolicyDocument"] == json.loads(TASKS)
    assert shown["Tags"] == [{"Key": "team", "Value": "red"}]
    assert shown["MaxSessionDuration"] == 7200 and shown["RoleId"] == made["RoleId"]
    created = datetime.datetime.fromisoformat(shown["CreateDate"])
    assert abs(datetime.datetime.now(datetime.timezone.utc) - created) < datetime.timedelta(hours=1)

    own = aws("create-policy", "--policy-name", policy, "--policy-document", file("policy"))["Policy"]["Arn"]
    wharf.aws("iam", "wait", "policy-exists", "--policy-arn", own)
    for arn in (EXECUTION, own):
        aws("attach-role-policy", "--role-name", name, "--policy-arn", arn)
    attached = aws("list-attached-role-policies", "--role-name", name)["AttachedPolicies"]
    assert {p["PolicyArn"] for p in attached} == {EXECUTION, own}
    aws("put-role-policy", "--role-name", name, "--policy-name", "inline", "--policy-document", file("policy"))
    assert aws("list-role-policies", "--role-name", name)["PolicyNames"] == ["inline"]
    inline = aws("get-role-policy", "--role-name", name, "--policy-name", "inline")
    assert inline["PolicyDocument"] == json.loads(allow("ecs:*"))
    assert aws("list-instance-profiles-for-role", "--role-name", name)["InstanceProfiles"] == []
    assert name in [r["RoleName"] for r in aws("list-roles")["Roles"]]

    failed = wharf.aws("iam", "delete-role", "--role-name", name, check=False)
    assert "(DeleteConflict)" in failed.stderr and "must detach all policies first" in failed.stderr
    for arn in (EXECUTION, own):
        aws("detach-role-policy", "--role-name", name, "--policy-arn", arn)
    aws("delete-role-policy", "--role-name", name, "--policy-name", "inline")
    aws("delete-role", "--role-name", name)
    aws("delete-policy", "--policy-arn", own)
    gone = wharf.aws("iam", "get-role", "--role-name", name, check=False)
    assert "(NoSuchEntity)" in gone.stderr


def test_lists_come_in_pages(iam, role):
    names = {last(role()) for _ in range(5)}
    pages = list(iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 2}))
    found = [r["RoleName"] for page in pages for r in page["Roles"]]
    assert len(pages) > 2 and names <= set(found) and len(found) == len(set(found))
    policies = iam.get_paginator("list_policies").paginate(Scope="AWS", PaginationConfig={"PageSize": 5})
    known = {p["PolicyName"] for page in policies for p in page["Policies"]}
    assert {"AmazonECSTaskExecutionRolePolicy", "AmazonS3ReadOnlyAccess", "AdministratorAccess"} <= known
    version = iam.get_policy(PolicyArn=EXECUTION)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=EXECUTION, VersionId=version)["PolicyVersion"]["Document"]
    assert "ecr:GetAuthorizationToken" in document["Statement"][0]["Action"]


def test_the_role_that_everybody_names_is_there(iam):
    shown = iam.get_role(RoleName="ecsTaskExecutionRole")["Role"]
    assert shown["AssumeRolePolicyDocument"] == json.loads(TASKS)
    attached = iam.list_attached_role_policies(RoleName="ecsTaskExecutionRole")["AttachedPolicies"]
    assert [p["PolicyArn"] for p in attached] == [EXECUTION]


# === Assuming them ===


def test_an_assumed_role_may_do_what_it_is_allowed(wharf, role, account):
    region = wharf.env["AWS_REGION"]
    cluster = f"arn:aws:ecs:{region}:{account}:cluster/default"
    arn = role(trust(AWS=account), see=allow("ecs:DescribeClusters", cluster))
    answer = wharf.client("sts").assume_role(RoleArn=arn, RoleSessionName="me", DurationSeconds=900)
    client = session(wharf, answer["Credentials"])
    me = f"arn:aws:sts::{account}:assumed-role/{last(arn)}/me"
    assert client("sts").get_caller_identity()["Arn"] == answer["AssumedRoleUser"]["Arn"] == me
    assert client("ecs").describe_clusters()["clusters"][0]["clusterName"] == "default"
    error = refused(client("ecs").list_tasks)
    assert error["Code"] == "AccessDeniedException"
    assert error["Message"] == (
        f"User: {me} is not authorized to perform: ecs:ListTasks on resource: "
        f"arn:aws:ecs:{region}:{account}:container-instance/default/* because no identity-based policy "
        "allows the ecs:ListTasks action")
    for service, call, arguments, code in (
            ("iam", "list_roles", {}, "AccessDenied"),
            ("ecr", "describe_repositories", {}, "AccessDeniedException"),
            ("ecr", "get_authorization_token", {}, "AccessDeniedException"),
            ("logs", "describe_log_groups", {}, "AccessDeniedException"),
            ("secretsmanager", "list_secrets", {}, "AccessDeniedException"),
            ("ssm", "get_parameter", {"Name": "/x"}, "AccessDeniedException"),
            ("ecs", "run_task", {"taskDefinition": "x"}, "AccessDeniedException")):
        error = refused(getattr(client(service), call), **arguments)
        assert error["Code"] == code and f"{service}:" in error["Message"], error


def test_who_is_not_trusted_assumes_nothing(wharf, role, account):
    sts = wharf.client("sts")
    error = refused(sts.assume_role, RoleArn=role(TASKS), RoleSessionName="me")
    assert error["Code"] == "AccessDenied" and "sts:AssumeRole on resource" in error["Message"]
    # A role that another role is trusted with needs no policy for it.
    first = role(trust(AWS=account))
    second = role(trust(AWS=first))
    third = role(trust(AWS=account))
    client = session(wharf, sts.assume_role(RoleArn=first, RoleSessionName="me")["Credentials"])
    assert client("sts").assume_role(RoleArn=second, RoleSessionName="me")["Credentials"]
    assert refused(client("sts").assume_role, RoleArn=third, RoleSessionName="me")["Code"] == "AccessDenied"


def test_stolen_halves_are_worth_nothing(wharf, role, account):
    arn = role(trust(AWS=account), all=allow("*"))
    good = wharf.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    for change in ({"SessionToken": good["SessionToken"][:-8] + "AAAAAAAA"}, {"AccessKeyId": "ASIA" + "A" * 16}):
        error = refused(session(wharf, good | change)("ecs").list_clusters)
        assert error["Code"] == "UnrecognizedClientException"
    error = refused(session(wharf, good | {"SecretAccessKey": "x" * 40})("ecs").list_clusters)
    assert error["Code"] == "InvalidSignatureException"


def test_a_registry_password_is_worth_what_its_role_may(wharf, role, account):
    arn = role(trust(AWS=account), token=allow("ecr:GetAuthorizationToken"))
    credentials = wharf.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    token = session(wharf, credentials)("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().removeprefix("AWS:")
    push = lambda: images.push(wharf, "hello", tag="by-role", password=password, check=False)
    failed = push()
    assert failed.returncode != 0 and "403" in failed.stderr, failed.stderr
    wharf.client("iam").attach_role_policy(
        RoleName=last(arn), PolicyArn="arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser")
    done = push()
    assert done.returncode == 0, done.stderr
    wharf.client("iam").detach_role_policy(
        RoleName=last(arn), PolicyArn="arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser")
    assert push().returncode != 0


# === Tasks ===


@pytest.fixture
def python(wharf):
    """The image with boto3."""
    if "python" not in wharf.images:
        wharf.images["python"] = images.provide(wharf, "python")
    return "python"


def script(wharf, text):
    """A container in the host's network that runs Python with boto3 and is given no keys."""
    return {"environment": [{"name": "AWS_ENDPOINT_URL", "value": wharf.endpoint}], "memory": 192, "command": ["-c", text]}


def test_ecs_refuses_a_role_that_does_not_trust_it(wharf, tasks, role, account):
    for arn in (role(trust(AWS=account)), f"arn:aws:iam::{account}:role/nobody"):
        definition = tasks.define(tasks.container("say", "x"), taskRoleArn=arn)
        error = refused(tasks.ecs.run_task, taskDefinition=definition)
        assert error["Code"] == "ClientException"
        assert error["Message"].startswith(f"ECS was unable to assume the role '{arn}' that was provided for this task.")


def test_a_task_whose_role_is_lost_is_stopped_with_ecs_words(wharf, tasks, role, iam):
    """As a service's next task finds it: the role was right when the service was made."""
    arn = role(TASKS)
    definition = tasks.define(tasks.container("on-term", 0, "forever"), taskRoleArn=arn)
    iam.delete_role(RoleName=last(arn))
    name = fresh("service")
    tasks.ecs.create_service(serviceName=name, taskDefinition=definition, desiredCount=1)

    def stopped():
        found = tasks.ecs.list_tasks(serviceName=name, desiredStatus="STOPPED")["taskArns"]
        return found and tasks.ecs.describe_tasks(tasks=found)["tasks"][0]

    task = eventually(stopped, within=30, what="the task stops")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith(f"ECS was unable to assume the role '{arn}'")
    tasks.ecs.delete_service(service=name, force=True)


BOTO = """
import boto3, json
who = boto3.client("sts").get_caller_identity()["Arn"]
print("who", who)
print("tasks", len(boto3.client("ecs").list_tasks()["taskArns"]))
try:
    boto3.client("ecs").list_clusters()
except Exception as error:
    print("refused", error.response["Error"]["Code"])
"""


def test_boto3_in_a_container_works_with_no_keys_given(wharf, tasks, role, python, account):
    arn = role(TASKS, see=allow("ecs:ListTasks"))
    container = tasks.container(image=python, **script(wharf, BOTO))
    task = tasks.run(definition=tasks.define(container, taskRoleArn=arn, networkMode="host"))
    described = tasks.stopped(task)
    printed = tasks.printed(task)
    assert one(described)["exitCode"] == 0, "\n".join(printed[-5:])
    assert f"who arn:aws:sts::{account}:assumed-role/{last(arn)}/{last(task)}" in printed
    assert "tasks 1" in printed and "refused AccessDeniedException" in printed


SHOW = """
import json, os, time, urllib.request
address = "http://169.254.170.2" + os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
print("credentials", urllib.request.urlopen(address).read().decode())
time.sleep(3600)
"""


def test_a_tasks_credentials_end_with_it(wharf, tasks, role, python):
    arn = role(TASKS, see=allow("ecs:ListTasks"))
    container = tasks.container(image=python, stopTimeout=2, **script(wharf, SHOW))
    task = tasks.run(definition=tasks.define(container, taskRoleArn=arn))
    [line] = tasks.prints(task, "credentials")
    credentials = json.loads(line.removeprefix("credentials "))
    assert credentials["RoleArn"] == arn
    client = session(wharf, credentials)("ecs")
    assert client.list_tasks()["taskArns"] == [task]
    tasks.stop(task)
    assert refused(client.list_tasks)["Code"] == "ExpiredTokenException"


def test_roles_outlive_a_crash(own):
    iam = own.client("iam")
    iam.create_role(RoleName="kept", AssumeRolePolicyDocument=TASKS)
    iam.put_role_policy(RoleName="kept", PolicyName="p", PolicyDocument=allow("ecs:*"))
    before = iam.get_role(RoleName="kept")["Role"]
    own.kill()
    own.start()
    assert iam.get_role(RoleName="kept")["Role"] == before
    assert iam.get_role_policy(RoleName="kept", PolicyName="p")["PolicyDocument"] == json.loads(allow("ecs:*"))
