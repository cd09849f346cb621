#!/usr/bin/env python3
"""Kills the server again and again while prices cross the lines of rules, and counts.

    alerts.py TEAWIRE [--runs 1000] [--seed 1] [--database sqlite|postgres://…] [--nodes 1]

Every run makes rules on a few products, lets several writers move the prices, kills every
node with SIGKILL at a random moment and starts them again. At the end the log says which
prices there were, in which order, and when; what should have fired is worked out from that
alone, here, in a few lines that share nothing with the server. It is compared with what
fired and with what lies in the inboxes. Python 3.11, nothing else.
"""
import argparse, collections, datetime, http.client, json, os, random, signal, subprocess, sys, tempfile, threading, time

SECRET = "a secret of more than thirty-two bytes for tests"
PRODUCTS, RULES, WRITERS = 4, 6, 4


def start(binary, directory, database):
    env = dict(os.environ, TEAWIRE_LISTEN="127.0.0.1:0", TEAWIRE_OPS_LISTEN="127.0.0.1:0",
               TEAWIRE_DATABASE_URL=database, TEAWIRE_AUTH__JWT_SECRET=SECRET,
               TEAWIRE_LIMITS__ENABLED="false", TEAWIRE_LOG_FORMAT="json", RUST_LOG="warn")
    log = open(os.path.join(directory, "log"), "ab")
    server = subprocess.Popen([binary, "serve"], cwd=directory, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
    for line in server.stdout:
        if line.startswith("ops listening on http://"):
            ops = line.split("//")[1].strip()
        elif line.startswith("listening on http://"):
            return server, line.split("//")[1].strip(), ops
    sys.exit("the server did not start; see " + log.name)


class Client:
    """One kept connection; None for an answer that never came."""
    def __init__(self, host, token):
        self.http, self.token = http.client.HTTPConnection(host, timeout=20), token

    def call(self, method, path, body=None):
        headers = {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"}
        try:
            self.http.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.http.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        if answer.status >= 400:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)


def must(client, method, path, body=None):
    answer = client.call(method, path, body)
    if answer is None:
        raise SystemExit(f"{method} {path}: no answer")
    return answer


def mint(binary, *args):
    env = dict(os.environ, TEAWIRE_AUTH__JWT_SECRET=SECRET)
    return subprocess.run([binary, "token", "mint", *args], env=env, check=True, capture_output=True, text=True,
                          cwd=tempfile.gettempdir()).stdout.strip()


def yuan(fen):
    return f"{fen // 100}.{fen % 100:02d}"


def write(host, token, dice, products, stop):
    client = Client(host, token)
    while not stop.is_set():
        path = f"/v1/products/{dice.choice(products)}/price?confirm=true"
        if client.call("PUT", path, {"price": yuan(dice.randrange(8_000, 12_000))}) is None:
            return


def make_rules(dice, user, run, products, made):
    """A few rules of each sort; what was acknowledged is in `made`, and when."""
    for n in range(RULES):
        product, line = dice.choice(products), dice.randrange(8_000, 11_500)
        op, mode = dice.choice([("lte", "once"), ("cross_down", "rearm"), ("cross_up", "once"), ("lte", "rearm")])
        rule = {"product": product, "op": op, "price": yuan(line), "mode": mode, "cooldown_s": 60}
        if op == "lte":
            rule["fire_if_true_now"] = False
        answer = must(user, "POST", "/v1/alerts", rule)
        made.append((answer["alert"]["id"], product, op, mode, line, answer["now"]["series"][0]["value"]))


def settled(ops, head):
    """Waits until some node's monitor has nothing left to look at."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for address in ops:
            http_ = http.client.HTTPConnection(address, timeout=5)
            http_.request("GET", "/metrics")
            text = http_.getresponse().read().decode()
            lag = [line for line in text.splitlines() if line.startswith("teawire_alerts_lag_events ")]
            if lag and float(lag[0].split()[1]) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("the monitor does not come to an end")


def millis(text):
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000 + 0.5)


def history(client, product):
    found, path = [], f"/v1/events?topic=product/{product}&type=price.changed&order=asc&limit=200"
    page = must(client, "GET", path)
    while True:
        found += [(e["id"], millis(e["time"]), e["data"]["price_fen"]) for e in page["events"]]
        if not page["next"]:
            return found
        page = must(client, "GET", f"{path}&after={page['next']}")


def expected(prices, op, mode, line, start):
    """How often a rule fires: said plainly, at every price anew."""
    fires, previous, armed, last, held = 0, start, not (op == "lte" and start <= line), None, None
    for at, price in prices:
        if held is not None and held <= at:        # the cooldown ended while it was still true
            fires, last, armed, held = fires + 1, held, False, None
        true = price <= line
        if op == "lte":
            if held is not None and not true:
                held, armed = None, True
            elif not armed and price > line and price * 10_000 >= line * 10_100:
                armed = True
            came = armed and true and held is None
        elif op == "cross_down":
            came = previous > line and true
        else:
            came = previous < line and price >= line
        previous = price
        if came and not (mode == "once" and fires):
            if last is not None and at < last + 60_000:
                if op == "lte":
                    held = last + 60_000
            else:
                fires, last, armed = fires + 1, at, False
    return fires, held


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("teawire")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--database", default="sqlite:teawire.db")
    args = parser.parse_args()
    binary, dice = os.path.abspath(args.teawire), random.Random(args.seed)
    merchant = mint(binary, "--role", "merchant", "--merchant", "m1", "--sub", "m1")
    user = mint(binary, "--role", "shopper", "--sub", "crash")
    began, made, kills = time.monotonic(), [], 0
    with tempfile.TemporaryDirectory() as directory:
        nodes = [start(binary, directory, args.database) for _ in range(args.nodes)]
        for run in range(args.runs):
            products = [f"r{run}-p{n}" for n in range(PRODUCTS)]
            client, owner = Client(nodes[0][1], merchant), Client(nodes[0][1], user)
            for product in products:
                must(client, "POST", "/v1/products", {"id": product, "name": product, "category": "green",
                     "market": "fangcun", "unit": "jin", "price": yuan(dice.randrange(9_000, 11_000))})
            make_rules(dice, owner, run, products, made)
            stop = threading.Event()
            writers = [threading.Thread(target=write, args=(nodes[n % args.nodes][1], merchant,
                       random.Random(dice.random()), products, stop)) for n in range(WRITERS)]
            for thread in writers:
                thread.start()
            time.sleep(dice.random() * 0.25)
            for server, _, _ in nodes:
                server.send_signal(signal.SIGKILL)
                server.wait()
            kills += 1
            stop.set()
            for thread in writers:
                thread.join()
            nodes = [start(binary, directory, args.database) for _ in range(args.nodes)]
        settled([node[2] for node in nodes], None)
        time.sleep(1)
        settled([node[2] for node in nodes], None)
        client, owner = Client(nodes[0][1], merchant), Client(nodes[0][1], user)
        told, path = collections.Counter(), "/v1/notifications?limit=200"
        page = must(owner, "GET", path)
        while True:
            for entry in page["notifications"]:
                if entry["type"] == "price_alert":
                    told[entry["rule"]] += entry["data"]["total"]
            if not page["next"]:
                break
            page = must(owner, "GET", f"{path}&after={page['next']}")
        wanted_all = fired_all = doubled = missed = ticks = 0
        seen = {}
        for rule, product, op, mode, line, first in made:
            if product not in seen:
                seen[product] = [(at, fen) for _, at, fen in history(client, product)]
                ticks += len(seen[product])
            wanted, held = expected(seen[product], op, mode, line, first)
            fired = must(owner, "GET", f"/v1/alerts/{rule}")["fires"]
            # What is held fires when its cooldown ends, which may be now.
            if held is not None and held <= time.time() * 1000 and fired == wanted + 1:
                wanted += 1
            wanted_all, fired_all = wanted_all + wanted, fired_all + fired
            if fired > wanted or told[rule] > wanted:
                doubled += 1
                print(f"rule {rule} {op} {mode} {yuan(line)} on {product}: wanted {wanted}, fired {fired}, told {told[rule]}")
            elif fired < wanted or told[rule] < wanted:
                missed += 1
                print(f"rule {rule} {op} {mode} {yuan(line)} on {product}: wanted {wanted}, fired {fired}, told {told[rule]}")
        for server, _, _ in nodes:
            server.terminate()
            server.wait(30)
    print(f"seed {args.seed}, {args.nodes} node(s): {kills} kills, {ticks} prices, {len(made)} rules, expected {wanted_all} firings, "
          f"fired {fired_all}, in inboxes {sum(told.values())}, doubled {doubled}, missed {missed}, {time.monotonic() - began:.0f} s")
    sys.exit(bool(doubled or missed))


main()
