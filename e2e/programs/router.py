"""A log router of the tests': takes the forward protocol at its socket and at its port, and writes
what it gets as lines of JSON: `router.py FILE`."""

import json
import os
import select
import socket
import struct
import sys

SOCKET = "/var/run/fluent.sock"


class Short(Exception):
    """The rest has not come yet."""


def take(data, at, count):
    if at + count > len(data):
        raise Short
    return data[at:at + count], at + count


def read(data, at=0):
    """One MessagePack value and where the next begins."""
    (kind,), at = take(data, at, 1)
    if kind < 0x80:
        return kind, at
    if kind < 0x90:
        return table(data, at, kind & 0x0F)
    if kind < 0xA0:
        return array(data, at, kind & 0x0F)
    if kind < 0xC0:
        return text(data, at, kind & 0x1F)
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    if kind in (0xC7, 0xD7):
        # An instant, with its length told or known.
        said, at = take(data, at, 10 if kind == 0xC7 else 9)
        return list(struct.unpack(">II", said[-8:])), at
    sizes = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I",
             0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
    said, at = take(data, at, struct.calcsize(sizes[kind]))
    (count,) = struct.unpack(sizes[kind], said)
    if kind in (0xD9, 0xDA, 0xDB):
        return text(data, at, count)
    if kind in (0xDC, 0xDD):
        return array(data, at, count)
    if kind in (0xDE, 0xDF):
        return table(data, at, count)
    return count, at


def text(data, at, count):
    said, at = take(data, at, count)
    return said.decode(), at


def array(data, at, count):
    all = []
    for _ in range(count):
        one, at = read(data, at)
        all.append(one)
    return all, at


def table(data, at, count):
    all = {}
    for _ in range(count):
        name, at = read(data, at)
        all[name], at = read(data, at)
    return all, at


def serve(out):
    if os.path.exists(SOCKET):
        os.unlink(SOCKET)
    listeners = [socket.socket(socket.AF_UNIX), socket.socket()]
    listeners[0].bind(SOCKET)
    listeners[1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listeners[1].bind(("0.0.0.0", 24224))
    for listener in listeners:
        listener.listen()
    buffers = {}
    while True:
        ready, _, _ = select.select([*listeners, *buffers], [], [])
        for one in ready:
            if one in listeners:
                buffers[one.accept()[0]] = b""
                continue
            said = one.recv(65536)
            if not said:
                del buffers[one]
                continue
            buffers[one] += said
            try:
                while buffers[one]:
                    message, end = read(buffers[one])
                    buffers[one] = buffers[one][end:]
                    tag, rest = message[0], message[1]
                    # The agent sends rows of records, Docker Engine each by itself.
                    many = isinstance(rest, list) and (not rest or isinstance(rest[0], list))
                    for at, record in rest if many else [(rest, message[2])]:
                        print(json.dumps({"tag": tag, "at": at, **record}), file=out, flush=True)
            except Short:
                pass


with open(sys.argv[1], "a") as out:
    serve(out)
