"""Calls to Wharf with the request signed and written out beforehand, so that what is timed is the
server's answer and not the client library's own work (which `start` reports apart)."""

import http.client
import json
import socket
from urllib.parse import urlparse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TARGETS = {
    "ecs": "AmazonEC2ContainerServiceV20141113",
    "ecr": "AmazonEC2ContainerRegistry_V20150921",
}


class Api:
    """One kept-alive connection."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.endpoint = environment["AWS_ENDPOINT_URL"]
        self.region = environment["AWS_REGION"]
        self.keys = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
        url = urlparse(self.endpoint)
        self.socket = socket.create_connection((url.hostname, url.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def prepare(self, operation: str, body: dict, service: str = "ecs") -> bytes:
        """The whole request, signed, as it goes over the wire."""
        text = json.dumps(body).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{TARGETS[service]}.{operation}"}
        request = AWSRequest("POST", self.endpoint + "/", headers, text)
        SigV4Auth(self.keys, service, self.region).add_auth(request)
        told = {**dict(request.headers.items()), "Host": urlparse(self.endpoint).netloc, "Content-Length": len(text)}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        return f"POST / HTTP/1.1\r\n{head}\r\n".encode() + text

    def send(self, prepared: bytes) -> None:
        self.socket.sendall(prepared)

    def receive(self) -> dict:
        """The answer to what was sent; raises with what the server said if it refused."""
        response = http.client.HTTPResponse(self.socket, method="POST")
        response.begin()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"wharf answered {response.status}: {text.decode(errors='replace')}")
        return json.loads(text) if text else {}

    def call(self, operation: str, body: dict, service: str = "ecs") -> dict:
        self.send(self.prepare(operation, body, service))
        return self.receive()
