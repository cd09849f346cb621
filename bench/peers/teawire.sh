#!/usr/bin/env bash
# teawire, with an empty database and no limits. TEAWIRE=the program (default:
# the release build); WORKERS=n threads that serve (default 1). Any TEAWIRE_…
# setting goes through. Leaves profiles with its address and an admin's token in
# $BENCH_STATE/teawire/.
NAME=teawire
. "$(dirname "$0")/common.sh"
bin=$(realpath -m "${TEAWIRE:-${CARGO_TARGET_DIR:-$BENCH/../target}/release/teawire}")
install() { [ -x "$bin" ] || (cd "$BENCH/.." && cargo build --release --locked); }
launch() {
    rm -rf "$DIR/data"
    mkdir -p "$DIR/data"
    cd "$DIR/data"
    TEAWIRE_AUTH__JWT_SECRET=$(head -c 24 /dev/urandom | base64)
    export TEAWIRE_AUTH__JWT_SECRET
    export TEAWIRE_LISTEN=127.0.0.1:0 TEAWIRE_OPS_LISTEN=127.0.0.1:0
    export TEAWIRE_LIMITS__ENABLED=false TEAWIRE_HTTP__WORKERS="${WORKERS:-1}"
    export TEAWIRE_LOG_FORMAT=json RUST_LOG="${RUST_LOG:-warn}"
    token=$("$bin" token mint --role admin --sub bench --ttl 86400)
    $RUN "$bin" serve >"$DIR/data/out" 2>"$LOG" &
    echo $! >"$PIDS"
    address=
    for _ in $(seq 1200); do
        address=$(sed -n 's#^listening on http://##p' "$DIR/data/out")
        [ -n "$address" ] && break
        runs "$(cat "$PIDS")" || break
        sleep 0.05
    done
    if [ -z "$address" ]; then
        echo "teawire does not listen:" >&2
        tail -5 "$LOG" >&2
        return 1
    fi
    for profile in teawire teawire-prices; do
        sed -e "s#ADDR#$address#" -e "s#TOKEN#$token#" "$BENCH/profiles/$profile.toml" >"$DIR/$profile.toml"
    done
}
# Most of what it does at the end is to wait for its readers.
SIGNAL=-KILL
main "$@"
