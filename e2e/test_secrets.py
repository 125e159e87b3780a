"""Secrets Manager and Parameter Store by boto3 and the real AWS CLI."""

import json
import signal

import pytest

from lib.tasks import fresh


@pytest.fixture
def secrets(wharf):
    return wharf.client("secretsmanager")


@pytest.fixture
def ssm(wharf):
    return wharf.client("ssm")


def refused(call, code, **words):
    with pytest.raises(Exception) as caught:
        call(**words)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    return error["Message"]


def test_a_secret_and_its_versions(secrets, name):
    made = secrets.create_secret(Name=name, SecretString="one", Description="d", Tags=[{"Key": "team", "Value": "web"}])
    assert made["ARN"].startswith(f"arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}-")
    assert len(made["ARN"].rpartition("-")[2]) == 6
    got = secrets.get_secret_value(SecretId=name)
    assert (got["SecretString"], got["VersionStages"]) == ("one", ["AWSCURRENT"])
    assert got["VersionId"] == made["VersionId"] and got["ARN"] == made["ARN"]
    put = secrets.put_secret_value(SecretId=made["ARN"], SecretBinary=b"\x00two")
    assert secrets.get_secret_value(SecretId=made["ARN"][:-7])["SecretBinary"] == b"\x00two"
    assert secrets.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    assert secrets.get_secret_value(SecretId=name, VersionId=made["VersionId"])["SecretString"] == "one"
    shown = secrets.describe_secret(SecretId=name)
    assert shown["VersionIdsToStages"] == {made["VersionId"]: ["AWSPREVIOUS"], put["VersionId"]: ["AWSCURRENT"]}
    assert shown["Tags"] == [{"Key": "team", "Value": "web"}] and shown["LastAccessedDate"]
    listed = secrets.list_secrets(Filters=[{"Key": "name", "Values": [name]}])["SecretList"]
    assert [s["ARN"] for s in listed] == [made["ARN"]]
    assert len(secrets.list_secret_version_ids(SecretId=name)["Versions"]) == 2
    batch = secrets.batch_get_secret_value(SecretIdList=[name, "not/there"])
    assert len(batch["SecretValues"]) == 1 and batch["Errors"][0]["ErrorCode"] == "ResourceNotFoundException"


def test_refusals_are_worded_as_aws_words_them(secrets, name):
    assert refused(secrets.get_secret_value, "ResourceNotFoundException", SecretId=name) == "Secrets Manager can't find the specified secret."
    secrets.create_secret(Name=name, SecretString="x")
    assert refused(secrets.create_secret, "ResourceExistsException", Name=name, SecretString="y") == \
        f"The operation failed because the secret {name} already exists."
    message = refused(secrets.get_secret_value, "ResourceNotFoundException", SecretId=name, VersionStage="AWSPENDING")
    assert message.endswith("staging label: AWSPENDING")
    assert "KmsKeyId" in refused(secrets.update_secret, "InvalidParameterException", SecretId=name, KmsKeyId="alias/mine")
    assert "AddReplicaRegions" in refused(secrets.create_secret, "InvalidParameterException", Name=fresh(), AddReplicaRegions=[{"Region": "eu-west-1"}])
    secrets.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    message = refused(secrets.get_secret_value, "InvalidRequestException", SecretId=name)
    assert "marked for deletion" in message
    secrets.restore_secret(SecretId=name)
    assert secrets.get_secret_value(SecretId=name)["SecretString"] == "x"
    secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    refused(secrets.describe_secret, "ResourceNotFoundException", SecretId=name)
    refused(secrets.rotate_secret, "NotImplemented", SecretId=name)


def test_random_passwords_are_as_asked_for(secrets):
    made = secrets.get_random_password(PasswordLength=24, ExcludePunctuation=True)["RandomPassword"]
    assert len(made) == 24 and made.isalnum()
    assert made != secrets.get_random_password(PasswordLength=24, ExcludePunctuation=True)["RandomPassword"]


