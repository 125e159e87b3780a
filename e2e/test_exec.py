"""ExecuteCommand: sessions in running containers, by the plugin's own protocol and by `wharf exec`."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import botocore.exceptions
import pytest

from lib.datachannel import Session
from lib.server import BINARY, environment
from lib.tasks import fresh, last
from lib.wait import eventually


def start(tasks, *command, **more):
    """A task that takes sessions, running."""
    task = tasks.run(*command or ["on-term", 0, "forever"], enableExecuteCommand=True, **more)
    tasks.running(task)
    return task


def open_session(tasks, task, command="/probe talk", **more):
    answer = tasks.ecs.execute_command(
        cluster=tasks.cluster, task=task, command=command, interactive=True, **more)
    return answer["session"]


def session(tasks, task, command="/probe talk", **more):
    return Session(open_session(tasks, task, command), **more).begun()


def refused(call, code):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def test_a_terminal_session_by_the_plugin_s_protocol(tasks):
    task = start(tasks)
    described = tasks.describe(task)
    assert described["enableExecuteCommand"] is True
    agent = described["containers"][0]["managedAgents"][0]
    assert (agent["name"], agent["lastStatus"]) == ("ExecuteCommandAgent", "RUNNING"), agent
    talk = session(tasks, task)
    assert talk.session_type == ["InteractiveCommands"]
    talk.size(133, 44)
    talk.sees("talk>")
    eventually(lambda: talk.type("size\n") or "44 133" in talk.text(), within=10, every=0.3)
    talk.type("env TERM\n")
    talk.sees("TERM=xterm-256color")
    talk.type("identity\n")
    talk.sees("Uid 0")
    talk.type("hello there\n")
    talk.sees("you said hello there")
    talk.type("exit 3\n")
    assert talk.ended() == "", "an ordinary end has no words, and the plugin is told no exit status"


def test_lost_messages_are_sent_again(tasks):
    talk = session(tasks, start(tasks), "/probe lines 3000", deaf=5)
    assert talk.ended() == ""
    assert talk.text() == "".join(f"line {n}\n" for n in range(3000))
    assert max(talk.times_heard.values()) > 1, "nothing was repeated"


def test_ten_megabytes_arrive_whole(tasks):
    count = 850_000
    talk = session(tasks, start(tasks), f"/probe bulk {count}")
    assert talk.ended(within=180) == ""
    assert talk.text() == "".join(f"line {n}\n" for n in range(count))


def test_two_sessions_of_a_container_and_no_third(tasks):
    task = start(tasks)
    one, two = session(tasks, task), session(tasks, task)
    one.type("first\n")
    two.type("second\n")
    one.sees("you said first")
    two.sees("you said second")
    assert "second" not in one.text()
    assert "2 ExecuteCommand sessions" in refused(lambda: open_session(tasks, task), "ClientException")
    one.hang_up()
    two.type("exit 0\n")
    two.ended()
    third = eventually(lambda: _maybe(tasks, task), within=10, what="room for a session again")
    Session(third).begun().sees("talk>")


def _maybe(tasks, task):
    try:
        return open_session(tasks, task)
    except botocore.exceptions.ClientError:
        return None


def test_what_is_refused(tasks):
    plain = tasks.run("on-term", 0, "forever")
    tasks.running(plain)
    words = refused(lambda: open_session(tasks, plain), "InvalidParameterException")
    assert "execute command was not enabled" in words
    task = start(tasks)
    ask = tasks.ecs.execute_command
    words = refused(
        lambda: ask(cluster=tasks.cluster, task=task, command="x", interactive=False), "InvalidParameterException")
    assert "Interactive" in words
    words = refused(
        lambda: open_session(tasks, task, container="nope"), "InvalidParameterException")
    assert "nope" in words
    tasks.ecs.stop_task(cluster=tasks.cluster, task=task)
    tasks.stopped(task)
    assert "stopped" in refused(lambda: open_session(tasks, task), "InvalidParameterException")


def test_a_token_opens_one_session_once(tasks):
    task = start(tasks)
    given = open_session(tasks, task)
    wrong = Session(given, token="0" * 64)
    assert "token is wrong" in wrong.ended()
    right = Session(given).begun()
    right.sees("talk>")
    again = Session(given)
    assert "token is wrong" in again.ended()
    right.type("exit 0\n")
    assert right.ended() == ""


def test_a_program_that_is_not_there(tasks):
    gone = Session(open_session(tasks, start(tasks), "/nope"))
    assert "/nope" in gone.ended()


def test_the_container_dies_during_a_session(tasks):
    task = start(tasks)
    talk = session(tasks, task)
    talk.sees("talk>")
    tasks.ecs.stop_task(cluster=tasks.cluster, task=task)
    assert "stopped" in talk.ended()


def test_the_client_s_end_is_the_program_s(tasks, wharf):
    task = start(tasks)
    talk = session(tasks, task)
    talk.sees("talk>")
    before = len(wharf.containers(last(task)))
    talk.hang_up()
    eventually(lambda: len(wharf.containers(last(task))) < before, within=15, what="the program's end")


def test_a_server_that_ends_closes_its_sessions(own, own_tasks):
    talk = session(own_tasks, start(own_tasks))
    talk.sees("talk>")
    own.terminate()
    assert talk.ended() is not None, "the end of the server is told"
    own.start()


def test_sessions_are_logged(tasks, wharf, name):
    logs, ecs = wharf.client("logs"), tasks.ecs
    task = start(tasks)
    plain = session(tasks, task, "/probe say to-the-task-s-own-group")
    plain.ended()
    # By default where the container's own output goes, in a stream named after the session.
    assert logged(logs, "/e2e", plain.id) == ["to-the-task-s-own-group"]
    group = f"/{name}"
    logs.create_log_group(logGroupName=group)
    configuration = {"executeCommandConfiguration": {
        "logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": group}}}
    ecs.update_cluster(cluster=tasks.cluster, configuration=configuration)
    try:
        other = session(tasks, task, "/probe say one say two")
        other.ended()
        assert logged(logs, group, other.id) == ["one", "two"]
        ecs.update_cluster(
            cluster=tasks.cluster, configuration={"executeCommandConfiguration": {"logging": "NONE"}})
        silent = session(tasks, task, "/probe say nothing")
        silent.ended()
        streams = logs.describe_log_streams(logGroupName="/e2e", logStreamNamePrefix=silent.id)
        assert streams["logStreams"] == []
    finally:
        ecs.update_cluster(
            cluster=tasks.cluster, configuration={"executeCommandConfiguration": {"logging": "DEFAULT"}})
    assert f"session={other.id}" in wharf.log.read_text() or other.id in wharf.log.read_text()


def logged(logs, group, stream):
    def there():
        events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
        assert events
        return [event["message"] for event in events]
    return eventually(there, within=10)


# --- wharf exec -----------------------------------------------------------------------------------


def wharf_exec(wharf, task, *words, given=b"", timeout=240):
    return subprocess.run(
        [BINARY, "exec", last(task)[:12], *words], input=given, capture_output=True, timeout=timeout,
        env=environment(**wharf.env))


def test_wharf_exec_passes_everything_through(tasks, wharf):
    task = start(tasks)
    done = wharf_exec(wharf, task, "--", "/probe", "say", "two words", "complain", "loudly", "exit", "7")
    # Output and error output come as one.
    assert (done.returncode, done.stdout) == (7, b"two words\nloudly\n"), done
    data = os.urandom(300_000)
    done = wharf_exec(wharf, task, "-c", "app", "--", "/probe", "copy", given=data)
    assert done.returncode == 0 and done.stdout == data, done.stderr
    done = wharf_exec(wharf, task, "--", "/nope")
    assert done.returncode == 127 and b"/nope" in done.stderr, done
    done = wharf_exec(wharf, "ffffffffffff", "--", "/probe")
    assert done.returncode == 1 and b"wharf ps" in done.stderr, done


def test_wharf_exec_says_how_to_enable_sessions(tasks, wharf):
    plain = tasks.run("on-term", 0, "forever")
    tasks.running(plain)
    done = wharf_exec(wharf, plain, "--", "/probe")
    assert done.returncode == 1 and b"--enable-execute-command" in done.stderr, done


def test_wharf_exec_on_a_terminal(tasks, wharf):
    task = start(tasks)
    main, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
    before = termios.tcgetattr(there)
    process = subprocess.Popen(
        [BINARY, "exec", last(task), "--", "/probe", "talk"], stdin=there, stdout=there, stderr=there,
        env=environment(**wharf.env, TERM="vt100"), start_new_session=True)
    seen = bytearray()

    def sees(part):
        def there_now():
            if select.select([main], [], [], 0.05)[0]:
                seen.extend(os.read(main, 4096))
            return part in seen
        return eventually(there_now, within=15, every=0.01, what=f"{part} in {bytes(seen)}")

    sees(b"talk>")
    os.write(main, b"size\r")
    sees(b"30 90")
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    process.send_signal(signal.SIGWINCH)
    time.sleep(0.3)
    os.write(main, b"size\r")
    sees(b"50 100")
    os.write(main, b"env TERM\r")
    sees(b"TERM=vt100")
    assert termios.tcgetattr(there) != before, "the terminal is raw during the session"
    os.write(main, b"exit 5\r")
    assert process.wait(timeout=60) == 5
    assert termios.tcgetattr(there) == before, "and as it was afterwards"
    os.close(main)
    os.close(there)


def test_a_service_s_tasks_take_sessions(tasks, wharf):
    definition = tasks.define(tasks.container("on-term", 0, "forever"))
    service = fresh("s")
    tasks.create_service(definition, name=service, enableExecuteCommand=True)
    def running():
        arns = tasks.ecs.list_tasks(cluster=tasks.cluster, serviceName=service)["taskArns"]
        return arns and tasks.describe(arns[0])["lastStatus"] == "RUNNING" and arns[0]
    task = eventually(running, within=30)
    done = wharf_exec(wharf, task, "--", "/probe", "say", "served")
    assert done.stdout == b"served\n", done
