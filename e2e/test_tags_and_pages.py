"""Tags, pages, and requests that are sent twice."""

import botocore.exceptions
import pytest

from lib.tasks import fresh


def as_dict(tags):
    return {tag["key"]: tag["value"] for tag in tags}


def test_tags_on_everything_that_has_an_arn(tasks, ecs, name):
    definition = tasks.define(tasks.container("on-term", 0, "forever"), tags=[{"key": "a", "value": "1"}])
    service = ecs.create_service(
        serviceName=name, taskDefinition=definition, desiredCount=0, tags=[{"key": "a", "value": "1"}])["service"]["serviceArn"]
    task = tasks.run(definition=definition, tags=[{"key": "a", "value": "1"}])
    cluster = ecs.create_cluster(clusterName=name, tags=[{"key": "a", "value": "1"}])["cluster"]["clusterArn"]
    for arn in (definition, service, task, cluster):
        assert as_dict(ecs.list_tags_for_resource(resourceArn=arn)["tags"]) == {"a": "1"}, arn
        ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "2"}, {"key": "b", "value": ""}])
        assert as_dict(ecs.list_tags_for_resource(resourceArn=arn)["tags"]) == {"a": "2", "b": ""}
        ecs.untag_resource(resourceArn=arn, tagKeys=["a", "not there"])
        assert as_dict(ecs.list_tags_for_resource(resourceArn=arn)["tags"]) == {"b": ""}
    [instance] = ecs.list_container_instances()["containerInstanceArns"]
    ecs.tag_resource(resourceArn=instance, tags=[{"key": "rack", "value": "7"}])
    [shown] = ecs.describe_container_instances(containerInstances=[instance], include=["TAGS"])["containerInstances"]
    assert as_dict(shown["tags"])["rack"] == "7"
    assert as_dict(ecs.describe_tasks(tasks=[task], include=["TAGS"])["tasks"][0]["tags"]) == {"b": ""}
    assert "tags" not in tasks.describe(task) or tasks.describe(task)["tags"] == []


def test_tags_of_a_service_and_a_definition_spread_to_tasks(tasks, ecs, name):
    definition = tasks.define(tasks.container("on-term", 0, "forever"), tags=[{"key": "from", "value": "definition"}])
    tasks.create_service(definition, 1, name, propagateTags="TASK_DEFINITION")
    tasks.stable(name)
    arn = tasks.of_service(name)[0]["taskArn"]
    assert as_dict(ecs.list_tags_for_resource(resourceArn=arn)["tags"]) == {"from": "definition"}


def test_tags_that_cannot_be(ecs, name):
    arn = ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"]
    for tags in ([{"key": "aws:mine", "value": ""}], [{"key": "k" * 129, "value": ""}],
                 [{"key": str(n), "value": ""} for n in range(51)]):
        with pytest.raises(ecs.exceptions.InvalidParameterException):
            ecs.tag_resource(resourceArn=arn, tags=tags)
    with pytest.raises(botocore.exceptions.ClientError):
        ecs.tag_resource(resourceArn=arn + "-not-there", tags=[{"key": "k", "value": "v"}])


def test_every_page_is_read_and_none_twice(tasks, ecs):
    family = fresh("pages")
    wanted = [tasks.define(tasks.container("exit", 0), family=family) for _ in range(7)]
    pages = list(ecs.get_paginator("list_task_definitions").paginate(
        familyPrefix=family, PaginationConfig={"PageSize": 3}))
    assert [len(page["taskDefinitionArns"]) for page in pages] == [3, 3, 1]
    assert [arn for page in pages for arn in page["taskDefinitionArns"]] == wanted


def test_pages_of_tasks_and_services(tasks, ecs):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    arns = set(tasks.run(definition=definition, count=5))
    pages = list(ecs.get_paginator("list_tasks").paginate(PaginationConfig={"PageSize": 2}))
    assert {arn for page in pages for arn in page["taskArns"]} == arns and len(pages) == 3
    names = {tasks.create_service(definition, 0) for _ in range(3)}
    pages = list(ecs.get_paginator("list_services").paginate(PaginationConfig={"PageSize": 2}))
    assert {arn.rpartition("/")[2] for page in pages for arn in page["serviceArns"]} == names


def test_a_token_that_was_never_given_is_refused(ecs):
    for call in (ecs.list_clusters, ecs.list_tasks, ecs.list_services, ecs.list_task_definitions):
        with pytest.raises(ecs.exceptions.InvalidParameterException):
            call(nextToken="bm9uc2Vuc2U")


def test_run_task_twice_with_one_client_token_runs_once(tasks, ecs):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    token = fresh("token")
    first = ecs.run_task(taskDefinition=definition, count=2, clientToken=token)
    again = ecs.run_task(taskDefinition=definition, count=2, clientToken=token)
    arns = [t["taskArn"] for t in first["tasks"]]
    assert sorted(arns) == sorted(t["taskArn"] for t in again["tasks"])
    assert sorted(ecs.list_tasks()["taskArns"]) == sorted(arns)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        ecs.run_task(taskDefinition=definition, count=1, clientToken=token)
    assert refused.value.response["Error"]["Code"] == "ConflictException"


def test_create_service_twice_with_one_client_token(tasks, ecs, name):
    request = {
        "serviceName": name, "taskDefinition": tasks.define(tasks.container("exit", 0)), "desiredCount": 0,
        "clientToken": fresh("token")}
    first = ecs.create_service(**request)["service"]
    assert ecs.create_service(**request)["service"]["serviceArn"] == first["serviceArn"]
