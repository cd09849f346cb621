"""What `run` measures, and what teawire is to reach.

A row is measured at several cases (how many streams, how many connections); a
case says what the generator does and against which servers. A target compares
medians: of teawire with another server's, or with a bound.
"""
import statistics
from dataclasses import dataclass, field

from harness import ERRORS, FAULTS, Server

TEAWIRE = Server("teawire", "teawire")
LIMIT = Server("limit", "rawlimit")
JOINING = Server("limit, joining", "rawlimit", SWEEP="1")
NCHAN = Server("Nchan", "nchan")
STREAMS = Server("Durable Streams, memory", "durable-streams", DURABILITY="memory")
WAL = Server("Durable Streams, wal", "durable-streams", DURABILITY="wal")


@dataclass(frozen=True)
class Figure:
    """A figure of the generator, and how it is written."""

    key: str
    label: str
    scale: float = 1
    digits: int = 0

    def write(self, value):
        return f"{value * self.scale:,.{self.digits}f}"


CPU = Figure("cpu_us_per_delivery", "CPU µs a delivery", digits=2)
RATE = Figure("deliveries_per_s", "deliveries/s")
P50 = Figure("latency_p50_us", "p50 ms", 1e-3, 1)
P99 = Figure("latency_p99_us", "p99 ms", 1e-3, 1)
OPENING = Figure("cpu_us_per_connect", "CPU µs a connection", digits=1)
OPENED = Figure("connects_per_s", "opened/s")
WAITING = Figure("rss_per_conn_idle_b", "memory B a connection")
HELD = Figure("rss_per_conn_held_b", "memory B a connection")
IDLE = Figure("idle_cpu_percent", "CPU % at rest", digits=2)
CAUGHT_UP = Figure("catch_up_s", "all caught up s", digits=2)
STORM_CPU = Figure("storm_cpu_us_per_conn", "CPU µs a connection")
EVENTS = Figure("messages_per_s", "events/s")
REQUESTS = Figure("requests_per_s", "requests/s")
ACK50 = Figure("ack_p50_us", "answered p50 ms", 1e-3, 2)
ACK99 = Figure("ack_p99_us", "answered p99 ms", 1e-3, 2)
BUSY = Figure("server_cpu_share", "server busy", digits=2)
GENERATOR = Figure("generator_cpu_share", "generator busy", digits=2)


@dataclass(frozen=True)
class Case:
    """One load and who is put under it. SECONDS in `args` is how long is published."""

    name: str
    args: str
    servers: tuple
    profile: str | None = None
    seconds: float = 3


@dataclass
class Values:
    """What was found in a row: for each case and server its runs, in order."""

    runs: dict = field(default_factory=dict)

    def of(self, case, server, figure):
        """The figure in each repetition; None where there is none."""
        return [run.get(figure.key) for run in self.runs.get((case, server.name), [])]

    def median(self, case, server, figure):
        known = [v for v in self.of(case, server, figure) if v is not None]
        return statistics.median(known) if known else None


@dataclass(frozen=True)
class Target:
    """`what` is at most (or at least) `bound`; of `values` it is found by `of`
    on medians, and once more on each repetition to show how it spreads."""

    what: str
    figure: Figure | None
    of: object
    bound: float | None
    at_least: bool = False

    def is_met(self, value):
        return value >= self.bound if self.at_least else value <= self.bound


def ratio(figure, case, other, bound, at_least=False, against=None, own=TEAWIRE):
    """teawire against another server, or against itself in another case."""
    there = against or case
    of = lambda get: divide(get(case, own, figure), get(there, other, figure))
    whom = other.name if other is not own else "the same"
    at = f" at {there}" if against else ""
    return Target(f"{case}: {figure.label}, × {whom}{at}", None, of, bound, at_least)


def value(figure, case, bound, at_least=False):
    """teawire against a bound."""
    return Target(f"{case}: {figure.label}", figure, lambda get: get(case, TEAWIRE, figure), bound, at_least)


