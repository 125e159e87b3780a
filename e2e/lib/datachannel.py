"""The client's end of ExecuteCommand's data channel, written from the message layout alone.

It behaves as session-manager-plugin does: the token in the first frame, the handshake, an acknowledgement
for each message, its own messages again until they are acknowledged, and whatever comes printed as it is.
Nothing here is shared with the program under test.
"""

import base64
import hashlib
import json
import os
import socket
import struct
import threading
import time
import urllib.parse
import uuid

from .wait import PATIENCE, eventually

OUTPUT, SIZE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE, FLAG, STDERR, EXIT = 1, 3, 5, 6, 7, 10, 11, 12


class Socket:
    """As much of RFC 6455 as a client needs."""

    def __init__(self, url):
        where = urllib.parse.urlsplit(url)
        self.stream = socket.create_connection((where.hostname, where.port), timeout=60)
        self.lock = threading.Lock()
        self.rest = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall(
            f"GET {where.path}?{where.query} HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.some()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        self.status = int(head.split()[1])
        self.stream.settimeout(None)

    def some(self):
        data = self.stream.recv(1 << 16)
        if not data:
            raise ConnectionError("the connection is closed")
        return data

    def exactly(self, count):
        while len(self.rest) < count:
            self.rest += self.some()
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def send(self, opcode, data):
        mask = os.urandom(4)
        length = len(data)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
        whole = (mask * (length // 4 + 1))[:length]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(length, "big")
        with self.lock:
            self.stream.sendall(head + mask + masked)

    def receive(self):
        """The next frame: opcode and bytes. The server sends no fragments."""
        first, second = self.exactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.exactly(8))
        return first & 0x0F, self.exactly(length)

    def close(self):
        self.stream.shutdown(socket.SHUT_RDWR)


def pack(kind, sequence, flags, payload_type, payload):
    """A message: 116 bytes of header, the payload's length, the payload."""
    identity = uuid.uuid4().bytes
    return b"".join([
        struct.pack("!I", 116), kind.encode().ljust(32, b" "), struct.pack("!I", 1),
        struct.pack("!Q", int(time.time() * 1000)), struct.pack("!q", sequence), struct.pack("!Q", flags),
        identity[8:], identity[:8], hashlib.sha256(payload).digest(),
        struct.pack("!I", payload_type), struct.pack("!I", len(payload)), payload])


def unpack(frame):
    (header,) = struct.unpack_from("!I", frame, 0)
    assert header == 116, header
    kind = frame[4:36].rstrip(b" \x00").decode()
    schema, created, sequence, flags = struct.unpack_from("!IQqQ", frame, 36)
    identity = uuid.UUID(bytes=frame[72:80] + frame[64:72])
    digest = frame[80:112]
    payload_type, length = struct.unpack_from("!II", frame, 112)
    payload = frame[120:]
    assert (schema, len(payload)) == (1, length) and created > 0
    assert not payload or hashlib.sha256(payload).digest() == digest, "the digest is wrong"
    return kind, sequence, flags, identity, payload_type, payload


class Session:
    """One session. `deaf` messages of the stream are not heard the first time, so that they come again.

    One that `survives` keeps what it knows when its websocket breaks, and goes on with `resume`."""

    def __init__(self, session, token=None, deaf=0, result=None, survives=False):
        self.id = session["sessionId"]
        self.survives, self.broken = survives, threading.Event()
        self.output, self.errors, self.exit = bytearray(), bytearray(), None
        self.closed, self.words, self.lost = threading.Event(), None, None
        self.started = threading.Event()
        self.session_type, self.times_heard = None, {}
        self.deaf, self.result = deaf, result
        self.next, self.expected, self.early, self.unacknowledged = 0, 0, {}, {}
        self.lock = threading.RLock()
        self._open(session["streamUrl"], token or session["tokenValue"])
        threading.Thread(target=self._repeat, daemon=True).start()

    def _open(self, url, token):
        self.socket = Socket(url)
        opening = {"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "TokenValue": token,
                   "ClientId": str(uuid.uuid4()), "ClientVersion": "1.2.650.0"}
        self.socket.send(1, json.dumps(opening).encode())
        threading.Thread(target=self._listen, args=[self.socket], daemon=True).start()

    # --- What the tests do ------------------------------------------------------------------------

    def begun(self, cols=80, rows=24):
        """Waits for the handshake's end and tells the terminal's size, as the plugin does first."""
        assert self.started.wait(PATIENCE * 20), f"no handshake: {self.words} {self.lost}"
        self.size(cols, rows)
        return self

    def type(self, text):
        for at in range(0, len(text), 1024):
            self.say(OUTPUT, text[at:at + 1024].encode())

    def size(self, cols, rows):
        self.say(SIZE, json.dumps({"cols": cols, "rows": rows}).encode())

    def say(self, payload_type, payload, flags=0):
        with self.lock:
            frame = pack("input_stream_data", self.next, flags, payload_type, payload)
            self.unacknowledged[self.next] = (time.monotonic(), frame)
            self.next += 1
        try:
            self.socket.send(2, frame)
        except OSError:
            # It is sent again once the session goes on.
            assert self.survives

    def text(self):
        return self.output.decode(errors="replace").replace("\r\n", "\n")

    def sees(self, part, within=20):
        def there():
            assert part in self.text(), f"{part!r} is not in {self.text()[-2000:]!r} ({self.words}, {self.lost})"
            return True
        return eventually(there, within=within, every=0.02)

    def ended(self, within=30):
        """The words at the end; None if the connection was lost without any."""
        assert self.closed.wait(PATIENCE * within), f"it goes on: {self.text()[-500:]!r}"
        return self.words

    def hang_up(self):
        """Leaves in order, by a websocket's own closing."""
        self.socket.send(8, struct.pack("!H", 1000))
        self.socket.close()

    def cut(self):
        """The connection breaks."""
        assert self.survives
        self.socket.close()
        assert self.broken.wait(PATIENCE * 10)

    def resume(self, ssm):
        """What the plugin does then: another token, another websocket, the same numbers."""
        answer = ssm.resume_session(SessionId=self.id)
        assert answer["SessionId"] == self.id and answer.get("TokenValue"), answer
        self.broken.clear()
        self._open(answer["StreamUrl"], answer["TokenValue"])
        return self

    # --- What the plugin does by itself -----------------------------------------------------------

    def _listen(self, socket):
        try:
            while True:
                opcode, data = socket.receive()
                if opcode == 8:
                    code = struct.unpack("!H", data[:2])[0] if data else 1000
                    if self.survives and code != 1000:
                        raise ConnectionError(f"closed with {code}")
                    break
                if opcode == 9:
                    socket.send(10, data)
                elif opcode == 2:
                    self._take(data)
        except (OSError, AssertionError) as error:
            if self.survives and isinstance(error, OSError) and self.words is None:
                self.broken.set()
                return
            self.lost = error
        if socket is self.socket:
            self.closed.set()

    def _take(self, frame):
        kind, sequence, flags, identity, payload_type, payload = unpack(frame)
        if kind == "acknowledge":
            acknowledged = json.loads(payload)
            assert acknowledged["AcknowledgedMessageType"] == "input_stream_data", acknowledged
            with self.lock:
                self.unacknowledged.pop(acknowledged["AcknowledgedMessageSequenceNumber"], None)
        elif kind == "channel_closed":
            closed = json.loads(payload)
            assert closed["SessionId"] == self.id, closed
            self.words = closed["Output"]
        elif kind == "output_stream_data":
            self.times_heard[sequence] = self.times_heard.get(sequence, 0) + 1
            if self.deaf and payload_type == OUTPUT and self.times_heard[sequence] == 1:
                self.deaf -= 1
                return
            content = {"AcknowledgedMessageType": kind, "AcknowledgedMessageId": str(identity),
                       "AcknowledgedMessageSequenceNumber": sequence, "IsSequentialMessage": True}
            self.socket.send(2, pack("acknowledge", 0, 3, 0, json.dumps(content).encode()))
            assert (flags & 1 == 1) == (sequence == 0), "SYN marks the first message alone"
            if sequence >= self.expected:
                self.early[sequence] = (payload_type, payload)
            while self.expected in self.early:
                self._handle(*self.early.pop(self.expected))
                self.expected += 1

    def _handle(self, payload_type, payload):
        if payload_type == HANDSHAKE_REQUEST:
            actions = json.loads(payload)["RequestedClientActions"]
            self.session_type = [a["ActionParameters"]["SessionType"] for a in actions]
            done = [{"ActionType": a["ActionType"], "ActionStatus": 1, "ActionResult": self.result, "Error": ""}
                    for a in actions]
            answer = {"ClientVersion": "1.2.650.0", "ProcessedClientActions": done, "Errors": None}
            self.say(HANDSHAKE_RESPONSE, json.dumps(answer).encode())
        elif payload_type == HANDSHAKE_COMPLETE:
            assert "HandshakeTimeToComplete" in json.loads(payload)
            self.started.set()
        elif payload_type == EXIT and self.result:
            self.exit = int(payload)
        elif payload_type == STDERR and self.result:
            self.errors += payload
        else:
            # The plugin prints every other payload, whatever it is.
            self.output += payload

    def _repeat(self):
        while not self.closed.wait(0.1):
            with self.lock:
                late = [(n, f) for n, (at, f) in sorted(self.unacknowledged.items()) if time.monotonic() - at > 0.5][:1]
                for number, frame in late:
                    self.unacknowledged[number] = (time.monotonic(), frame)
            for _, frame in late:
                try:
                    self.socket.send(2, frame)
                except OSError:
                    if not self.survives:
                        return
