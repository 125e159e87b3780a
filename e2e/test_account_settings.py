"""Account settings: who has which, what they change, and what is refused; and two operations that have
nothing to do here, and say so."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError

from lib import server


@pytest.fixture
def own(tmp_path):
    """A server whose account nobody else uses."""
    with server.running(tmp_path / "data") as wharf:
        yield wharf


def refused(code, words, call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    assert error["Code"] == code and words in error["Message"], error


def effective(ecs, **more):
    found = ecs.list_account_settings(effectiveSettings=True, **more)["settings"]
    return {setting["name"]: setting["value"] for setting in found}


def assumed(wharf, name, *actions):
    """ECS as a role that may do these."""
    iam, sts = wharf.client("iam"), wharf.client("sts")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}))
    key = sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    return arn, boto3.session.Session().client(
        "ecs", endpoint_url=wharf.env["AWS_ENDPOINT_URL"], region_name=wharf.env["AWS_REGION"],
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key["SessionToken"])


def test_settings_are_set_listed_and_deleted(own):
    ecs = own.client("ecs")
    assert ecs.list_account_settings()["settings"] == []
    usual = effective(ecs)
    assert usual["taskLongArnFormat"] == "enabled" and usual["containerInsights"] == "disabled"
    assert usual["tagResourceAuthorization"] == "on" and usual["guardDutyActivate"] == "off"
    put = ecs.put_account_setting(name="containerInsights", value="enhanced")["setting"]
    assert put["value"] == "enhanced" and put["principalArn"].endswith(":root") and put["type"] == "user"
    assert [s["name"] for s in ecs.list_account_settings()["settings"]] == ["containerInsights"]
    assert effective(ecs, name="containerInsights", value="enabled") == {}
    pages = ecs.get_paginator("list_account_settings").paginate(
        effectiveSettings=True, PaginationConfig={"PageSize": 4})
    names = [s["name"] for page in pages for s in page["settings"]]
    assert names == sorted(usual) and len(names) == 9
    own.kill()
    own.start()
    assert effective(ecs)["containerInsights"] == "enhanced"
    deleted = ecs.delete_account_setting(name="containerInsights")["setting"]
    assert deleted["value"] == "disabled" and ecs.list_account_settings()["settings"] == []
    bad = [
        ("taskLongArnFormat", "disabled", "You can no longer disable Long Arn settings"),
        ("awsvpcTrunking", "enabled", "not built"), ("containerInsights", "on", "Invalid setting 'value'"),
        ("guardDutyActivate", "on", "read-only"), ("fargateTaskRetirementWaitPeriod", "7", "not built")]
    for name, value, words in bad:
        for call in (ecs.put_account_setting, ecs.put_account_setting_default):
            refused("InvalidParameterException", words, call, name=name, value=value)
    refused("InvalidParameterException", "not the ARN", ecs.put_account_setting,
            name="containerInsights", value="enabled", principalArn="somebody")
    refused("InvalidParameterException", "maxResults", ecs.list_account_settings, maxResults=11)


def test_new_clusters_begin_as_their_makers_setting_says(own):
    ecs = own.client("ecs")
    role, theirs = assumed(own, "maker", "ecs:*")
    other = role.replace("maker", "other")
    ecs.put_account_setting_default(name="containerInsights", value="enabled")
    theirs.put_account_setting(name="containerInsights", value="enhanced")
    assert theirs.list_account_settings()["settings"][0]["principalArn"] == role
    assert effective(ecs, principalArn=role)["containerInsights"] == "enhanced"
    assert effective(ecs, principalArn=other)["containerInsights"] == "enabled"

    def insights(client, name, **more):
        made = client.create_cluster(clusterName=name, **more)["cluster"]
        return made["settings"][0]["value"]

    assert insights(ecs, "a") == "enabled" and insights(theirs, "b") == "enhanced"
    asked = {"settings": [{"name": "containerInsights", "value": "disabled"}]}
    assert insights(theirs, "c", **asked) == "disabled"
    refused("AccessDeniedException", "of its own only", theirs.put_account_setting,
            name="containerInsights", value="enabled", principalArn=other)
    refused("InvalidParameterException", "PutAccountSettingDefault", theirs.put_account_setting,
            name="defaultLogDriverMode", value="non-blocking")
    # Root sets it for others, and what is deleted is as root has it.
    ecs.put_account_setting(name="containerInsights", value="disabled", principalArn=other)
    assert effective(ecs, principalArn=other)["containerInsights"] == "disabled"
    theirs.delete_account_setting(name="containerInsights")
    assert effective(theirs)["containerInsights"] == "enabled"


def test_tags_at_creation_are_allowed_apart_unless_that_is_off(own):
    ecs = own.client("ecs")
    _, theirs = assumed(own, "tagger", "ecs:CreateCluster")
    tagged = {"clusterName": "t", "tags": [{"key": "a", "value": "b"}]}
    refused("AccessDeniedException", "ecs:TagResource", theirs.create_cluster, **tagged)
    ecs.put_account_setting_default(name="tagResourceAuthorization", value="off")
    assert theirs.create_cluster(**tagged)["cluster"]["tags"] == tagged["tags"]
    refused("AccessDeniedException", "ecs:TagResource", theirs.tag_resource,
            resourceArn=own.client("ecs").describe_clusters(clusters=["t"])["clusters"][0]["clusterArn"],
            tags=tagged["tags"])


def test_clusters_show_what_is_asked_for(own):
    ecs = own.client("ecs")
    exec_ = {"executeCommandConfiguration": {"logging": "NONE"}}
    made = ecs.create_cluster(clusterName="c", configuration=exec_)["cluster"]
    assert made["configuration"] == exec_
    plain, = ecs.describe_clusters(clusters=["c"])["clusters"]
    assert "configuration" not in plain and plain["statistics"] == []
    whole, = ecs.describe_clusters(
        clusters=["c"], include=["CONFIGURATIONS", "STATISTICS", "ATTACHMENTS", "SETTINGS", "TAGS"])["clusters"]
    assert whole["configuration"] == exec_ and whole["attachments"] == [] and whole["statistics"]


def test_what_has_nothing_to_do_here_says_so(own, wharf):
    ecs = own.client("ecs")
    refused("NamespaceNotFoundException", "not built", ecs.list_services_by_namespace, namespace="x")
    ecs.create_cluster(clusterName="default")
    refused("InvalidParameterException", "was not found", ecs.update_container_agent, containerInstance="0" * 32)
    ecs = wharf.client("ecs")
    one = ecs.list_container_instances()["containerInstanceArns"][0]
    refused("NoUpdateAvailableException", "no update available", ecs.update_container_agent,
            containerInstance=one)
