"""Where tasks may go: the cluster query language, attributes of container instances, constraints and
strategies, by boto3 and the AWS CLI."""

import json

import botocore.exceptions
import pytest

from lib.tasks import last
from lib.wait import eventually


@pytest.fixture
def node(ecs):
    """The cluster's one instance; what a test puts on it is taken off again."""
    [arn] = ecs.list_container_instances()["containerInstanceArns"]
    yield arn
    custom = [a["name"] for a in attributes(ecs, arn) if not a["name"].startswith(("ecs.", "com.", "wharf."))]
    for at in range(0, len(custom), 10):
        ecs.delete_attributes(attributes=[{"name": n, "targetId": arn} for n in custom[at:at + 10]])


def attributes(ecs, arn):
    pages = ecs.get_paginator("list_attributes").paginate(targetType="container-instance", PaginationConfig={"PageSize": 7})
    return [a for page in pages for a in page["attributes"] if a["targetId"] == arn]


def refused(error, code, *words):
    assert error.value.response["Error"]["Code"] == code
    message = error.value.response["Error"]["Message"]
    assert all(word in message for word in words), message
    return message


def test_attributes_are_put_listed_and_deleted(ecs, node):
    put = ecs.put_attributes(attributes=[
        {"name": "stack", "value": "prod", "targetId": node},
        {"name": "flag", "targetType": "container-instance", "targetId": last(node)},
    ])["attributes"]
    assert put == [{"name": "stack", "value": "prod", "targetId": node}, {"name": "flag", "targetId": node}]
    ecs.put_attributes(attributes=[{"name": "stack", "value": "test", "targetId": node}])
    own = [a for a in attributes(ecs, node) if a["name"] in ("stack", "flag")]
    assert sorted(own, key=lambda a: a["name"]) == [
        {"name": "flag", "targetId": node}, {"name": "stack", "value": "test", "targetId": node}]
    assert len(attributes(ecs, node)) > 7, "more than one page"

    def values(**asked):
        return [a["value"] for a in ecs.list_attributes(targetType="container-instance", **asked)["attributes"]]

    assert values(attributeName="stack", attributeValue="test") == ["test"]
    assert values(attributeName="stack", attributeValue="prod") == []
    [shown] = ecs.describe_container_instances(containerInstances=[node])["containerInstances"]
    assert {"name": "stack", "value": "test"} in shown["attributes"]
    gone = ecs.delete_attributes(attributes=[
        {"name": "stack", "targetId": node}, {"name": "not-there", "targetId": node}])["attributes"]
    assert gone == [{"name": "stack", "value": "test", "targetId": node}]
    assert values(attributeName="stack") == []


def test_attributes_that_cannot_be(ecs, node):
    gone = node[:-6] + "000000"
    with pytest.raises(ecs.exceptions.TargetNotFoundException) as error:
        ecs.put_attributes(attributes=[{"name": "a", "targetId": gone}])
    refused(error, "TargetNotFoundException", gone)
    for bad, *words in [
        ({"name": "a b", "targetId": node}, "a b"),
        ({"name": "a", "value": " b", "targetId": node}, "space at an end"),
        ({"name": "a", "value": "b" * 129, "targetId": node}, "128"),
        ({"name": "a", "targetId": last(node)}, "targetType"),
        ({"name": "a"}, "targetId is missing"),
        ({"name": "ecs.instance-type", "value": "m5.large", "targetId": node}, "instance's agent"),
    ]:
        with pytest.raises(ecs.exceptions.InvalidParameterException) as error:
            ecs.put_attributes(attributes=[bad])
        refused(error, "InvalidParameterException", *words)
    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.put_attributes(attributes=[{"name": f"a{n}", "targetId": node} for n in range(11)])
    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.list_attributes(targetType="container-instance", attributeValue="prod")
    ecs.put_attributes(attributes=[{"name": f"a{n}", "targetId": node} for n in range(9)])
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.put_attributes(attributes=[{"name": f"b{n}", "targetId": node} for n in range(2)])
    refused(error, "AttributeLimitExceededException", "11 custom attributes")
    assert not [a for a in attributes(ecs, node) if a["name"].startswith("b")], "all or none"