def growth(figure, small, large, other, bound):
    """How a figure of teawire grows, against how another server's does."""
    grown = lambda get, server: divide(get(large, server, figure), get(small, server, figure))
    of = lambda get: divide(grown(get, TEAWIRE), grown(get, other))
    return Target(f"{small} to {large}: growth of {figure.label}, × {other.name}", None, of, bound)


def divide(a, b):
    return None if a is None or not b else a / b


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    cases: tuple
    figures: tuple
    targets: tuple


def fanout(n, servers, rest, seconds=3):
    return Case(f"{n:,}", f"fanout --conns {n} {rest}", servers, seconds=seconds)


SINGLE = "--window 1 --messages 100000"
FULL = "--window 32 --messages 1000000"
TEN_THOUSAND = "--conns 10000"

ROWS = (
    Row(
        "single",
        "CPU a delivery: one topic, one message at a time",
        (
            fanout(1000, (TEAWIRE, LIMIT), SINGLE),
            fanout(5000, (TEAWIRE, LIMIT, NCHAN), SINGLE),
            fanout(10000, (TEAWIRE, LIMIT, NCHAN), SINGLE, 3.5),
            fanout(18000, (TEAWIRE, LIMIT), SINGLE, 4),
        ),
        (CPU, RATE, P50, P99, BUSY, GENERATOR),
        (
            ratio(CPU, "5,000", LIMIT, 1.15),
            ratio(CPU, "10,000", LIMIT, 1.15),
            ratio(CPU, "5,000", NCHAN, 0.80),
            ratio(CPU, "10,000", NCHAN, 0.80),
            growth(CPU, "1,000", "18,000", LIMIT, 1.1),
        ),
    ),
    Row(
        "saturated",
        "Deliveries a second: one topic, 32 messages in flight",
        tuple(fanout(n, (TEAWIRE, JOINING, STREAMS, NCHAN), FULL, 2.5) for n in (1000, 5000, 10000, 18000)),
        (RATE, CPU, P50, P99, BUSY, GENERATOR),
        tuple(
            target
            for case, nchan, streams in (
                ("1,000", 15, 1.0), ("5,000", 20, 1.3), ("10,000", 20, 1.3), ("18,000", 20, 1.3))
            for target in (
                ratio(RATE, case, NCHAN, nchan, at_least=True),
                ratio(RATE, case, STREAMS, streams, at_least=True),
                ratio(RATE, case, JOINING, 0.6, at_least=True),
                ratio(P99, case, STREAMS, 1.0),
                ratio(P99, case, JOINING, 1.6),
            )
        ),
    ),
    Row(
        "memory",
        "Memory of a waiting stream, signed in, with a filter; CPU at rest with heartbeats",
        (
            Case("one topic", f"idle {TEN_THOUSAND} --signed-in --query type=room.message --hold 16", (TEAWIRE,)),
            Case("ten topics", f"idle {TEN_THOUSAND} --signed-in --query type=room.message --topics-a-stream 10 --hold 1",
                 (TEAWIRE,)),
        ),
        (HELD, IDLE, OPENED, OPENING),
        (value(HELD, "one topic", 1024), value(HELD, "ten topics", 2048), value(IDLE, "one topic", 1)),
    ),
    Row(
        "latency",
        "Latency: 5,000 streams of one topic, 10 messages a second",
        (Case("5,000", "fanout --conns 5000 --rate 10 --messages 1000", (TEAWIRE, LIMIT, NCHAN), seconds=5),),
        (P50, P99, CPU),
        (ratio(P99, "5,000", NCHAN, 0.80), ratio(P99, "5,000", LIMIT, 1.25)),
    ),
    Row(
        "topics",
        "100 topics: 10,000 streams, 400 messages a second",
        (Case("100 topics", f"fanout {TEN_THOUSAND} --topics 100 --rate 400 --messages 10000", (TEAWIRE, LIMIT, NCHAN)),),
        (CPU, P50, P99),
        (ratio(CPU, "100 topics", LIMIT, 1.2), ratio(P99, "100 topics", NCHAN, 1.0)),
    ),
    Row(
        "longpoll",
        "Long-poll: 5,000 clients of one topic, one message at a time",
        (Case("5,000", "longpoll --conns 5000 --window 1 --messages 100000", (TEAWIRE, LIMIT, NCHAN)),),
        (CPU, RATE, P50, P99, WAITING),
        (ratio(CPU, "5,000", LIMIT, 1.2), ratio(CPU, "5,000", NCHAN, 0.95), value(WAITING, "5,000", 2048)),
    ),
    Row(
        "storm",
        "Reconnect storm: 10,000 streams cut at once, 20 messages missed",
        (
            Case("quiet", f"storm {TEN_THOUSAND} --connect-window 1024", (TEAWIRE, LIMIT)),
            Case("20 messages/s live", f"storm {TEN_THOUSAND} --connect-window 1024 --live-rate 20", (TEAWIRE, NCHAN)),
        ),
        (CAUGHT_UP, STORM_CPU),
        (
            ratio(CAUGHT_UP, "quiet", LIMIT, 1.3),
            ratio(CAUGHT_UP, "20 messages/s live", NCHAN, 0.15),
            ratio(CAUGHT_UP, "20 messages/s live", TEAWIRE, 2.5, against="quiet"),
        ),
    ),
    Row(
        "opening",
        "Opening 10,000 streams, 256 at once",
        (Case("10,000", f"idle {TEN_THOUSAND} --hold 0.2", (TEAWIRE, LIMIT)),),
        (OPENING, OPENED),
        (ratio(OPENING, "10,000", LIMIT, 1.6),),
    ),
    Row(
        "durable",
        "Publishing, answered when it is on disk; by connections",
        (
            *(Case(f"{n}", f"ingest --publishers {n} --messages 10000000", (TEAWIRE, WAL), seconds=2) for n in (1, 16, 64)),
            Case("64, prices", "ingest --publishers 64 --topics 1024 --messages 10000000", (TEAWIRE,), "teawire-prices", 2),
        ),
        (REQUESTS, ACK50, ACK99, BUSY),
        (
            *(ratio(REQUESTS, case, WAL, 0.8, at_least=True) for case in ("1", "16", "64")),
            value(ACK99, "16", 3000),
            ratio(REQUESTS, "64, prices", WAL, 0.35, at_least=True, against="64"),
        ),
    ),
    Row(
        "bulk",
        "Price changes in files of 100 rows, 16 connections",
        (Case("16", "ingest --publishers 16 --topics 1600 --batch 100 --messages 100000000", (TEAWIRE,),
              "teawire-prices", 2),),
        (EVENTS, REQUESTS, ACK50, ACK99, BUSY),
        (value(EVENTS, "16", 100_000, at_least=True),),
    ),
    Row(
        "wide",
        "Many topics: 10,000 streams, each alone with its topics, one message at a time",
        (
            Case("10,000 topics", f"fanout {TEN_THOUSAND} --topics 10000 --window 1 --messages 100000", (TEAWIRE,), seconds=2),
            Case("100,000 topics", f"fanout {TEN_THOUSAND} --topics 100000 --topics-a-stream 10 --window 1 --messages 100000",
                 (TEAWIRE,), seconds=2),
        ),
        (CPU, P50, P99, WAITING),
        (ratio(CPU, "100,000 topics", TEAWIRE, None, against="10,000 topics"),),
    ),
    Row(
        "alerts",
        "One product a reader: 10,000 products, 10,000 streams, 500 prices a second (no rules yet)",
        (Case("10,000", f"alerts {TEN_THOUSAND} --rate 500 --messages 100000", (TEAWIRE,), "teawire-prices"),),
        (P50, P99, CPU, ACK99),
        (),
    ),
)


def faults(run):
    """Lost, doubled, out of order, corrupt; and everything else that went wrong."""
    return [run.get(key, 0) for key in FAULTS], {key: run[key] for key in ERRORS if run.get(key)}
