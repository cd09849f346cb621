"""httpx-sse, for Python programs. It does not come back by itself: the caller does, with Last-Event-ID.

httpx_sse.py URL TOPIC COUNT
"""

import json
import os
import sys
import threading
import time

sys.path.pop(0)  # this file's own folder: it has the name of the package that it tries

import httpx
from httpx_sse import SSEError, connect_sse


def text(n):
    return f"大红袍 ¥128.00 🍵 {n}"


class Reader:
    """Reads the topic until told to stop, and keeps what came."""

    def __init__(self, url, topic):
        self.url, self.topic = f"{url}/v1/stream", topic
        self.events, self.odd = [], []
        self.hellos, self.last_id, self.pause = 0, "", 1.0
        self.stopped = False

    def run(self):
        # Proxy settings of the environment are not for loopback.
        with httpx.Client(trust_env=False, verify=False, timeout=httpx.Timeout(5.0, read=30.0)) as client:
            while not self.stopped:
                try:
                    self.read(client)
                except (httpx.TransportError, SSEError) as error:
                    print(f"note  {type(error).__name__}: {error}", flush=True)
                time.sleep(self.pause)

    def read(self, client):
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        with connect_sse(client, "GET", self.url, params={"topic": self.topic}, headers=headers) as source:
            source.response.raise_for_status()
            for event in source.iter_sse():
                self.take(event)

    def take(self, event):
        self.last_id = event.id or self.last_id
        if event.retry is not None:
            self.pause = event.retry / 1000
        if event.event == "hello":
            self.hellos += 1
            if self.hellos == 1:
                print("ready", flush=True)
        elif event.event == "room.message":
            self.events.append((event.id, json.loads(event.data)))
        elif event.event != "heartbeat" and event.data:
            # A block of `retry:` alone is an event without data here; only data would be odd.
            self.odd.append(f"{event.event} {event.data}")


def judge(count, reader):
    bodies = [body for _, body in reader.events]
    numbers = [body["data"].get("n") for body in bodies]
    checks = [
        ("every event came, and nothing else", sorted(numbers) == list(range(1, count + 1)), f"{len(numbers)} of {count}: {numbers}"),
        ("in order, none twice", all(a < b for a, b in zip(numbers, numbers[1:])), f"{numbers}"),
        ("the text is intact", bodies and all(body["data"]["text"] == text(body["data"]["n"]) for body in bodies), f"{bodies[:1]}"),
        ("the id of the frame is the id of the event", bodies and all(id and id == body["id"] for id, body in reader.events), f"{reader.events[:1]}"),
        ("it came back with Last-Event-ID after both cuts", reader.hellos >= 3, f"{reader.hellos} hellos"),
        ("no reset, no bye", not reader.odd, " ".join(reader.odd)),
    ]
    for what, holds, detail in checks:
        print(f"ok    {what}" if holds else f"FAIL  {what} ({detail})")
    passed = sum(1 for _, holds, _ in checks if holds)
    print(f"httpx_sse: {passed} passed, {len(checks) - passed} failed", flush=True)
    return 0 if passed == len(checks) else 1


def main():
    url, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    reader = Reader(url, topic)
    threading.Thread(target=reader.run, daemon=True).start()
    end = time.monotonic() + float(os.environ.get("CLIENT_SECONDS", "60"))
    while len(reader.events) < count and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)  # for what comes twice
    reader.stopped = True
    code = judge(count, reader)
    os._exit(code)  # the reading thread may sit in a read for as long as a heartbeat


main()
