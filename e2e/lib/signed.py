"""Requests by hand: signed by botocore's own signer, sent by http.client, so that anything can be sent."""

import contextlib
import datetime
import http.client
import json
import urllib.parse

import botocore.auth
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TARGETS = {
    "ecs": "AmazonEC2ContainerServiceV20141113",
    "ecr": "AmazonEC2ContainerRegistry_V20150921",
    "logs": "Logs_20140328",
}


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error's code in a JSON answer."""
        return self.json.get("__type", "").rpartition("#")[2]

    @property
    def message(self):
        return self.json.get("message") or self.json.get("Message") or ""

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def send(wharf, method, path, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", wharf.port, timeout=60)
    try:
        # A server may refuse, and close, before it has read everything.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body=body, headers=headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def call(wharf, operation, body=b"{}", *, service="ecs", region=None, key=None, secret=None, token=None,
         at=None, target=None, change=None, headers=()):
    """A JSON 1.1 call. `at` moves the signer's clock; `change` alters the request after signing."""
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    told = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": target or f"{TARGETS[service]}.{operation}",
        "Host": f"127.0.0.1:{wharf.port}",
    } | dict(headers)
    request = AWSRequest("POST", wharf.endpoint + "/", data=body, headers=told)
    credentials = Credentials(
        key or wharf.env["AWS_ACCESS_KEY_ID"], secret or wharf.env["AWS_SECRET_ACCESS_KEY"], token)
    signer = SigV4Auth(credentials, service, region or wharf.env["AWS_REGION"])
    with clock(at):
        signer.add_auth(request)
    prepared = request.prepare()
    sent = dict(prepared.headers.items())
    sent = {k: v.decode() if isinstance(v, bytes) else v for k, v in sent.items()}
    body = prepared.body
    if change:
        sent, body = change(sent, body)
    return send(wharf, "POST", "/", sent, body)


def presigned(wharf, query, *, service="sts", expires=60, at=None):
    """A GET whose signature is in the query string."""
    url = f"{wharf.endpoint}/?{urllib.parse.urlencode(query)}"
    request = AWSRequest("GET", url, headers={"Host": f"127.0.0.1:{wharf.port}"})
    credentials = Credentials(wharf.env["AWS_ACCESS_KEY_ID"], wharf.env["AWS_SECRET_ACCESS_KEY"])
    with clock(at):
        SigV4QueryAuth(credentials, service, wharf.env["AWS_REGION"], expires=expires).add_auth(request)
    parts = urllib.parse.urlsplit(request.prepare().url)
    return send(wharf, "GET", f"{parts.path}?{parts.query}", {"Host": parts.netloc}, None)


@contextlib.contextmanager
def clock(at):
    """Moves the signer's clock for a block."""
    kept = botocore.auth.get_current_datetime
    if at is not None:
        botocore.auth.get_current_datetime = lambda: at.replace(tzinfo=None)
    try:
        yield
    finally:
        botocore.auth.get_current_datetime = kept


def ago(**words):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**words)
