"""Requests of any form, signed and sent over one connection: in JSON by hand, in the Query protocols by botocore's serialiser."""

import dataclasses
import http.client
import json
import urllib.parse

import botocore.parsers
import botocore.serialize
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back: a value when it is a success, else a code and a message."""

    status: int
    value: object
    code: str
    message: str

    def __str__(self):
        return f"{self.status} {self.code} {self.message} {str(self.value)[:300] if self.value else ''}".strip()


class Wire:
    """One connection to one service of a server."""

    def __init__(self, wharf, service):
        self.service = service
        self.host = f"127.0.0.1:{wharf.port}"
        self.port = wharf.port
        self.connection = http.client.HTTPConnection("127.0.0.1", wharf.port, timeout=30)
        env = wharf.env
        credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        metadata = service.metadata
        name = metadata.get("signingName", metadata["endpointPrefix"])
        self.signer = SigV4Auth(credentials, name, env["AWS_REGION"])
        # The JSON of Wharf's own operations botocore does not know, nor need to.
        self.model = None if service.is_json else botocore.session.get_session().get_service_model(service.name)

    def send(self, operation, body):
        return self._json(operation, body) if self.service.is_json else self._form(operation, body)

    def _json(self, operation, body):
        metadata = self.service.metadata
        status, text, _ = self._post(json.dumps(body).encode(), {
            "Content-Type": f"application/x-amz-json-{metadata['jsonVersion']}",
            "X-Amz-Target": f"{metadata['targetPrefix']}.{operation}",
        })
        value = json.loads(text) if text else {}
        if status < 300:
            return Answer(status, value, "", "")
        code = value.get("__type", "").rpartition("#")[2]
        return Answer(status, None, code, value.get("message") or value.get("Message") or "")

    def _form(self, operation, body):
        protocol = self.service.metadata["protocol"]
        model = self.model.operation_model(operation)
        serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
        form = serializer.serialize_to_request(body, model)["body"]
        status, text, headers = self._post(
            urllib.parse.urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
        parser = botocore.parsers.create_parser(protocol)
        value = parser.parse({"body": text, "headers": headers, "status_code": status}, model.output_shape)
        value.pop("ResponseMetadata", None)
        error = value.get("Error", {})
        if status < 300:
            return Answer(status, value, "", "")
        return Answer(status, None, error.get("Code", ""), error.get("Message", ""))

    def _post(self, body, headers):
        request = AWSRequest("POST", f"http://{self.host}/", data=body, headers={**headers, "Host": self.host})
        self.signer.add_auth(request)
        sent = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.prepare().headers.items()}
        for again in (True, False):
            try:
                self.connection.request("POST", "/", body=body, headers=sent)
                response = self.connection.getresponse()
                return response.status, response.read(), dict(response.getheaders())
            except (http.client.HTTPException, ConnectionError):
                # A server may close a connection that has had its time.
                self.connection.close()
                if not again:
                    raise
