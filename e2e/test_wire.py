"""The protocol itself: signatures, malformed requests, unknown operations."""

import json
import re

import pytest

from lib.signed import ago, call, presigned, send

IDENTITY = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}


def test_a_well_signed_call_is_answered(wharf):
    answer = call(wharf, "ListClusters")
    assert answer.status == 200 and answer.json["clusterArns"]
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-amzn-RequestId"])


def test_a_wrong_secret_is_refused(wharf):
    answer = call(wharf, "ListClusters", secret="x" * 40)
    assert (answer.status, answer.code) in [(403, "InvalidSignatureException"), (400, "InvalidSignatureException")]


def test_an_unknown_key_is_refused(wharf):
    answer = call(wharf, "ListClusters", key="AKIAUNKNOWNUNKNOWN00")
    assert answer.code == "UnrecognizedClientException" and answer.status in (400, 403)


@pytest.mark.parametrize("at", [{"minutes": 20}, {"minutes": -20}])
def test_a_clock_more_than_15_minutes_off_is_refused(wharf, at):
    answer = call(wharf, "ListClusters", at=ago(**at))
    assert answer.code == "InvalidSignatureException" and answer.status in (400, 403)
    assert "Signature" in answer.message


def test_a_clock_less_than_15_minutes_off_is_accepted(wharf):
    assert call(wharf, "ListClusters", at=ago(minutes=10)).status == 200


def test_a_body_changed_on_the_way_is_refused(wharf):
    def change(headers, body):
        return headers, b'{"maxResults":1}'
    answer = call(wharf, "ListClusters", b'{"maxResults":2}', change=change)
    assert answer.code == "InvalidSignatureException"


def test_a_header_changed_on_the_way_is_refused(wharf):
    def change(headers, body):
        return headers | {"X-Amz-Target": headers["X-Amz-Target"].replace("ListClusters", "ListTasks")}, body
    assert call(wharf, "ListClusters", change=change).code == "InvalidSignatureException"


def test_another_region_is_told_which_this_is(wharf):
    answer = call(wharf, "ListClusters", region="mars-north-1")
    assert answer.status in (400, 403) and answer.code in ("InvalidSignatureException", "SignatureDoesNotMatch")
    assert "us-east-1" in answer.message


def test_the_scopes_service_must_be_the_one_called(wharf):
    answer = call(wharf, "ListClusters", service="logs", target="AmazonEC2ContainerServiceV20141113.ListClusters")
    assert answer.status in (400, 403) and answer.code == "InvalidSignatureException"


def test_without_a_signature(wharf):
    headers = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters", "Content-Type": "application/x-amz-json-1.1"}
    answer = send(wharf, "POST", "/", headers, b"{}")
    assert answer.status in (400, 403) and answer.code == "MissingAuthenticationTokenException"


