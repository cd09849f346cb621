#!/usr/bin/env bash
# Durable Streams, the Rust server. DURABILITY=wal (default; fdatasync before the answer) or memory.
NAME=durable-streams
. "$(dirname "$0")/common.sh"
bin=$STATE/ds/bin/durable-streams-server
install() { [ -x "$bin" ] || cargo install durable-streams --version 0.1.5 --root "$STATE/ds"; }
launch() {
    free_port 127.0.0.1 19106
    rm -rf "$DIR/data"
    $RUN "$bin" --host 127.0.0.1 --port 19106 --data-dir "$DIR/data" --durability "${DURABILITY:-wal}" >"$LOG" 2>&1 &
    echo $! >"$PIDS"
    wait_port 127.0.0.1 19106
}
# It has nothing to say goodbye with.
SIGNAL=-KILL
main "$@"
