"""Sessions of ExecuteCommand that outlive their websockets, and the server; and where they are logged."""

import signal
import subprocess
import time

import botocore.exceptions
import pytest

from lib import server
from lib.datachannel import Session
from lib.server import BINARY, environment
from lib.tasks import Tasks, last
from lib.wait import eventually
from test_exec import open_session, refused, start


def session(tasks, task, command="/probe talk"):
    return Session(open_session(tasks, task, command), survives=True).begun()


def lines(count):
    return "".join(f"line {n}\n" for n in range(count))


def test_a_session_goes_on_after_its_websocket_broke(tasks, wharf):
    ssm = wharf.client("ssm")
    talk = session(tasks, start(tasks))
    talk.sees("talk>")
    talk.type("env TERM\n")
    talk.sees("TERM=")
    talk.cut()
    talk.type("typed while away\n")
    talk.resume(ssm)
    talk.sees("you said typed while away")
    talk.cut()
    talk.resume(ssm).type("exit 0\n")
    assert talk.ended() == ""


def test_no_byte_is_lost_however_often_it_breaks(tasks, wharf):
    ssm, count = wharf.client("ssm"), 200_000
    talk = session(tasks, start(tasks), f"/probe bulk {count}")
    for cuts in range(1, 6):
        eventually(lambda: len(talk.output) > cuts * 200_000 or talk.closed.is_set(), within=60, every=0.001)
        if not talk.closed.is_set():
            talk.cut()
            talk.resume(ssm)
    assert talk.ended(within=120) == ""
    assert talk.text() == lines(count)


def test_a_client_takes_over_from_a_websocket_that_only_seems_to_stand(tasks, wharf):
    talk = session(tasks, start(tasks))
    talk.sees("talk>")
    talk.resume(wharf.client("ssm")).type("from the new one\n")
    talk.sees("you said from the new one")


def test_what_is_over_is_not_resumed(tasks, wharf):
    ssm = wharf.client("ssm")
    talk = session(tasks, start(tasks))
    talk.type("exit 0\n")
    assert talk.ended() == ""
    eventually(lambda: "TokenValue" not in ssm.resume_session(SessionId=talk.id), within=10)
    refused(lambda: ssm.resume_session(SessionId="someone-0123456789abcdef0"), "DoesNotExistException")


def test_sessions_are_described_and_terminated(tasks, wharf):
    ssm = wharf.client("ssm")
    task = start(tasks)
    talk = session(tasks, task)
    talk.sees("talk>")
    only = [{"key": "SessionId", "value": talk.id}]
    found, = ssm.describe_sessions(State="Active", Filters=only)["Sessions"]
    assert found["Status"] == "Connected" and last(task) in found["Target"], found
    assert found["Owner"].startswith("arn:aws:"), found
    talk.cut()
    eventually(lambda: ssm.describe_sessions(State="Active", Filters=only)["Sessions"][0]["Status"] == "Disconnected")
    talk.resume(ssm)
    assert ssm.terminate_session(SessionId=talk.id)["SessionId"] == talk.id
    assert "terminated" in talk.ended()
    assert ssm.describe_sessions(State="Active", Filters=only)["Sessions"] == []
    refused(lambda: ssm.describe_sessions(State="History"), "InvalidFilterKey")


def test_who_is_away_makes_room(tasks, wharf):
    task = start(tasks)
    one, two = session(tasks, task), session(tasks, task)
    one.sees("talk>")
    two.sees("talk>")
    one.cut()

    def third():
        try:
            return open_session(tasks, task)
        except botocore.exceptions.ClientError:
            return None

    Session(eventually(third, within=10)).begun().sees("talk>")
    two.type("still here\n")
    two.sees("you said still here")
    assert "TokenValue" not in wharf.client("ssm").resume_session(SessionId=one.id)


@pytest.fixture
def apart(own, name, tmp_path):
    """A node whose agent is a process of its own, and tasks for it."""
    own.client("ecs").create_cluster(clusterName=name)
    node = server.Wharf(tmp_path / "node")
    with open(node.log, "ab") as log:
        node.process = subprocess.Popen(
            [BINARY, "agent", "--data-dir", node.data, "--cluster", name], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, env=environment(**own.env), start_new_session=True)
    tasks = Tasks(own, own.images, cluster=name)
    eventually(lambda: tasks.ecs.list_container_instances(cluster=name)["containerInstanceArns"])
    yield tasks
    node.process.send_signal(signal.SIGTERM)
    node.process.wait(timeout=120)
    node.down()


