#!/usr/bin/env python3
"""Readers join at random moments while others write: is what they are given,
the state and then the log up to any position, what the database had there?

    tests/snapshot/check.py [--joins 10000] [--database postgres://…] target/release/teawire

Starts a service of its own. The truth is the log itself, replayed from its
first event, and at the end the catalogue. Needs nothing but Python 3.
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

TEAS = 40


class Api:
    def __init__(self, address):
        self.conn = http.client.HTTPConnection(address, timeout=30)

    def call(self, method, path, body=None, token=None):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + token
        self.conn.request(method, path, body and json.dumps(body), headers)
        answer = self.conn.getresponse()
        text = answer.read()
        return answer.status, json.loads(text or b"null")

    def get(self, path):
        status, answer = self.call("GET", path)
        assert status == 200, (path, status, answer)
        return answer


def position(cursor):
    return int(cursor.split("-")[1], 36)


def put(shelf, tea):
    running = (tea["clearance"] or {}).get("active")
    shelf[tea["id"]] = (tea["price"], tea["stock"], tea["clearance"]["price"] if running else None)


def take_page(shelf, page):
    for tea in page["products"]:
        put(shelf, tea)
    for tea in page["removed"]:
        shelf.pop(tea, None)


def take_event(shelf, event):
    data, kind = event["data"], event["type"]
    tea = data.get("product", data.get("id"))
    if kind in ("product.arrived", "product.updated"):
        put(shelf, data)
    elif tea in shelf:
        price, stock, reduced = shelf[tea]
        if kind == "price.changed":
            price = data["price"]
        elif kind == "stock.changed":
            stock = data["quantity"]
        elif kind == "clearance.started":
            reduced = data["price"]
        elif kind == "clearance.ended":
            reduced = None
        shelf[tea] = (price, stock, reduced)
        if kind == "product.withdrawn":
            del shelf[tea]


def topics():
    return "price/*,arrivals,clearance," + ",".join(f"product/t{n:02}" for n in range(TEAS))


def write(address, token, stop, written):
    api, dice = Api(address), random.Random()
    while not stop.is_set():
        tea, what = f"t{dice.randrange(TEAS):02}", dice.random()
        path = "/v1/products/" + tea
        if what < 0.6:
            body = {"price": f"{dice.randrange(80, 120)}.{dice.randrange(100):02}"}
            api.call("PUT", path + "/price?confirm=true", body, token)
        elif what < 0.8:
            api.call("PUT", path + "/stock", {"quantity": dice.randrange(50)}, token)
        elif what < 0.88:
            api.call("PUT", path + "/clearance", {"price": f"{dice.randrange(20, 70)}.00"}, token)
        elif what < 0.94:
            api.call("DELETE", path + "/clearance", None, token)
        elif what < 0.96:
            api.call("DELETE", path, None, token)
        else:
            api.call("PUT", path, described(tea, dice), token)
        written[0] += 1


def described(tea, dice):
    category = dice.choice(["green", "black"])
    return {"id": tea, "name": tea, "category": category, "market": "fangcun", "unit": "jin", "merchant": "m1"}


def by_poll(api, seen):
    poll, shelf = api.get(f"/v1/poll?topic={topics()}&snapshot=true"), {}
    page = poll["snapshot"]
    cursor = poll["cursor"]
    take_page(shelf, page)
    while page["next"]:
        page = api.get(f"/v1/snapshot?topic={topics()}&after={page['next']}")
        take_page(shelf, page)
        cursor = page["cursor"]
    seen.append((position(cursor), dict(shelf)))
    return shelf, cursor


def by_pages(api, seen, limit):
    shelf, after = {}, ""
    while True:
        page = api.get(f"/v1/snapshot?topic={topics()}&limit={limit}{after}")
        take_page(shelf, page)
        if not page["next"]:
            break
        after = "&after=" + page["next"]
    seen.append((position(page["cursor"]), dict(shelf)))
    return shelf, page["cursor"]


def by_stream(address, seen, events):
    conn = http.client.HTTPConnection(address, timeout=30)
    conn.request("GET", f"/v1/stream?topic={topics()}&snapshot=true", headers={"Accept": "text/event-stream"})
    stream, shelf, frame, left = conn.getresponse(), {}, {}, events + 1
    while left:
        line = stream.readline().decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            frame[name] = value
            continue
        kind = frame.get("event")
        if kind == "snapshot":
            take_page(shelf, json.loads(frame["data"]))
        elif kind not in (None, "hello", "heartbeat"):
            take_event(shelf, json.loads(frame["data"]))
        if "id" in frame:
            seen.append((position(frame["id"]), dict(shelf)))
            left -= 1
        frame = {}
    conn.close()


def join(address, joins, seen, lock, left):
    api, dice = Api(address), random.Random()
    while True:
        with lock:
            if left[0] == 0:
                return
            left[0] -= 1
        way, mine = dice.random(), []
        if way < 0.2:
            by_stream(address, mine, dice.randrange(20))
        else:
            shelf, cursor = by_poll(api, mine) if way < 0.6 else by_pages(api, mine, dice.choice([7, 20, 200]))
            for _ in range(dice.randrange(3)):
                poll = api.get(f"/v1/poll?topic={topics()}&wait=5&cursor={cursor}")
                for event in poll["events"]:
                    take_event(shelf, event)
                cursor = poll["cursor"]
                mine.append((position(cursor), dict(shelf)))
        with lock:
            seen.extend(mine)


def check(api, seen):
    """Replays the log and compares; returns how many states were compared and how many were wrong."""
    seen.sort(key=lambda it: it[0])
    shelf, at, wrong, after = {}, 0, 0, "earliest"

    def judge(upto):
        nonlocal at, wrong
        while at < len(seen) and seen[at][0] < upto:
            given = seen[at][1]
            # Whoever follows a product itself is shown it even when it is withdrawn.
            if any(given.get(tea) != shelf[tea] for tea in shelf):
                wrong += 1
            at += 1

    while after:
        past = api.get(f"/v1/events?topic={topics()}&after={after}&limit=200")
        for event in past["events"]:
            judge(position(event["id"]))
            take_event(shelf, event)
        after = past["next"]
    judge(float("inf"))
    shown, after = {}, ""
    while after is not None:
        page = api.get(f"/v1/products?status=listed&limit=500{after}")
        for tea in page["products"]:
            put(shown, tea)
        after = page["next"] and "&after=" + page["next"]
    return at, wrong, shown == shelf


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--joins", type=int, default=10_000)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--writers", type=int, default=3)
    parser.add_argument("--database", help="else a SQLite file of its own")
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    with tempfile.TemporaryDirectory() as home:
        env = dict(os.environ, TEAWIRE_LISTEN="127.0.0.1:0", TEAWIRE_OPS_LISTEN="127.0.0.1:0",
                   TEAWIRE_LIMITS__ENABLED="false", TEAWIRE_AUTH__JWT_SECRET="x" * 40,
                   TEAWIRE_DATABASE_URL=args.database or "sqlite:check.db", RUST_LOG="warn")
        mint = [binary, "token", "mint", "--role", "admin", "--sub", "root"]
        token = subprocess.run(mint, env=env, cwd=home, check=True, capture_output=True, text=True).stdout.strip()
        service = subprocess.Popen([binary, "serve"], env=env, cwd=home, stdout=subprocess.PIPE, text=True)
        try:
            address = next(line for line in service.stdout if line.startswith("listening on")).split("http://")[1].split()[0].strip("/")
            run(args, address, token)
        finally:
            service.terminate()
            service.wait()


def run(args, address, token):
    api, dice = Api(address), random.Random()
    for n in range(TEAS):
        status, answer = api.call("POST", "/v1/products", dict(described(f"t{n:02}", dice), price="100.00"), token)
        assert status == 201, answer
    stop, written, seen, lock, left = threading.Event(), [0], [], threading.Lock(), [args.joins]
    began = time.monotonic()
    writers = [threading.Thread(target=write, args=(address, token, stop, written)) for _ in range(args.writers)]
    readers = [threading.Thread(target=join, args=(address, args.joins, seen, lock, left)) for _ in range(args.readers)]
    for thread in writers + readers:
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    for thread in writers:
        thread.join()
    took = time.monotonic() - began
    compared, wrong, whole = check(Api(address), seen)
    done = args.joins - left[0]
    print(f"{done} joins in {took:.1f} s while {written[0]} writes went through; "
          f"{compared} states compared, {wrong} wrong; the replayed log {'is' if whole else 'IS NOT'} the database")
    sys.exit(0 if wrong == 0 and whole and compared >= done else 1)


if __name__ == "__main__":
    main()