def test_instances_are_listed_by_expressions(wharf, ecs, node):
    ecs.put_attributes(attributes=[{"name": "stack", "value": "prod", "targetId": node}])

    def found(expression):
        return ecs.list_container_instances(filter=expression)["containerInstanceArns"] == [node]

    for expression, expected in [
        ("attribute:stack == prod", True),
        ("attribute:stack=~pr.* and agentConnected == true", True),
        ("attribute:stack in [test, 'prod'] && !(attribute:none exists)", True),
        ("attribute:stack != prod or runningTasksCount > 1000", False),
        ("registeredAt > 2018-02-13 and registeredAt < 2218-02-13T00:00:00Z", True),
        ("agentVersion >= 0.0.1", True),
        ("not(task:group == database)", True),
        ("task:group exists and task:group == nobody", False),
    ]:
        assert found(expression) == expected, expression
    told = json.loads(wharf.aws("ecs", "list-container-instances", "--filter", "attribute:stack == prod"))
    assert told["containerInstanceArns"] == [node]
    for expression, *words in [
        ("attribute:stack = prod", "at character 17", "expected an operator", 'found "="'),
        ("attribute:stack == prod and", "character 25"),
        ("zone == a", "at character 1", "expected a subject"),
        ("attribute:stack =~ (?!a).*", "look-ahead"),
    ]:
        with pytest.raises(ecs.exceptions.InvalidParameterException) as error:
            ecs.list_container_instances(filter=expression)
        refused(error, "InvalidParameterException", "Invalid expression", *words)


def test_a_task_goes_where_its_expression_allows(tasks, ecs, node):
    member = [{"type": "memberOf", "expression": "attribute:stack == prod"}]
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    answer = ecs.run_task(taskDefinition=definition, placementConstraints=member)
    assert not answer["tasks"]
    [failure] = answer["failures"]
    assert failure["reason"] == "MemberOf placement constraint unsatisfied."
    assert "attribute:stack == prod" in failure["detail"]
    ecs.put_attributes(attributes=[{"name": "stack", "value": "prod", "targetId": node}])
    task = tasks.run(definition=definition, placementConstraints=member)
    tasks.running(task)
    tasks.stop(task)


def test_a_definitions_expression_holds_for_all_its_tasks(tasks, ecs, node):
    member = [{"type": "memberOf", "expression": "attribute:stack == prod"}]
    definition = tasks.define(tasks.container("on-term", 0, "forever"), placementConstraints=member)
    shown = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    assert shown["placementConstraints"] == member
    [failure] = ecs.run_task(taskDefinition=definition)["failures"]
    assert failure["reason"] == "MemberOf placement constraint unsatisfied."
    for bad, code, *words in [
        ([{"type": "distinctInstance"}], "InvalidParameterException", "distinctInstance"),
        ([{"type": "memberOf", "expression": "stack"}], "ClientException", "Invalid expression"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as error:
            tasks.define(tasks.container("exit", 0), placementConstraints=bad)
        refused(error, code, *words)


def test_a_service_says_why_it_waits_and_goes_on_when_it_may(tasks, ecs, node, name):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    member = [{"type": "memberOf", "expression": "attribute:stack == prod"}]
    tasks.create_service(definition, 1, name, placementConstraints=member)
    [event] = eventually(lambda: [
        e for e in ecs.describe_services(services=[name])["services"][0]["events"] if "unable to place" in e["message"]][:1])
    assert 'encountered error "MemberOf placement constraint unsatisfied."' in event["message"]
    ecs.put_attributes(attributes=[{"name": "stack", "value": "prod", "targetId": node}])
    tasks.stable(name)
    changed = ecs.update_service(service=name, placementConstraints=[
        {"type": "memberOf", "expression": "attribute:stack in [prod, test]"}, {"type": "distinctInstance"}])["service"]
    assert [c["type"] for c in changed["placementConstraints"]] == ["memberOf", "distinctInstance"]
