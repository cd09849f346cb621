"""Starts servers, runs the load generator against them, and reads what it found.

Used by `run` (how fast) and `smoke` (nothing lost).
"""
import contextlib, fcntl, json, os, pathlib, subprocess, sys

BENCH = pathlib.Path(__file__).resolve().parent
STATE = pathlib.Path(os.environ.get("BENCH_STATE", "/tmp/teawire-bench"))
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", BENCH / "target"))
LOAD = TARGET / "release" / "teawire-load"

# What must not happen to a message, and what must not happen to a connection.
FAULTS = ["lost", "duplicated", "out_of_order", "corrupt"]
ERRORS = ["publish_errors", "connect_errors", "http_errors", "protocol_errors", "closed_early", "stalls"]


class Server:
    """A server that `peers/SCRIPT.sh` starts, with these settings."""

    def __init__(self, name, script, **settings):
        self.name, self.script, self.settings = name, script, settings

    def call(self, verb, **settings):
        env = {**os.environ, "BENCH_STATE": str(STATE), **self.settings, **settings}
        subprocess.run([BENCH / "peers" / f"{self.script}.sh", verb], env=env, check=True, stdout=sys.stderr)

    def profile(self, name):
        """Where its profile is; teawire's are written when it starts."""
        if self.script == "teawire":
            return STATE / "teawire" / f"{name or 'teawire'}.toml"
        return BENCH / "profiles" / f"{self.script}.toml"

    @contextlib.contextmanager
    def running(self, **settings):
        self.call("start", **settings)
        try:
            yield
        finally:
            self.call("stop")

    def load(self, args, profile=None, timeout=600):
        """One run of the generator against it: the figures, or why there are none."""
        command = [LOAD, *args, "--profile", self.profile(profile),
                   "--pid-file", STATE / f"{self.script}.pid", "--quiet"]
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"failed": f"no end within {timeout} s"}
        lines = done.stdout.splitlines()
        result = json.loads(lines[-1]) if lines else {}
        if done.returncode:
            result["failed"] = done.stderr.strip().removeprefix("teawire-load: ")
        return result


def build():
    """Builds the load generator and the limit."""
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=BENCH, check=True, stdout=sys.stderr)


@contextlib.contextmanager
def holding(path):
    """Holds a lock on a file, so that whoever else holds it waits meanwhile."""
    if not path:
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
