#!/usr/bin/env python3
"""Asks a URL again and again at a steady rate, and tells how many answers were lost.

    load.py URL --rate 150 --seconds 20

Half of its clients keep their connection, half make a new one for each request. An answer is lost when
there is none, or none of 200. Nothing is asked twice. The status is 1 if any was lost.
"""

import argparse
import http.client
import itertools
import socket
import sys
import threading
import time
import urllib.parse


def clients(url, rate, seconds, workers=8):
    """Runs the clients to their end; returns the latencies in ms, and what was lost."""
    parts = urllib.parse.urlsplit(url)
    begun, turns = time.monotonic(), itertools.count()
    end, lock = begun + seconds, threading.Lock()
    took, lost = [], []

    def connect():
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=10)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def client(keeps):
        connection = None
        while True:
            with lock:
                due = begun + next(turns) / rate
            if due >= end:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                asked = time.monotonic()
                connection = connection or connect()
                connection.request("GET", parts.path or "/", headers={"Host": parts.netloc})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise ValueError(f"status {answer.status}")
                took.append((time.monotonic() - asked) * 1000)
                if not keeps or answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, ValueError, http.client.HTTPException) as error:
                lost.append(repr(error))
                connection = None

    threads = [threading.Thread(target=client, args=(n % 2 == 0,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(took), lost


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=150, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    took, lost = clients(given.url, given.rate, given.seconds)
    middle = took[len(took) // 2] if took else float("nan")
    late = took[int(len(took) * 0.99)] if took else float("nan")
    print(f"{len(took) + len(lost)} requests, {len(lost)} lost; median {middle:.1f} ms, p99 {late:.1f} ms")
    for error in lost[:5]:
        print(f"  {error}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
