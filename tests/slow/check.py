#!/usr/bin/env python3
"""A reader that takes 40 KB a second while 1,000 prices and stocks change a second.

    check.py TEAWIRE [--seconds 20] [--rate 1000] [--products 50] [--bytes 40000]
             [--database sqlite:slow.db|postgres://…] [--hand-over true|false]

Room messages, arrivals and clearances happen meanwhile. The reader must be
told all of those, in order; of prices and stock the newest of each product,
which must be what the catalogue says; and how many of the others it was
spared. Python 3.11, nothing else.
"""
import argparse, json, os, socket, subprocess, sys, tempfile, threading, time, urllib.request

SECRET = "a secret of more than thirty-two bytes for tests"
FOLDED = ("price.changed", "stock.changed")


def start(args, directory):
    env = dict(os.environ, TEAWIRE_LISTEN="127.0.0.1:0", TEAWIRE_OPS_LISTEN="127.0.0.1:0",
               TEAWIRE_DATABASE_URL=args.database, TEAWIRE_AUTH__JWT_SECRET=SECRET,
               TEAWIRE_STREAMS__HAND_OVER=args.hand_over,
               TEAWIRE_LIMITS__ENABLED="false", TEAWIRE_LOG_FORMAT="json", RUST_LOG="warn")
    server = subprocess.Popen([args.teawire, "serve"], cwd=directory, env=env, stdout=subprocess.PIPE, text=True)
    token = subprocess.check_output([args.teawire, "token", "mint", "--role", "admin"], cwd=directory, env=env, text=True)
    for line in server.stdout:
        if line.startswith("listening on http://"):
            return server, line.split("//")[1].strip(), token.strip()
    sys.exit("the server did not start")


def call(host, token, method, path, body=None, kind="application/json"):
    data = body if body is None or kind != "application/json" else json.dumps(body)
    request = urllib.request.Request(f"http://{host}{path}", method=method, data=data and data.encode(),
                                     headers={"Authorization": "Bearer " + token, "Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def product(host, token, name):
    call(host, token, "POST", "/v1/products", {"id": name, "name": name, "category": "green", "market": "fangcun",
                                               "unit": "jin", "price": "100.00", "stock": 1, "merchant": "m1"})


class Slow(threading.Thread):
    """Reads so many bytes a second, until it has heard `end`."""

    def __init__(self, host, topics, rate):
        super().__init__(daemon=True)
        self.rate, self.read, self.end, self.bye = rate, bytearray(), None, False
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        name, port = host.split(":")
        self.socket.connect((name, int(port)))
        self.socket.sendall(f"GET /v1/stream?topic={topics} HTTP/1.0\r\nHost: t\r\n\r\n".encode()
                            .replace(b"HTTP/1.0", b"HTTP/1.1"))

    def run(self):
        while self.end is None or self.end not in self.read:
            part = self.socket.recv(self.rate // 20)
            if not part:
                self.bye = True
                return
            self.read += part
            time.sleep(0.05)

    def frames(self):
        head, _, rest = bytes(self.read).partition(b"\r\n\r\n")
        body = b""
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            body, rest = body + rest[:int(size, 16)], rest[int(size, 16) + 2:]
        for block in body.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "data" in fields:
                yield fields["event"], json.loads(fields["data"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("teawire")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--products", type=int, default=50)
    parser.add_argument("--bytes", type=int, default=40_000)
    parser.add_argument("--database", default="sqlite:slow.db")
    parser.add_argument("--hand-over", default="true")
    args = parser.parse_args()
    args.teawire = os.path.abspath(args.teawire)
    directory = tempfile.mkdtemp()
    server, host, token = start(args, directory)
    try:
        names = [f"t{n}" for n in range(args.products)]
        for name in names:
            product(host, token, name)
        topics = "price/*,clearance,arrivals,room/x," + ",".join("product/" + name for name in names)
        slow = Slow(host, topics, args.bytes)
        slow.start()
        began, step, changes = time.monotonic(), 0, 0
        # Each row is a price and a stock: half as many rows as changes.
        while (passed := time.monotonic() - began) < args.seconds:
            rows = [f"{names[(step + n) % len(names)]},{100 + (step * 7 + n) % 9}.{step % 100:02d},{2 * step + n + 2}"
                    for n in range(min(50, len(names)))]
            call(host, token, "POST", "/v1/import", "id,price,stock\n" + "\n".join(rows), "text/csv")
            changes += 2 * len(rows)
            if step % 5 == 0:
                call(host, token, "POST", "/v1/events", {"topics": ["room/x"], "type": "room.message", "data": {"n": step}})
            if step % 40 == 10:
                product(host, token, f"new{step}")
                call(host, token, "PUT", f"/v1/products/new{step}/clearance",
                     {"price": "90.00", "ends_at": "2099-01-01T00:00:00Z"})
            step += 1
            time.sleep(max(0, changes / args.rate - (time.monotonic() - began)))
        took = time.monotonic() - began
        last = call(host, token, "POST", "/v1/events", {"topics": ["room/x"], "type": "room.message", "data": {"n": "last"}})
        slow.end = f'"id":"{last["receipt"]["id"]}"'.encode()
        slow.join(120)
        behind = time.monotonic() - began - took
        if slow.is_alive() or slow.bye:
            sys.exit("the reader did not hear the end")
        told = list(slow.frames())
        # From where the reader began to be told.
        every, after = [], next(data["cursor"] for kind, data in told if kind == "hello")
        while after:
            page = call(host, token, "GET", f"/v1/events?topic={topics}&after={after}&limit=200")
            every, after = every + page["events"], page["next"]
        heard = [data for kind, data in told if "type" in data]
        spared = sum(data["folded"] for kind, data in told if kind == "folded")
        others = lambda events: [event for event in events if event["type"] not in FOLDED]
        at = {event["id"]: place for place, event in enumerate(every)}
        places = [at[event["id"]] for event in heard]
        assert places == sorted(set(places)), "out of order, or twice"
        assert len(heard) + spared == len(every), (len(heard), spared, len(every))
        assert others(heard) == others(every), "something else was left out"
        newest = {(event["type"], event["data"]["product"]): event["data"] for event in heard if event["type"] in FOLDED}
        for name in names:
            shown = call(host, token, "GET", "/v1/products/" + name)
            shown = shown.get("product", shown)
            assert newest["price.changed", name]["price"] == shown["price"], name
            assert newest["stock.changed", name]["quantity"] == shown["stock"], name
        print(f"{changes} changes in {took:.1f} s ({changes / took:.0f} a second), {len(every)} events with the rest; "
              f"a reader of {args.bytes} bytes a second was told {len(heard)}, spared {spared} in "
              f"{sum(kind == 'folded' for kind, _ in told)} runs, and heard the last {behind:.1f} s after it happened; "
              f"all {len(others(every))} others told, in order; {len(names)} prices and stocks as in the catalogue")
    finally:
        server.terminate()
        server.wait()


main()
