"""AWS's own agent as a script: its calls, handshakes and frames as version 1.105 sends them, without Docker.

Whatever the server must understand stands here in the agent's spelling, not in that of our own agent.
"""

import contextlib
import json
import time
import urllib.parse

import websocket
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from . import signed
from .wait import PATIENCE

HEX = "com.amazonaws.ecs.capability."
# The attributes of the agent in external mode beside Docker 20.10; four of them have values.
NAMES = [f"ecs.capability.{name}" for name in (
    "private-registry-authentication.secretsmanager", "secrets.ssm.environment-variables",
    "secrets.ssm.bootstrap.log-driver", "ecr-endpoint", "secrets.asm.environment-variables",
    "secrets.asm.bootstrap.log-driver", "container-ordering", "full-sync", "env-files.s3",
    "network.container-port-range", "container-restart-policy", "execution-role-ecr-pull",
    "container-health-check", "docker-plugin.local", "firelens.fluentd", "firelens.fluentbit",
    "logging-driver.awsfirelens.log-driver-buffer-limit", "firelens.non-root-user", "efs", "storage.s3-files",
    "firelens.options.config.file", "firelens.options.config.s3", "external", "ipv6-only")]
NAMES += [HEX + name for name in (
    "privileged-container", *(f"docker-remote-api.1.{n}" for n in (*range(17, 26), 28, 29, 30, 32)),
    "logging-driver.json-file", "logging-driver.none", "logging-driver.awsfirelens", "ecr-auth")]
VALUES = {"ecs.os-type": "linux", "ecs.os-family": "LINUX", "ecs.os-type-detailed": "LINUX",
          "ecs.cpu-architecture": "x86_64"}


