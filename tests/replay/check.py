#!/usr/bin/env python3
"""Plays a CSV through a running service while it is read in three ways, and counts: nothing lost, nothing doubled, all
in order.

    check.py URL TOKEN TEAWIRE CSV [--opening-stock N] [--interrupt] [--keep DIR]

TOKEN is a merchant's. The service must not know the products of the file yet; an empty database is best.
What must come of the file is worked out here a second time, from the file alone. --interrupt kills the replay half-way
and starts it again. --keep leaves what was expected, received and refused in DIR.
"""

import argparse
import csv
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict, deque
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

QUIET_SECONDS = 30  # a reader that hears nothing for so long will hear nothing any more
LINGER_SECONDS = 2  # for what comes twice

opener = build_opener(ProxyHandler({}))


def ask(path, timeout=90, **headers):
    headers = {"Authorization": f"Bearer {args.token}"} | {name.replace("_", "-"): it for name, it in headers.items()}
    return opener.open(Request(args.url + path, headers=headers), timeout=timeout)


def query(names):
    return urlencode([("topic", name) for name in names])


def get(path):
    with ask(path) as answer:
        return json.load(answer)


# ---- what must come of the file


def number(text):
    text = text.strip()
    try:
        return Decimal(text) if re.fullmatch(r"-?\d*\.?\d*", text) else None
    except InvalidOperation:
        return None


def yuan(text):
    price = number(text)
    price = price and price.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    return str(price) if price and price > 0 else None


class Book:
    """The file, played on paper."""

    def __init__(self, path, opening):
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
        reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
        self.header = [name.strip() for name in next(reader)]
        self.ids, self.moves, self.below_zero = {}, [], []
        self.price, self.stock = {}, {}
        self.rows = [(reader.line_num, row) for row in reader]
        if "StockCode" in self.header:
            self.movements(opening)
        else:
            self.wide()
        self.expected = [("product.arrived", id, None) for id in dict.fromkeys(self.ids.values()) if id] + self.moves

    def id_of(self, code):
        if code not in self.ids:
            id = re.sub(r"[^a-z0-9.]+", "-", code.lower()).strip("-.")
            taken = next((other for other, its in self.ids.items() if its == id), code)
            self.ids[code] = id if id and taken.lower() == code.lower() else None
        return self.ids[code]

    def set_price(self, id, text):
        price = yuan(text)
        if price and self.price.get(id) != price:
            self.price[id] = price
            self.moves.append(("price.changed", id, price))

    def wide(self):
        columns = [i for i in range(1, len(self.header)) if any(number(row[i]) is not None for _, row in self.rows)]
        columns = [(i, self.id_of(self.header[i])) for i in columns]
        for _, row in self.rows:
            for i, id in columns:
                if id:
                    self.set_price(id, row[i])

    def movements(self, opening):
        at = {name: self.header.index(name) for name in ("StockCode", "Quantity", "UnitPrice") if name in self.header}
        for line, row in self.rows:
            code = row[at["StockCode"]].strip()
            id = self.id_of(code) if code else None
            if not id:
                continue
            stock = self.stock.setdefault(id, opening)
            sold = number(row[at["Quantity"]]) if "Quantity" in at else None
            if sold and sold == int(sold):
                if stock < sold:
                    self.below_zero.append(line)
                else:
                    self.stock[id] = stock - int(sold)
                    self.moves.append(("stock.changed", id, self.stock[id]))
            if "UnitPrice" in at:
                self.set_price(id, row[at["UnitPrice"]])


def key(event):
    """What is compared of an event."""
    data = event["data"]
    value = {"price.changed": data.get("price"), "stock.changed": data.get("quantity")}.get(event["type"])
    return event["type"], data.get("id" if event["type"] == "product.arrived" else "product"), value


# ---- those who read


