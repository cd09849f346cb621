#!/usr/bin/env python3
"""Kills the server in the middle of thousands of concurrent writes and counts.

    check.py TEAWIRE [--rounds 10] [--writers 2000] [--database sqlite|postgres://…]

Every round: WRITERS connections each set prices as fast as they are answered;
once as many were acknowledged as there are writers, the server is killed with
SIGKILL at a random moment and started again. Whatever was acknowledged must
be in the history, once; what was not, at most once. Python 3.11, nothing else.
"""
import argparse, asyncio, json, os, random, signal, subprocess, sys, tempfile, time, urllib.request

SECRET = "a secret of more than thirty-two bytes for tests"


def start(binary, directory, database):
    env = dict(os.environ, TEAWIRE_LISTEN="127.0.0.1:0", TEAWIRE_OPS_LISTEN="127.0.0.1:0",
               TEAWIRE_DATABASE_URL=database, TEAWIRE_AUTH__JWT_SECRET=SECRET,
               TEAWIRE_LIMITS__ENABLED="false", TEAWIRE_LOG_FORMAT="json", RUST_LOG="warn")
    log = open(os.path.join(directory, "log"), "ab")
    began = time.monotonic()
    server = subprocess.Popen([binary, "serve"], cwd=directory, env=env,
                              stdout=subprocess.PIPE, stderr=log, text=True)
    for line in server.stdout:
        if line.startswith("listening on http://"):
            return server, line.split("//")[1].strip(), time.monotonic() - began
    sys.exit("the server did not start; see " + log.name)


def call(host, token, method, path, body=None):
    request = urllib.request.Request(f"http://{host}{path}", method=method,
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


async def writer(host, token, numbers, acknowledged, sent, enough):
    """Sets prices, each of them another, until the connection breaks."""
    name, port = host.split(":")
    try:
        reader, out = await asyncio.open_connection(name, int(port))
        while True:
            number = next(numbers)
            product, price = f"p{number % 50}", f"{1000 + number // 100}.{number % 100:02d}"
            body = json.dumps({"price": price})
            sent.add((product, price))
            out.write((f"PUT /v1/products/{product}/price HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n"
                       f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            answer = json.loads(await reader.readexactly(length))
            if head.startswith(b"HTTP/1.1 200"):
                acknowledged[answer["receipt"]["id"]] = (product, price)
                if len(acknowledged) >= enough[0]:
                    enough[1].set()
    except (OSError, asyncio.IncompleteReadError):
        return


async def load(host, token, server, writers, first):
    acknowledged, sent, enough = {}, set(), (writers, asyncio.Event())
    numbers = iter(range(first, first + 40_000))
    tasks = [asyncio.create_task(writer(host, token, numbers, acknowledged, sent, enough)) for _ in range(writers)]
    await asyncio.wait_for(enough[1].wait(), 120)
    await asyncio.sleep(random.random())
    server.send_signal(signal.SIGKILL)
    server.wait()
    await asyncio.wait(tasks, timeout=30)
    return acknowledged, sent


def history(host, token):
    found, path = [], "/v1/events?topic=price/*&order=asc&limit=200"
    page = call(host, token, "GET", path)
    while True:
        found += [(e["id"], e["data"]["product"], e["data"]["price"]) for e in page["events"]]
        if not page["next"]:
            return found
        page = call(host, token, "GET", f"{path}&after={page['next']}")


def one_round(binary, database, writers, token):
    with tempfile.TemporaryDirectory() as directory:
        server, host, _ = start(binary, directory, database)
        for n in range(50):
            call(host, token, "PUT", f"/v1/products/p{n}?confirm=true",
                 {"name": f"茶 {n}", "category": "green", "market": "fangcun", "unit": "jin", "merchant": "m1", "price": "999.00"})
        before = {entry[0] for entry in history(host, token)}
        acknowledged, sent = asyncio.run(load(host, token, server, writers, 0))
        server, host, took = start(binary, directory, database)
        found = [entry for entry in history(host, token) if entry[0] not in before]
        by_id = {}
        for id, product, price in found:
            by_id.setdefault(id, []).append((product, price))
        lost = sum(1 for id, what in acknowledged.items() if by_id.get(id) != [what])
        told = [what for whats in by_id.values() for what in whats]
        doubled = len(told) - len(set(told))
        foreign = sum(1 for what in told if what not in sent)
        server.terminate()
        server.wait(30)
        return len(acknowledged), len(found), lost, doubled, foreign, took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("teawire")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--writers", type=int, default=2000)
    parser.add_argument("--database", default="sqlite:teawire.db")
    args = parser.parse_args()
    binary = os.path.abspath(args.teawire)
    env = dict(os.environ, TEAWIRE_AUTH__JWT_SECRET=SECRET)
    token = subprocess.run([binary, "token", "mint", "--role", "admin"], env=env, check=True,
                           capture_output=True, text=True, cwd=tempfile.gettempdir()).stdout.strip()
    bad = 0
    print("round  acknowledged  found  lost  doubled  never sent  ready again after s")
    for n in range(args.rounds):
        acknowledged, found, lost, doubled, foreign, took = one_round(binary, args.database, args.writers, token)
        bad += bool(lost or doubled or foreign)
        print(f"{n + 1:5}  {acknowledged:12}  {found:5}  {lost:4}  {doubled:7}  {foreign:10}  {took:8.2f}", flush=True)
    print(f"{args.rounds - bad} passed, {bad} failed")
    sys.exit(bool(bad))


main()
