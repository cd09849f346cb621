#!/usr/bin/env bash
# The limit. SWEEP=1: messages that wait are joined; WRITEV=1: those of one request are.
NAME=rawlimit
. "$(dirname "$0")/common.sh"
bin=${RAWLIMIT:-${CARGO_TARGET_DIR:-$BENCH/target}/release/rawlimit}
install() { [ -x "$bin" ] || (cd "$BENCH" && cargo build --release --locked); }
launch() {
    free_port 127.0.0.1 19100
    $RUN "$bin" --listen 127.0.0.1:19100 --threads "${WORKERS:-1}" ${WRITEV:+--writev} ${SWEEP:+--sweep} >"$LOG" 2>&1 &
    echo $! >"$PIDS"
    wait_port 127.0.0.1 19100
}
main "$@"