class Reader(threading.Thread):
    """Keeps what it is told of the file's products, until it is told to stop."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.title, self.events, self.odd, self.delays = name, [], [], []
        self.ready, self.stopped = threading.Event(), False

    def take(self, event):
        if key(event)[1] in wanted:
            self.delays.append(time.time() - datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp())
            self.events.append(event)

    def run(self):
        while not self.stopped:
            try:
                self.read()
            except Exception as error:  # noqa: BLE001: whatever it was, the reader comes back, and says so at the end
                if not self.stopped:
                    self.odd.append(f"{type(error).__name__} {error}")
                    time.sleep(0.5)


class Stream(Reader):
    cursor = None

    def read(self):
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.cursor} if self.cursor else {})
        with ask(f"/v1/stream?{query(followed)}", **headers) as answer:
            frame = {}
            while not self.stopped:
                line = answer.readline()
                if not line:
                    raise EOFError("the stream ended")
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    frame[name] = value
                    continue
                self.frame(frame.get("event"), frame.get("id"), frame.get("data"))
                frame = {}

    def frame(self, kind, id, data):
        self.cursor = id or self.cursor
        if kind == "hello":
            self.ready.set()
        elif kind in ("reset", "bye"):
            self.odd.append(f"{kind} {data}")
        elif kind not in (None, "heartbeat"):
            event = json.loads(data)
            if (event["id"], event["type"]) != (id, kind):
                self.odd.append(f"the frame {kind} {id} holds {event['type']} {event['id']}")
            self.take(event)


class Poll(Reader):
    cursor = None

    def read(self):
        cursor = f"&cursor={self.cursor}" if self.cursor else ""
        try:
            told = get(f"/v1/poll?{query(followed)}{cursor}&wait=5")
        except HTTPError as error:
            time.sleep(float(error.headers.get("Retry-After") or 1))
            raise
        if told["reset"]:
            self.odd.append(f"reset {told['reset']}")
        for event in told["events"]:
            self.take(event)
        self.cursor = told["cursor"]
        self.ready.set()


class Tail(Reader):
    """`teawire tail --json`, from a cursor: however slowly it starts, it misses nothing."""

    def read(self):
        command = [args.teawire, "tail", "--json", "--from", get("/v1/status")["head"], *remote, *followed]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.ready.set()
        for line in self.process.stdout:
            self.take(json.loads(line))
        raise EOFError(self.process.stderr.read().strip().splitlines()[-1:])

    def stop(self):
        if process := getattr(self, "process", None):
            process.kill()
            process.wait()


def history(start):
    """The same once more, page by page and product by product, after all is over."""
    events, after = [], start
    while after:
        page = get(f"/v1/events?{query(f'product/{id}' for id in sorted(wanted))}&limit=200&order=asc&after={after}")
        events += [event for event in page["events"] if key(event)[1] in wanted]
        after = page["next"]
    return events


# ---- the books


def compare(expected, events):
    """(lost, doubled, not expected, out of order)"""
    ids = Counter(event["id"] for event in events)
    first = {event["id"]: key(event) for event in events}.values()
    lost, strange = Counter(expected) - Counter(first), Counter(first) - Counter(expected)
    # The first of two like things is the first that was expected.
    places = defaultdict(deque)
    for place, it in enumerate(expected):
        places[it].append(place)
    order = [places[it].popleft() for it in map(key, events) if places[it]]
    back = sum(later < earlier for earlier, later in zip(order, order[1:]))
    return sum(lost.values()), sum(ids.values()) - len(ids), sum(strange.values()), back


passed = failed = 0


def check(name, truth, detail=""):
    global passed, failed
    passed, failed = passed + bool(truth), failed + (not truth)
    print(f"ok    {name}" if truth else f"FAIL  {name} ({str(detail)[:600]})", flush=True)


def replay(name, half_way=None):
    """One run; killed as soon as `half_way` says so."""
    command = [args.teawire, "replay", str(args.csv), *remote, "--opening-stock", str(args.opening_stock)]
    command += ["--print-expected", str(keep / f"{name}.expected"), "--report", str(keep / f"{name}.report")]
    started = time.monotonic()
    with open(keep / f"{name}.out", "w") as out, open(keep / f"{name}.err", "w") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        while half_way and process.poll() is None and not half_way():
            time.sleep(0.01)
        if half_way:
            process.kill()
        code = process.wait()
    return code, time.monotonic() - started


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def main():
    readers = [Stream("stream"), Poll("poll"), Tail("tail")]
    start = get("/v1/status")["head"]
    for reader in readers:
        reader.start()
    check("all three readers are there", all(reader.ready.wait(15) for reader in readers), [it.odd for it in readers])

    if args.interrupt:
        half = len(book.expected) // 2
        code, _ = replay("killed", lambda: len(readers[0].events) >= half)
        check("the first run is killed half-way", code == -9, f"it left with {code}")
    code, took = replay("replay")
    summary = (keep / "replay.out").read_text()
    check("the replay runs to its end", code == 0, (keep / "replay.err").read_text()[-500:])
    if args.interrupt:
        again = re.search(r"done by an earlier run +(\d+)", summary)
        check("the second run finds what the first has done", again and int(again[1]) > 0, summary)

    expected = [(it["type"], it["product"], it.get("price", it.get("quantity"))) for it in lines(keep / "replay.expected")]
    count, differ = len(book.expected), [pair for pair in zip(book.expected, expected) if pair[0] != pair[1]]
    check(f"the replay expects {count} events, as the file does", book.expected == expected, f"{len(expected)}: {differ[:3]}")
    refused = [it["line"] for it in lines(keep / "replay.report") if it["reason"] == "stock_below_zero"]
    check(f"{len(book.below_zero)} sales of what is not there are refused, by line", refused == book.below_zero, f"{len(refused)}: {refused[:5]}, {book.below_zero[:5]}")

    for reader in readers:
        heard, since = 0, time.monotonic()
        while len(reader.events) < count and time.monotonic() - since < QUIET_SECONDS:
            if len(reader.events) > heard:
                heard, since = len(reader.events), time.monotonic()
            time.sleep(0.05)
    time.sleep(LINGER_SECONDS)
    for reader in readers:
        reader.stopped = True
    readers[2].stop()
    sources = [(it.title, list(it.events)) for it in readers] + [("history", history(start))]

    print(f"\n{'reader':8} {'expected':>8} {'received':>8} {'lost':>6} {'doubled':>8} {'strange':>8} {'disorder':>8}   delay: median, worst")
    for (title, events), reader in zip(sources, [*readers, None]):
        delay = f"{statistics.median(reader.delays) * 1000:.0f} ms, {max(reader.delays) * 1000:.0f} ms" if reader and reader.delays else ""
        print(f"{title:8} {count:8} {len(events):8} {'{:6} {:8} {:8} {:8}'.format(*compare(book.expected, events))}   {delay}")
        (keep / f"{title}.events").write_text("".join(json.dumps(it, ensure_ascii=False) + "\n" for it in events))
    print(f"\n{summary}" + ("" if args.interrupt else f"{count / took:.0f} events a second\n"))
    for title, events in sources:
        check(f"{title}: every event once, in order", [key(it) for it in events] == book.expected, compare(book.expected, events))
    check("all were told the same", all(events == sources[0][1] for _, events in sources))
    odd = {it.title: it.odd for it in readers if it.odd}
    check("no reader was cut off, sent back or told anything odd", not odd, odd)
    wrong = []
    for id in sorted(wanted):
        product = get(f"/v1/products/{id}")
        if (product["price"], product["stock"]) != (book.price.get(id), book.stock.get(id)):
            wrong.append((id, product["price"], product["stock"], book.price.get(id), book.stock.get(id)))
    check("every product ends at its last price and stock", not wrong, wrong)


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("url", type=lambda text: text.rstrip("/"))
parser.add_argument("token")
parser.add_argument("teawire", type=lambda text: str(Path(text).resolve()))
parser.add_argument("csv", type=Path)
parser.add_argument("--opening-stock", type=int, default=100_000)
parser.add_argument("--interrupt", action="store_true")
parser.add_argument("--keep", type=Path)
args = parser.parse_args()

keep = args.keep or Path(tempfile.mkdtemp())
keep.mkdir(parents=True, exist_ok=True)
remote = ["--url", args.url, "--token", args.token]
book = Book(args.csv, args.opening_stock)
wanted = {id for id in book.ids.values() if id}
try:
    merchant = get("/v1/me").get("merchant")
    if not merchant or len(wanted) > 100:
        sys.exit("the token must be a merchant's" if not merchant else f"{len(wanted)} products are more than one may follow")
    # Products that are not listed yet cannot be followed one by one. A price is on two of these, and must come once.
    followed = ["price/*", "market/*", "arrivals", f"merchant/{merchant}"]
    for id in sorted(wanted):
        try:
            get(f"/v1/products/{id}")
            sys.exit(f"the service knows the product {id} already: start with an empty one")
        except HTTPError as error:
            if error.code != 404:
                raise
    main()
finally:
    if not args.keep:
        shutil.rmtree(keep)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