def test_parameters(ssm, name):
    root = f"/{name}"
    assert ssm.put_parameter(Name=f"{root}/a", Value="1", Type="String", Tags=[{"Key": "k", "Value": name}])["Version"] == 1
    message = refused(ssm.put_parameter, "ParameterAlreadyExists", Name=f"{root}/a", Value="2", Type="String")
    assert message == "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
    again = ssm.put_parameter(Name=f"{root}/a", Value="2", Overwrite=True)
    assert (again["Version"], again["Tier"]) == (2, "Standard")
    ssm.put_parameter(Name=f"{root}/b/secret", Value="hunter2", Type="SecureString")
    ssm.label_parameter_version(Name=f"{root}/a", ParameterVersion=1, Labels=["old"])
    got = ssm.get_parameters(Names=[f"{root}/a:old", f"{root}/b/secret", "none"], WithDecryption=True)
    assert {p["Name"]: p["Value"] for p in got["Parameters"]} == {f"{root}/a": "1", f"{root}/b/secret": "hunter2"}
    assert got["InvalidParameters"] == ["none"]
    closed = ssm.get_parameter(Name=f"{root}/b/secret")["Parameter"]
    assert "hunter2" not in closed["Value"]
    assert closed["ARN"] == f"arn:aws:ssm:us-east-1:000000000000:parameter{root}/b/secret"
    assert ssm.get_parameter(Name=closed["ARN"], WithDecryption=True)["Parameter"]["Value"] == "hunter2"
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=root, Recursive=True, PaginationConfig={"PageSize": 1})
    assert [p["Name"] for page in pages for p in page["Parameters"]] == [f"{root}/a", f"{root}/b/secret"]
    history = ssm.get_parameter_history(Name=f"{root}/a")["Parameters"]
    assert [(h["Version"], h["Value"], h["Labels"]) for h in history] == [(1, "1", ["old"]), (2, "2", [])]
    tagged = ssm.describe_parameters(ParameterFilters=[{"Key": "tag:k", "Values": [name]}])["Parameters"]
    assert [p["Name"] for p in tagged] == [f"{root}/a"] and tagged[0]["LastModifiedUser"].endswith(":root")
    below = ssm.describe_parameters(ParameterFilters=[{"Key": "Path", "Option": "Recursive", "Values": [root]}])["Parameters"]
    assert len(below) == 2
    refused(ssm.get_parameter, "ParameterVersionNotFound", Name=f"{root}/a:9")
    refused(ssm.get_parameter, "ParameterNotFound", Name=f"{root}/nope")
    deep = "/" + "/".join("x" * 16)
    refused(ssm.put_parameter, "HierarchyLevelLimitExceededException", Name=deep, Value="x", Type="String")
    gone = ssm.delete_parameters(Names=[f"{root}/a", "none"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == ([f"{root}/a"], ["none"])


def test_a_parameter_refers_to_a_secret(ssm, secrets, name):
    secrets.create_secret(Name=name, SecretString='{"user":"me"}')
    got = ssm.get_parameters(Names=[f"/aws/reference/secretsmanager/{name}"], WithDecryption=True)["Parameters"][0]
    assert got["Value"] == '{"user":"me"}' and got["Type"] == "SecureString"
    assert json.loads(got["SourceResult"])["name"] == name


def test_by_the_aws_cli(wharf, name):
    wharf.aws("secretsmanager", "create-secret", "--name", name, "--secret-string", "one")
    wharf.aws("secretsmanager", "put-secret-value", "--secret-id", name, "--secret-string", "two")
    value = ["secretsmanager", "get-secret-value", "--secret-id", name, "--query", "SecretString", "--output", "text"]
    assert wharf.aws(*value) == "two"
    assert wharf.aws(*value, "--version-stage", "AWSPREVIOUS") == "one"
    wharf.aws("ssm", "put-parameter", "--name", f"/{name}/k", "--type", "SecureString", "--value", "v1")
    wharf.aws("ssm", "put-parameter", "--name", f"/{name}/k", "--value", "v2", "--overwrite")
    out = wharf.aws("ssm", "get-parameters", "--names", f"/{name}/k:1", f"/{name}/k", "--with-decryption",
                    "--query", "Parameters[].Value", "--output", "text")
    assert sorted(out.split()) == ["v1", "v2"]
    out = wharf.aws("ssm", "get-parameters-by-path", "--path", f"/{name}", "--query", "Parameters[].Name", "--output", "text")
    assert out == f"/{name}/k"
    failed = wharf.aws("ssm", "get-parameter", "--name", "/none", check=False)
    assert "ParameterNotFound" in failed.stderr


def test_nothing_is_on_the_disk_in_plain_and_all_survives_kill_9(own):
    needle = "correct-horse-battery-staple"
    own.client("secretsmanager").create_secret(Name="s", SecretString=needle)
    own.client("ssm").put_parameter(Name="p", Value=needle, Type="String")
    own.process.send_signal(signal.SIGKILL)
    own.process.wait(timeout=60)
    for path in own.data.rglob("*"):
        if path.is_file() and path.stat().st_size < 64 << 20:
            assert needle.encode() not in path.read_bytes(), path
    assert needle not in own.log.read_text(errors="replace")
    assert ((own.data / "vault" / "master-key.json").stat().st_mode & 0o777) == 0o600
    own.start()
    assert own.client("secretsmanager").get_secret_value(SecretId="s")["SecretString"] == needle
    assert own.client("ssm").get_parameter(Name="p")["Parameter"]["Value"] == needle
