#!/usr/bin/env bash
# Puts the shipped nginx configuration in front of a running server and shows what readers get through it.
#
#   check.sh URL_DIRECT TOKEN [SERVER_LOG]
#
# The server must run with TEAWIRE_HTTP__TRUSTED_PROXIES=127.0.0.1. TOKEN may publish to rooms. With SERVER_LOG, the file
# the server logs to, the reader's address is looked for in it: that takes RUST_LOG=info,teawire=debug, for a request that
# went well is not told of at info. CHECK_SLOW=1 also waits out a poll of 50 s.
set -uo pipefail

[ $# -ge 2 ] || { echo "usage: check.sh URL_DIRECT TOKEN [SERVER_LOG]" >&2; exit 2; }
direct=${1%/} token=$2 server_log=${3:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
logged_before=$([ -z "$server_log" ] || wc -c <"$server_log") # what it says of earlier runs is not about this one
started=()
passed=0 failed=0 skipped=0

finish() {
    # Only what was started here, each by its own id.
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT

ok() { passed=$((passed + 1)); echo "ok    $1"; }
bad() { failed=$((failed + 1)); echo "FAIL  $1${2:+ ($2)}"; }
skip() { skipped=$((skipped + 1)); echo "skip  $1"; }
# check NAME DETAIL COMMAND...: passes if the command does.
check() { local name=$1 detail=$2; shift 2; if "$@"; then ok "$name"; else bad "$name" "$detail"; fi; }
now() { date +%s%3N; }
# within MS COMMAND...: tries again until it succeeds; how long it took is in $took.
within() {
    local limit=$1 from; from=$(now); shift
    until "$@" 2>/dev/null; do
        took=$(($(now) - from)); [ "$took" -lt "$limit" ] || return 1
        sleep 0.02
    done
    took=$(($(now) - from))
}
free_port() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
# In the background the program itself, not a function: `kill` must reach curl and not a shell around it.
curl=("$(type -P curl)" -sS --noproxy '*')
h2=("${curl[@]}" --http2 -k)
publish() { # publish TEXT: directly, not through nginx
    "${curl[@]}" -f -o "$work/receipt" -X POST "$direct/v1/events" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
        -d "{\"topics\":[\"$room\"],\"type\":\"room.message\",\"data\":{\"text\":\"$1\"}}"
}
# start_nginx UPSTREAM_PORT TLS_PORT DIR
start_nginx() {
    "$here/render.sh" "$1" "$2" "$3" >/dev/null || exit 1
    nginx -p "$3" -c "$3/nginx.conf" -e "$3/logs/start.log" 2>"$3/logs/stderr" &
    started+=($!)
    within 5000 "${curl[@]}" -k -o /dev/null "https://127.0.0.1:$2/" || { echo "nginx did not start:"; cat "$3/logs/stderr"; exit 1; }
}

command -v nginx >/dev/null || { echo "nginx is not installed" >&2; exit 2; }
upstream_port=${direct##*:}
tls_port=$(free_port)
dir=$work/nginx
start_nginx "$upstream_port" "$tls_port" "$dir"
edge=https://127.0.0.1:$tls_port
room=room/nginx-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
log=$dir/logs/teawire.access.log
check "the shipped file passes nginx -t" "$(cat "$dir/logs/stderr")" \
    nginx -t -q -p "$dir" -c "$dir/nginx.conf" -e "$dir/logs/start.log"
publish "the room opens" || { echo "cannot publish at $direct: $(cat "$work/receipt" 2>/dev/null)" >&2; exit 2; }

if [ -n "${CHECK_SLOW:-}" ]; then
    quiet=$("${h2[@]}" "$edge/v1/poll?topic=$room-quiet" | sed 's/.*"cursor":"\([^"]*\)".*/\1/')
    "${h2[@]}" -m 70 -o "$work/slow" -w '%{http_code} %{time_total}' "$edge/v1/poll?topic=$room-quiet&cursor=$quiet&wait=50" >"$work/slow.code" &
    slow=$!; started+=("$slow")
fi

# A stream over HTTP/2 is not held back, whatever compression the surroundings ask for.
ticket=ticket-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
"${h2[@]}" -N -m 20 --compressed -D "$work/head" -o "$work/stream" "$edge/v1/stream?topic=$room" -H 'Accept: text/event-stream' &
reader=$!; started+=("$reader")
within 2000 grep -q '^event: hello' "$work/stream"; check "hello over HTTP/2 within 2 s" "${took} ms" [ "$took" -lt 2000 ]
check "the stream is HTTP/2 200 text/event-stream" "$(head -1 "$work/head" 2>&1)" \
    eval 'grep -q "^HTTP/2 200" "$work/head" && grep -qi "^content-type: text/event-stream" "$work/head"'
check "the stream is not compressed" "" eval '! grep -qi "^content-encoding: gzip" "$work/head"'
worst=0
for i in 1 2 3 4 5; do
    publish "大红袍 ¥128.00 🍵 $i"
    if within 1000 grep -qF "大红袍 ¥128.00 🍵 $i\"" "$work/stream"; then [ "$took" -le "$worst" ] || worst=$took; else worst=1000; fi
done
check "five events, each within 1 s of its receipt" "worst $worst ms" [ "$worst" -lt 1000 ]
echo "      (slowest $worst ms)"
kill "$reader" 2>/dev/null; wait "$reader" 2>/dev/null

# The same over HTTP/1.1, for what has no HTTP/2.
"${curl[@]}" --http1.1 -k -N -m 10 -o "$work/stream1" "$edge/v1/stream?topic=$room" &
reader=$!; started+=("$reader")
within 2000 grep -q '^event: hello' "$work/stream1"; check "hello over HTTP/1.1 within 2 s" "${took} ms" [ "$took" -lt 2000 ]
kill "$reader" 2>/dev/null; wait "$reader" 2>/dev/null

# A poll waits, then answers.
cursor=$("${h2[@]}" "$edge/v1/poll?topic=$room" | sed 's/.*"cursor":"\([^"]*\)".*/\1/')
"${h2[@]}" -m 15 -o "$work/poll" -w '%{http_code}' "$edge/v1/poll?topic=$room&cursor=$cursor&wait=10" >"$work/poll.code" &
poll=$!; started+=("$poll")
sleep 1
check "a poll waits while there is no news" "$(cat "$work/poll" 2>/dev/null)" eval 'kill -0 "$poll" 2>/dev/null && [ ! -s "$work/poll" ]'
publish "铁观音 到货"
within 1000 grep -qF '铁观音 到货' "$work/poll"; check "it answers within 1 s of the event" "$took ms, $(cat "$work/poll.code")" [ "$took" -lt 1000 ]
wait "$poll"; check "it answers 200" "$(cat "$work/poll.code")" [ "$(cat "$work/poll.code")" = 200 ]

# Ten streams and a plain request on one connection: what six connections of HTTP/1.1 cannot do.
mark=$(wc -l <"$log")
many=()
for i in $(seq 10); do many+=(-o "$work/many.$i" "$edge/v1/stream?topic=$room&max_age=3"); done
"${h2[@]}" -N -m 20 -Z --parallel-max 20 "${many[@]}" -o "$work/many.plain" "$edge/v1/status" 2>"$work/many.err" &
reader=$!; started+=("$reader")
all_hello() { [ "$(cat "$work"/many.[0-9]* | grep -c '^event: hello')" = 10 ]; }
within 2500 all_hello; check "ten streams at once say hello" "$(cat "$work"/many.[0-9]* 2>/dev/null | grep -c '^event: hello')" all_hello
within 1000 [ -s "$work/many.plain" ]; check "a plain request answers beside them" "$took ms" eval '[ -s "$work/many.plain" ] && ! grep -q "^event: bye" "$work/many.1"'
wait "$reader"
one_connection() { [ "$(tail -n +$((mark + 1)) "$log" | grep -cE '"path":"/v1/(stream|status)"')" = 11 ] &&
    [ "$(tail -n +$((mark + 1)) "$log" | grep -oE '"connection":"[0-9]+"' | sort -u | wc -l)" = 1 ]; }
within 2000 one_connection; check "all eleven shared one connection" "$(tail -n +$((mark + 1)) "$log" | grep -oE '"connection":"[0-9]+"' | sort | uniq -c | tr '\n' ' ')" one_connection
check "a stream that ends tells its reader why" "" grep -q '^event: bye' "$work/many.1"

# Sizes.
code() { "${h2[@]}" -m 60 -o "$work/body" -w '%{http_code}' -H "Authorization: Bearer $token" "$@"; }
head -c 307200 /dev/zero | tr '\0' ' ' >"$work/300k"
head -c 204800 /dev/zero | tr '\0' ' ' >"$work/200k"
{ echo 'id,price'; head -c 16700000 /dev/zero | tr '\0' '\n'; } >"$work/16m"
head -c 16777217 /dev/zero | tr '\0' '\n' >"$work/17m"
got=$(code -X POST "$edge/v1/events" -H 'Content-Type: application/json' --data-binary @"$work/300k")
check "300 KiB are too much for an event" "$got" [ "$got" = 413 ]
check "and the refusal is a problem document" "$(head -c 200 "$work/body")" grep -q '"code":"body_too_large"' "$work/body"
got=$(code -X POST "$edge/v1/events" -H 'Content-Type: application/json' --data-binary @"$work/200k")
check "200 KiB reach the server" "$got" eval '[ "$got" != 413 ] && [ "$got" -lt 500 ]'
for path in /v1/import /v1/import/prices.csv; do
    got=$(code -X POST "$edge$path" -H 'Content-Type: text/csv' --data-binary @"$work/16m")
    check "a list of nearly 16 MiB reaches $path" "$got $(head -c 200 "$work/body")" eval '[ "$got" != 413 ] && [ "$got" -lt 500 ]'
done
got=$(code -X POST "$edge/v1/import" -H 'Content-Type: text/csv' --data-binary @"$work/17m")
check "one byte more than 16 MiB is refused" "$got" [ "$got" = 413 ]

# Methods and headers pass through.
got=$("${h2[@]}" -I -m 5 -o /dev/null -w '%{http_code}' "$edge/v1/status"); check "HEAD passes" "$got" [ "$got" = 200 ]
got=$("${h2[@]}" -I -m 5 -o "$work/headstream" -w '%{http_code}' "$edge/v1/stream?topic=$room"); check "HEAD of a stream answers and ends" "$got" [ "$got" = 200 ]
got=$("${h2[@]}" -X DELETE -m 5 -D "$work/allow" -o /dev/null -w '%{http_code}' "$edge/v1/status")
check "405 passes with its Allow" "$got $(cat "$work/allow")" eval '[ "$got" = 405 ] && grep -qi "^allow: .*GET" "$work/allow"'
got=$("${h2[@]}" -X POST -m 5 -o /dev/null -w '%{http_code}' "$edge/v1/stream?topic=$room"); check "405 of a stream passes" "$got" [ "$got" = 405 ]

# Who asked, and what must not be written down. The reader comes from 127.0.0.7 and claims to be 203.0.113.9.
id=check-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
"${h2[@]}" -m 5 --interface 127.0.0.7 -o /dev/null "$edge/v1/status?ticket=$ticket" -H 'X-Forwarded-For: 203.0.113.9' -H "X-Request-Id: $id" -H "Referer: https://x/?ticket=$ticket"
"${h2[@]}" -m 2 --interface 127.0.0.7 -o /dev/null "$edge/v1/stream?topic=$room&max_age=1&ticket=$ticket" 2>/dev/null
"${h2[@]}" -m 5 -o /dev/null "$edge/v1/status" -H 'X-Request-Id: no good"}'
within 2000 grep -q "\"request_id\":\"$id\"" "$log"; check "nginx logs the reader and the request id" "" \
    eval 'grep "\"request_id\":\"$id\"" "$log" | grep -q "\"client\":\"127.0.0.7\""'
check "a request id that is not harmless is replaced" "" eval '! grep -q "no good" "$log"'
if [ -n "$server_log" ]; then
    # With or without colours, JSON or pretty.
    logged() { tail -c +$((logged_before + 1)) "$server_log" | sed 's/\x1b\[[0-9;]*m//g' | grep -qE "client_address\"?[=:] ?\"?$1"; }
    within 3000 logged '127\.0\.0\.7'; check "the server logs the reader's address" "no client_address 127.0.0.7" logged '127\.0\.0\.7'
    check "and does not believe the reader's own claim" "" eval '! logged "203\.0\.113\.9"'
else
    skip "the server logs the reader's address (no SERVER_LOG given)"
fi

# No node at all: a second nginx whose upstream port is closed.
dead=$work/dead
dead_port=$(free_port)
start_nginx "$(free_port)" "$dead_port" "$dead"
got=$("${h2[@]}" -m 5 -D "$work/head" -o "$work/away" -w '%{http_code}' "https://127.0.0.1:$dead_port/v1/stream?topic=$room&ticket=$ticket")
check "no node: a stream is answered 200 text/event-stream" "$got" eval '[ "$got" = 200 ] && grep -qi "^content-type: text/event-stream" "$work/head"'
check "with retry and a bye" "$(cat "$work/away")" eval 'grep -qE "^retry: [0-9]{4}$" "$work/away" && grep -q "^event: bye$" "$work/away" && grep -qE "^data: \{\"code\":\"busy\",\"retry_after_ms\":[0-9]+,\"cursor\":null\}$" "$work/away"'
got=$("${h2[@]}" -m 5 -D "$work/head" -o "$work/body" -w '%{http_code}' "https://127.0.0.1:$dead_port/v1/poll?topic=$room")
check "no node: a poll is answered 503, a problem, Retry-After" "$got $(head -c 100 "$work/body")" \
    eval '[ "$got" = 503 ] && grep -qi "^retry-after: 2" "$work/head" && grep -qi "^content-type: application/problem+json" "$work/head" && grep -q "\"retry_after_ms\":2000" "$work/body"'
within 1000 grep -q '"path":"/v1/poll"' "$dead/logs/teawire.access.log"
check "no ticket stands in any log of nginx" "$(grep -rl -- "$ticket" "$dir/logs" "$dead/logs" 2>/dev/null)" \
    eval '! grep -rq -- "$ticket" "$dir/logs" "$dead/logs"'
check "all requests were logged in the shipped format" "" eval '[ "$(wc -l <"$log")" -gt 20 ] && [ ! -s "$dir/logs/other.access.log" ]'

if [ -n "${CHECK_SLOW:-}" ]; then
    wait "$slow"
    check "a poll of 50 s is waited out" "$(cat "$work/slow.code")" eval 'grep -q "^200 5" "$work/slow.code" && grep -q "\"events\":\[\]" "$work/slow"'
fi

if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" -eq 0 ]