def test_a_session_outlives_a_server_that_is_killed(own, apart):
    task = start(apart)
    talk = session(apart, task)
    talk.sees("talk>")
    talk.type("before\n")
    talk.sees("you said before")
    own.kill()
    assert talk.broken.wait(10)
    talk.type("meanwhile\n")
    own.start()
    # The server knows nothing of it until the agent comes back, which this waits for.
    talk.resume(own.client("ssm"))
    talk.sees("you said meanwhile")
    talk.type("exit 0\n")
    assert talk.ended() == ""
    assert "brought a session back" in own.told(400)


def test_a_restart_in_order_loses_nothing_either(own, apart):
    ssm, count = own.client("ssm"), 150_000
    talk = session(apart, start(apart), f"/probe bulk {count}")
    eventually(lambda: len(talk.output) > 100_000, within=60, every=0.001)
    own.terminate()
    assert talk.broken.wait(10) and not talk.closed.is_set()
    own.start()
    talk.resume(ssm)
    assert talk.ended(within=120) == ""
    assert talk.text() == lines(count)


def test_wharf_exec_goes_on_by_itself(own, apart):
    count = 150_000
    task = start(apart)
    process = subprocess.Popen(
        [BINARY, "exec", "--cluster", apart.cluster, task, "--", "/probe", "bulk", str(count)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        env=environment(**own.env))
    got = process.stdout.read(50_000)
    own.kill()
    time.sleep(0.3)
    own.start()
    rest, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert (got + rest).decode() == lines(count)


# --- Where sessions are logged --------------------------------------------------------------------


@pytest.fixture
def logged(tasks, wharf, name):
    """Sets the cluster's executeCommandConfiguration, and sets it back."""
    def to(**configuration):
        tasks.ecs.update_cluster(
            cluster=tasks.cluster, configuration={"executeCommandConfiguration": configuration})
    yield to
    to(logging="DEFAULT")


def test_a_session_is_logged_to_a_bucket(tasks, wharf, name, logged):
    s3 = wharf.client("s3")
    task = start(tasks)
    logged(logging="OVERRIDE", logConfiguration={"s3BucketName": name, "s3KeyPrefix": "audit/exec"})
    shown, = tasks.ecs.describe_clusters(clusters=[tasks.cluster], include=["CONFIGURATIONS"])["clusters"]
    assert shown["configuration"]["executeCommandConfiguration"]["logConfiguration"] == {
        "s3BucketName": name, "s3KeyPrefix": "audit/exec", "s3EncryptionEnabled": False,
        "cloudWatchEncryptionEnabled": False}
    assert name in refused(lambda: open_session(tasks, task), "ClientException")
    s3.create_bucket(Bucket=name)
    done = session(tasks, task, "/probe say one say two")
    assert done.ended() == ""

    def written():
        try:
            return s3.get_object(Bucket=name, Key=f"audit/exec/{done.id}.log")["Body"].read()
        except botocore.exceptions.ClientError:
            return None

    assert eventually(written, within=10) == b"one\r\ntwo\r\n"
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 1
    assert not s3.list_multipart_uploads(Bucket=name).get("Uploads")


def test_a_killed_server_leaves_the_log_of_its_sessions(own, own_tasks, name):
    s3 = own.client("s3")
    s3.create_bucket(Bucket=name)
    own_tasks.ecs.update_cluster(cluster="default", configuration={"executeCommandConfiguration": {
        "logging": "OVERRIDE", "logConfiguration": {"s3BucketName": name}}})
    task = start(own_tasks)
    talk = session(own_tasks, task)
    talk.type("for the record\n")
    talk.sees("you said for the record")
    # The upload stands from the beginning; what was said is in it after seconds.
    eventually(lambda: any(
        s3.list_parts(Bucket=name, Key=u["Key"], UploadId=u["UploadId"]).get("Parts")
        for u in s3.list_multipart_uploads(Bucket=name).get("Uploads", [])), within=30)
    own.kill()
    own.start()
    eventually(lambda: own_tasks.describe(task)["containers"][0]["managedAgents"][0]["lastStatus"] == "RUNNING")
    again = session(own_tasks, task, "/probe say again")
    assert again.ended() == ""
    body = s3.get_object(Bucket=name, Key=f"{talk.id}.log")["Body"].read()
    assert b"you said for the record" in body


def test_what_logging_may_not_be(tasks, logged):
    for configuration, named in [
        ({"logging": "OVERRIDE"}, "s3BucketName"),
        ({"logging": "DEFAULT", "logConfiguration": {"s3BucketName": "b"}}, "OVERRIDE"),
        ({"kmsKeyId": "alias/x"}, "kmsKeyId"),
        ({"logging": "OVERRIDE", "logConfiguration": {"s3BucketName": "b", "s3EncryptionEnabled": True}},
         "s3EncryptionEnabled"),
    ]:
        assert named in refused(lambda given=configuration: logged(**given), "InvalidParameterException")