class StockAgent:
    """One container instance, as the agent's process would be it."""

    def __init__(self, wharf, cluster, *, cpu=2048, memory=4096, ports=("22", "2375", "2376", "51678", "51679")):
        self.wharf, self.cluster, self.cpu, self.memory, self.ports = wharf, cluster, cpu, memory, list(ports)
        self.arn = None
        self.acs = self.tcs = None
        self.counter = -1

    def call(self, operation, body):
        answer = signed.call(self.wharf, operation, body, headers={
            "User-Agent": "Amazon ECS Agent - v1.105.1 (*a8b3e7d3) (linux; LINUX) (+http://aws.amazon.com/ecs/)"})
        assert answer.status == 200, answer
        return answer.json

    def register(self):
        """RegisterContainerInstance: anew, or with the ARN that the agent kept."""
        attributes = [{"name": name} for name in NAMES]
        attributes += [{"name": name, "value": value} for name, value in VALUES.items()]
        body = {
            "cluster": self.cluster, "clientToken": f"{time.time_ns():032x}",
            "instanceIdentityDocument": "", "instanceIdentityDocumentSignature": "",
            "attributes": attributes,
            "totalResources": [
                {"name": "CPU", "type": "INTEGER", "integerValue": self.cpu},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": self.memory},
                {"name": "PORTS", "type": "STRINGSET", "stringSetValue": self.ports},
                {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
            ],
        } | ({"containerInstanceArn": self.arn} if self.arn else {})
        instance = self.call("RegisterContainerInstance", body)["containerInstance"]
        # The agent exits with code 5 if an attribute with a value does not come back as it was.
        echoed = {a["name"]: a.get("value") for a in instance["attributes"]}
        assert VALUES.items() <= echoed.items(), echoed
        assert set(NAMES) <= set(echoed), set(NAMES) - set(echoed)
        self.arn = instance["containerInstanceArn"]
        return self

    def discover(self):
        found = self.call("DiscoverPollEndpoint", {
            "containerInstance": self.arn, "cluster": self.cluster, "zoneId": ""})
        return found["endpoint"], found["telemetryEndpoint"]

    def connect(self, *, first=True):
        """Both sockets, with the handshake's query and signature. `first` is a process's first connection."""
        acs, tcs = self.discover()
        self.acs = self._open(acs, {
            "agentHash": "a8b3e7d3", "agentVersion": "1.105.1", "clusterArn": self.cluster,
            "containerInstanceArn": self.arn, "dockerVersion": "DockerVersion: 20.10.24+dfsg1",
            "protocolVersion": "2", "sendCredentials": "true" if first else "false", "seqNum": "1"})
        self.tcs = self._open(tcs, {
            "agentHash": "a8b3e7d3", "agentVersion": "1.105.1", "cluster": self.cluster,
            "containerInstance": self.arn, "dockerVersion": "20.10.24+dfsg1"})
        return self

    def _open(self, base, query):
        url = f"{base.rstrip('/')}/ws?{urllib.parse.urlencode(sorted(query.items()))}"
        # Go sends a space as a plus sign and signs it as %20.
        headers = self._sign(url.replace("+", "%20"))
        return websocket.create_connection(
            url.replace("http://", "ws://", 1), timeout=60,
            header=[f"{k}: {v}" for k, v in headers.items() if k != "Host"])

    def _sign(self, url, body=b""):
        request = AWSRequest("GET", url, data=body or None)
        env = self.wharf.env
        credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(credentials, "ecs", env["AWS_REGION"]).add_auth(request)
        return {"Host": urllib.parse.urlsplit(url).netloc} | dict(request.headers.items())

    def close(self):
        for socket in (self.acs, self.tcs):
            if socket:
                with contextlib.suppress(OSError, websocket.WebSocketException):
                    socket.close()
        self.acs = self.tcs = None

    # --- ACS --------------------------------------------------------------------------------------

    def told(self, *kinds, within=20):
        """The next message of one of these types. Heartbeats on the way are answered, as the agent does."""
        end = time.monotonic() + PATIENCE * within
        while time.monotonic() < end:
            frame = json.loads(self.acs.recv())
            kind, message = frame["type"], frame["message"]
            if kind == "HeartbeatMessage":
                self.say("HeartbeatAckRequest", {"messageId": message["messageId"]})
            if kind in kinds:
                return kind, message
        raise AssertionError(f"none of {kinds}")

    def say(self, kind, message):
        self.acs.send(json.dumps({"type": kind, "message": message}))

    def ack(self, message):
        # Not …Arn: the values of the request under other names.
        self.say("AckRequest", {
            "cluster": message["clusterArn"], "containerInstance": message["containerInstanceArn"],
            "messageId": message["messageId"]})

    def payload(self):
        """The next payload. The agent ignores one without its three names, and acknowledges credentials apart."""
        _, message = self.told("PayloadMessage")
        assert message["clusterArn"] and message["containerInstanceArn"] == self.arn and message["messageId"]
        self.counter = max(self.counter, message["seqNum"])
        self.ack(message)
        for task in message["tasks"]:
            for name in ("roleCredentials", "executionRoleCredentials"):
                if name in task:
                    self.say("IAMRoleCredentialsAckRequest", {
                        "messageId": message["messageId"], "expiration": task[name]["expiration"],
                        "credentialsId": task[name]["credentialsId"]})
        return message["tasks"]

    def manifest(self):
        """The next manifest. The agent drops one whose number is not beyond all before."""
        _, message = self.told("TaskManifestMessage")
        assert message["timeline"] > self.counter, f"{message['timeline']} after {self.counter}"
        self.counter = message["timeline"]
        self.ack(message)
        return message

    # --- TCS --------------------------------------------------------------------------------------

    def publish(self, kind, message, answer):
        """A telemetry frame: a block of headers with a signature of its own, an empty line, the envelope."""
        body = json.dumps({"type": kind, "message": message})
        headers = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host;x-amz-date, Signature=x",
            "Host": f"127.0.0.1:{self.wharf.port}", "X-Amz-Date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        }
        block = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.tcs.send(f"{block}\r\n{body}")
        while (frame := json.loads(self.tcs.recv()))["type"] != answer:
            assert frame["type"] == "HeartbeatMessage", frame
        return frame

    # --- Reports ----------------------------------------------------------------------------------

    def submit(self, task, status, *, reason="", containers=(), **more):
        """SubmitTaskStateChange as the agent spells it: the cluster as configured, an empty reason."""
        answer = self.call("SubmitTaskStateChange", {
            "cluster": self.cluster, "task": task, "status": status, "reason": reason,
            "containers": list(containers)} | more)
        assert answer["acknowledgment"], answer
