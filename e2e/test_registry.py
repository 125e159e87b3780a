"""ECR and the registry behind it, by skopeo and by Docker where there is one."""

import base64
import os
import shutil
import subprocess

import pytest

from lib import images, kernel
from lib.tasks import fresh


def skopeo(*words, check=True):
    done = subprocess.run([kernel.tool("skopeo"), *map(str, words)], capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture
def repository(wharf):
    name = fresh("team/app")
    wharf.client("ecr").create_repository(repositoryName=name)
    return name


@pytest.fixture
def password(wharf):
    return wharf.aws("ecr", "get-login-password")


def test_a_repository_is_created_described_and_deleted(wharf):
    ecr, name = wharf.client("ecr"), fresh("repo")
    made = ecr.create_repository(repositoryName=name, tags=[{"Key": "k", "Value": "v"}])["repository"]
    assert made["repositoryUri"] == f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{name}"
    assert made["repositoryArn"] == f"arn:aws:ecr:us-east-1:000000000000:repository/{name}"
    assert made["imageTagMutability"] == "MUTABLE"
    with pytest.raises(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=name)
    assert name in [r["repositoryName"] for r in ecr.describe_repositories()["repositories"]]
    ecr.delete_repository(repositoryName=name)
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_repositories(repositoryNames=[name])


def test_the_password_is_for_user_aws(wharf, password):
    [data] = wharf.client("ecr").get_authorization_token()["authorizationData"]
    user, _, secret = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    assert user == "AWS" and secret
    assert data["proxyEndpoint"]
    assert wharf.get("/v2/")[0] == 401


def test_what_skopeo_pushes_is_described_and_pulled_back(wharf, repository, password, tmp_path):
    images.push(wharf, "hello", repository, "v1", password=password)
    ecr = wharf.client("ecr")
    [shown] = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert shown["imageTags"] == ["v1"] and shown["imageSizeInBytes"] > 1000 and shown["imagePushedAt"]
    assert {i["imageTag"] for i in ecr.list_images(repositoryName=repository)["imageIds"]} == {"v1"}
    registry = f"docker://127.0.0.1:{wharf.port}/{repository}:v1"
    digest = skopeo("inspect", "--tls-verify=false", f"--creds=AWS:{password}", "--format", "{{.Digest}}", registry).stdout.strip()
    assert digest == shown["imageDigest"]
    skopeo("copy", "--src-tls-verify=false", f"--src-creds=AWS:{password}", registry, f"oci:{tmp_path}/back:v1")
    assert digest.partition(":")[2] in os.listdir(tmp_path / "back/blobs/sha256")


def test_pushing_again_moves_the_tag_and_keeps_both(wharf, repository, password):
    images.push(wharf, "hello", repository, "v1", password=password)
    images.push(wharf, "probe", repository, "v1", password=password)
    details = wharf.client("ecr").describe_images(repositoryName=repository)["imageDetails"]
    assert sorted(d.get("imageTags", []) for d in details) == [[], ["v1"]]


def test_a_wrong_password_does_not_push(wharf, repository):
    done = images.push(wharf, "hello", repository, password="wrong", check=False)
    assert done.returncode != 0 and ("unauthorized" in done.stderr.lower() or "authentication" in done.stderr.lower())
    assert wharf.client("ecr").list_images(repositoryName=repository)["imageIds"] == []


def test_a_repository_that_does_not_exist_takes_no_push(wharf, password):
    done = images.push(wharf, "hello", "never-made", password=password, check=False)
    assert done.returncode != 0 and "does not exist" in done.stderr, done.stderr


def test_tags_that_may_not_move(wharf, repository, password):
    wharf.client("ecr").put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    images.push(wharf, "hello", repository, "v1", password=password)
    done = images.push(wharf, "probe", repository, "v1", password=password, check=False)
    assert done.returncode != 0 and "immutable" in done.stderr.lower(), done.stderr


def test_a_pushed_image_runs_by_tag_and_by_digest(wharf, tasks, repository, password):
    images.push(wharf, "probe", repository, "v1", password=password)
    ecr = wharf.client("ecr")
    [shown] = ecr.describe_images(repositoryName=repository)["imageDetails"]
    uri = ecr.describe_repositories(repositoryNames=[repository])["repositories"][0]["repositoryUri"]
    for reference in (f"{uri}:v1", f"{uri}@{shown['imageDigest']}"):
        task = tasks.finish(tasks.container("exit", 3, image=reference))
        assert task["containers"][0]["exitCode"] == 3
        assert task["containers"][0]["imageDigest"] == shown["imageDigest"]


def test_a_tag_that_was_moved_is_pulled_again(wharf, tasks, repository, password):
    images.push(wharf, "hello", repository, "v1", password=password)
    uri = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{repository}:v1"
    definition = tasks.define(tasks.container("exit", 3, image=uri, entryPoint=["/probe"]))
    assert "exitCode" not in tasks.stopped(tasks.run(definition=definition))["containers"][0]
    images.push(wharf, "probe", repository, "v1", password=password)
    task = tasks.stopped(tasks.run(definition=definition))
    assert task["containers"][0]["exitCode"] == 3
    assert task["createdAt"] <= task["pullStartedAt"] <= task["pullStoppedAt"] <= task["startedAt"]


@pytest.mark.docker
def test_docker_logs_in_pushes_and_pulls(wharf, repository, password, tmp_path):
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("there is no Docker Engine on this machine")
    environment = os.environ | {"DOCKER_CONFIG": str(tmp_path)}

    def docker(*words, **more):
        done = subprocess.run(["docker", *words], capture_output=True, text=True, env=environment, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    reference = f"127.0.0.1:{wharf.port}/{repository}:docker"
    try:
        skopeo("copy", f"oci:{images.layout('hello')}:hello", f"docker-daemon:{reference}")
        docker("login", f"127.0.0.1:{wharf.port}", "--username", "AWS", "--password-stdin", input=password)
        docker("push", reference)
        docker("rmi", reference)
        docker("pull", reference)
    finally:
        subprocess.run(["docker", "rmi", "--force", reference], capture_output=True)
    [shown] = wharf.client("ecr").describe_images(repositoryName=repository)["imageDetails"]
    assert shown["imageTags"] == ["docker"]
