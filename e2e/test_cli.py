"""The whole happy path as a person types it, by the real AWS CLI and nothing but `wharf env`."""

import json
import urllib.request

from lib import images
from lib.tasks import last
from lib.wait import eventually


def test_from_an_empty_server_to_a_service_that_heals(wharf, tasks, tmp_path, name):
    def aws(*words):
        text = wharf.aws(*words, "--output", "json")
        return json.loads(text) if text else None

    assert aws("ecs", "list-container-instances")["containerInstanceArns"]
    uri = aws("ecr", "create-repository", "--repository-name", name)["repository"]["repositoryUri"]
    images.push(wharf, "hello", name, "1", password=wharf.aws("ecr", "get-login-password"))
    assert aws("ecr", "list-images", "--repository-name", name)["imageIds"][0]["imageTag"] == "1"
    aws("logs", "create-log-group", "--log-group-name", f"/{name}")
    document = tmp_path / "definition.json"
    document.write_text(json.dumps({
        "family": name, "networkMode": "bridge",
        "containerDefinitions": [{
            "name": "web", "image": f"{uri}:1", "cpu": 64, "memory": 64,
            "portMappings": [{"containerPort": 8080}],
            "linuxParameters": {"initProcessEnabled": True},
            "logConfiguration": {"logDriver": "awslogs", "options": {
                "awslogs-group": f"/{name}", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web"}},
        }]}))
    aws("ecs", "register-task-definition", "--cli-input-json", f"file://{document}")
    aws("ecs", "create-service", "--service-name", name, "--task-definition", name, "--desired-count", "2")
    aws("ecs", "wait", "services-stable", "--services", name)
    arns = aws("ecs", "list-tasks", "--service-name", name)["taskArns"]
    assert len(arns) == 2
    for task in aws("ecs", "describe-tasks", "--tasks", *arns)["tasks"]:
        port = task["containers"][0]["networkBindings"][0]["hostPort"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert answer.read().startswith(b"Hello from")
    stream = f"web/web/{last(arns[0])}"
    eventually(lambda: aws("logs", "get-log-events", "--log-group-name", f"/{name}", "--log-stream-name", stream)["events"])
    for process in wharf.containers(last(arns[0])):
        process.kill()
    aws("ecs", "wait", "tasks-stopped", "--tasks", arns[0])
    aws("ecs", "wait", "services-stable", "--services", name)
    now = aws("ecs", "list-tasks", "--service-name", name)["taskArns"]
    assert len(now) == 2 and arns[0] not in now and arns[1] in now
    aws("ecs", "delete-service", "--service", name, "--force")
    aws("ecs", "wait", "services-inactive", "--services", name)


def test_errors_read_as_they_do_on_aws(wharf):
    done = wharf.aws("ecs", "describe-services", "--cluster", "nowhere", "--services", "x", check=False)
    assert done.returncode not in (0, 255 + 1)
    assert "An error occurred (ClusterNotFoundException) when calling the DescribeServices operation" in done.stderr


def test_the_cli_knows_who_it_is(wharf):
    told = json.loads(wharf.aws("sts", "get-caller-identity", "--output", "json"))
    assert told["Account"] == "000000000000"