@pytest.mark.parametrize("header", ["AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=x", "Basic QUJD", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=zz"])
def test_a_broken_authorization_header(wharf, header):
    answer = call(wharf, "ListClusters", change=lambda headers, body: (headers | {"Authorization": header}, body))
    assert answer.status in (400, 403), answer
    assert answer.code in ("IncompleteSignatureException", "MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException")


def test_a_session_token_that_nobody_minted(wharf):
    answer = call(wharf, "ListClusters", token="invented")
    assert answer.status in (400, 403) and answer.code in ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException")


def test_sts_by_a_presigned_url(wharf):
    answer = presigned(wharf, IDENTITY)
    assert answer.status == 200, answer
    assert b"<Account>000000000000</Account>" in answer.body
    assert answer.headers["Content-Type"].startswith("text/xml")


def test_a_presigned_url_expires(wharf):
    answer = presigned(wharf, IDENTITY, at=ago(minutes=5), expires=60)
    assert answer.status in (400, 403) and b"<Error>" in answer.body, answer
    assert b"<Account>" not in answer.body


def test_sts_by_post(wharf):
    assert wharf.client("sts").get_caller_identity()["Arn"].startswith("arn:aws:iam::000000000000:")


@pytest.mark.parametrize("body", [b"{", b"[]", b"nul", b"\xff\xfe", b'{"cluster": }', b'"text"', b"{}{}"])
def test_malformed_json(wharf, body):
    answer = call(wharf, "ListTasks", body)
    assert (answer.status, answer.code) == (400, "SerializationException"), answer


@pytest.mark.parametrize("operation, body, names", [
    ("ListTasks", {"cluster": 7}, "cluster"),
    ("ListTasks", {"maxResults": "many"}, "maxResults"),
    ("DescribeTasks", {"tasks": "one"}, "tasks"),
    ("DescribeTasks", {"tasks": [{}]}, "tasks"),
    ("RegisterTaskDefinition", {"family": "x", "containerDefinitions": [{"memory": "lots"}]}, "memory"),
    ("RegisterTaskDefinition", {"family": "x", "containerDefinitions": {"name": "x"}}, "containerDefinitions"),
])
def test_wrong_types_are_named(wharf, operation, body, names):
    answer = call(wharf, operation, body)
    assert (answer.status, answer.code) == (400, "SerializationException"), answer
    assert names in answer.message


@pytest.mark.parametrize("operation, body", [
    ("RunTask", {}),
    ("RunTask", {"taskDefinition": ""}),
    ("DescribeTasks", {}),
    ("StopTask", {}),
    ("RegisterTaskDefinition", {"family": "x"}),
    ("CreateService", {"serviceName": ""}),
    ("RunTask", {"taskDefinition": "x", "count": 11}),
    ("RunTask", {"taskDefinition": "x", "count": -1}),
    ("RunTask", {"taskDefinition": "x", "launchType": "MOON"}),
    ("ListTasks", {"maxResults": 101}),
    ("ListTasks", {"desiredStatus": "MAYBE"}),
    ("DescribeTasks", {"tasks": [str(n) for n in range(101)]}),
])
def test_what_is_missing_or_out_of_range(wharf, operation, body):
    answer = call(wharf, operation, body)
    assert answer.status == 400, answer
    assert answer.code in ("InvalidParameterException", "ClientException"), answer
    assert answer.message.strip(), answer


def test_members_that_nobody_knows_are_overlooked(wharf):
    assert call(wharf, "ListClusters", {"fromTheFuture": {"deep": [1]}}).status == 200


def test_null_is_absent(wharf):
    assert call(wharf, "ListClusters", {"maxResults": None, "nextToken": None}).status == 200


def test_an_operation_that_is_not_built_says_so(wharf):
    answer = call(wharf, "CreateDaemon", {"daemonName": "d", "daemonTaskDefinitionArn": "d:1", "capacityProviderArns": ["c"]})
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert "CreateDaemon" in answer.message


def test_an_operation_that_does_not_exist(wharf):
    answer = call(wharf, "MakeCoffee")
    assert (answer.status, answer.code) == (400, "UnknownOperationException")
    answer = call(wharf, "x", target="NoSuchService_1.Do")
    assert (answer.status, answer.code) == (400, "UnknownOperationException")


def test_a_body_that_is_too_large_is_refused_without_reading_it_all(wharf):
    answer = call(wharf, "ListTasks", json.dumps({"cluster": "x" * (20 << 20)}))
    assert answer.status in (400, 413), answer.status


def test_every_ecs_operation_answers_something_an_sdk_can_read(wharf):
    import botocore.session
    model = botocore.session.get_session().get_service_model("ecs")
    assert len(model.operation_names) == 88
    # An agent's registration has no member that must be there: it would make an instance.
    for operation in set(model.operation_names) - {"RegisterContainerInstance"}:
        answer = call(wharf, operation, {})
        assert answer.status in (200, 400, 501), (operation, answer)
        if answer.status != 200:
            assert answer.code and answer.message, (operation, answer)


def test_other_methods_and_paths(wharf):
    assert send(wharf, "GET", "/", {}, None).status in (400, 403, 404, 405)
    assert send(wharf, "PUT", "/", {}, b"x").status in (400, 403, 404, 405)
    assert send(wharf, "POST", "/elsewhere", {}, b"x").status in (400, 403, 404, 405)


def test_error_codes_that_boto3_maps(wharf):
    ecs = wharf.client("ecs")
    for operation, body, code in (
            (ecs.list_tasks, {"cluster": "nowhere"}, "ClusterNotFoundException"),
            (ecs.describe_services, {"cluster": "nowhere", "services": ["s"]}, "ClusterNotFoundException"),
            (ecs.run_task, {"cluster": "nowhere", "taskDefinition": "t"}, "ClusterNotFoundException"),
            (ecs.describe_task_definition, {"taskDefinition": "t:1"}, "ClientException"),
            (ecs.stop_task, {"task": "0" * 32}, "InvalidParameterException"),
            (ecs.update_service, {"service": "s"}, "ServiceNotFoundException")):
        with pytest.raises(ecs.exceptions.ClientError) as refused:
            operation(**body)
        assert refused.value.response["Error"]["Code"] == code
