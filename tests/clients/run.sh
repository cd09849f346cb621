#!/usr/bin/env bash
# Readers that are not ours, each on a road that is cut twice: once between two events, with news while it is away, and
# once in the middle of a character. Each must end with exactly what was published, in order.
#
#   run.sh URL TOKEN        TOKEN may publish to rooms
#
# CLIENTS="curl eventsource" runs only those. CLIENTS_DIR=DIR keeps what is installed there for the next time.
set -uo pipefail

[ $# -eq 2 ] || { echo "usage: run.sh URL TOKEN" >&2; exit 2; }
url=${1%/} token=$2
clients=${CLIENTS:-curl eventsource httpx_sse chromium}
count=40
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
started=()
passed=0 failed=0

finish() {
    # Only what was started here, each by its own id.
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT

ok() { passed=$((passed + 1)); echo "ok    $1"; }
bad() { failed=$((failed + 1)); echo "FAIL  $1${2:+ ($2)}"; }
# until_true SECONDS COMMAND...
until_true() {
    local end=$((SECONDS + $1)); shift
    until "$@" 2>/dev/null; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.05; done
}

# What they need, in a folder of its own: the repository stays clean.
home=${CLIENTS_DIR:-$work/clients}
mkdir -p "$home"
cp "$here"/*.mjs "$here"/*.py "$here"/*.sh "$here"/package.json "$here"/requirements.txt "$home/"
if [[ $clients == *eventsource* || $clients == *chromium* ]] && ! cmp -s "$home/package.json" "$home/installed.json"; then
    (cd "$home" && npm install --no-audit --no-fund --no-package-lock --loglevel=error) >"$work/npm.log" 2>&1 ||
        { cat "$work/npm.log" >&2; echo "npm could not install the clients" >&2; exit 2; }
    cp "$home/package.json" "$home/installed.json"
fi
if [[ $clients == *httpx_sse* ]] && ! cmp -s "$home/requirements.txt" "$home/venv/installed.txt"; then
    { python3 -m venv "$home/venv" && "$home/venv/bin/pip" install -q --disable-pip-version-check -r "$home/requirements.txt"; } >"$work/pip.log" 2>&1 ||
        { cat "$work/pip.log" >&2; echo "pip could not install the clients" >&2; exit 2; }
    cp "$home/requirements.txt" "$home/venv/installed.txt"
fi

event() { printf '{"topics":["%s"],"type":"room.message","data":{"text":"大红袍 ¥128.00 🍵 %s","n":%s}}' "$room" "$1" "$1"; }
# send BODY: the server must take it.
send() {
    local code
    code=$(curl -sS --noproxy '*' -k -m 20 -o "$work/answer" -w '%{http_code}' -X POST "$url/v1/events" \
        -H "Authorization: Bearer $token" -H 'Content-Type: application/json' --data-binary "$1")
    [ "$code" = 201 ] || { echo "note  publishing was answered $code: $(head -c 300 "$work/answer")"; return 1; }
}
publish() { local n; for n in $(seq "$1" "$2"); do send "$(event "$n")" || return 1; done; }
# The same as one batch.
publish_together() {
    local n list=
    for n in $(seq "$1" "$2"); do list="$list${list:+,}$(event "$n")"; done
    send "[$list]"
}
tell() { curl -sS --noproxy '*' -m 5 -o "$work/state" "$@"; }

run() { # run CLIENT: as a process of its own, so that $! is the client
    case $1 in
    *.py) exec "$home/venv/bin/python" "$home/$1" "$proxy" "$room" "$count" ;;
    *.mjs) exec node "$home/$1" "$proxy" "$room" "$count" ;;
    *.sh) exec bash "$home/$1" "$proxy" "$room" "$count" ;;
    esac
}

for client in $clients; do
    echo "--- $client"
    room=room/clients-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
    node "$here/cut-proxy.mjs" "$url" >"$work/$client.road" &
    road=$!; started+=("$road")
    until_true 10 grep -q control "$work/$client.road" || { bad "$client: the road opens"; continue; }
    proxy=$(sed 's/.*"proxy":"\([^"]*\)".*/\1/' "$work/$client.road") control=$(sed 's/.*"control":"\([^"]*\)".*/\1/' "$work/$client.road")

    # The room begins with an event from before the reader's time, which it must not see.
    send "$(event 0)" || { bad "$client: the room opens"; kill "$road"; continue; }
    script=$(basename "$(ls "$here/$client".*)")
    run "$script" >"$work/$client.out" 2>&1 &
    reader=$!; started+=("$reader")
    if until_true 30 grep -q '^ready' "$work/$client.out"; then
        tell -X POST "$control/chop?bytes=5"
        publish 1 13; sent=$?
        tell -X POST "$control/away"
        publish 14 18 && publish_together 19 26; sent=$((sent + $?))
        tell -X POST "$control/cut?at=%F0%9F%8D%B5%2033" # 🍵 33
        tell -X POST "$control/back"
        publish 27 "$count"; sent=$((sent + $?))
        if [ "$sent" = 0 ]; then ok "all $count were taken"; else bad "all $count were taken"; fi
    else
        bad "it says hello"
        kill "$reader" 2>/dev/null
    fi
    wait "$reader"; code=$?
    grep -v '^ready' "$work/$client.out"
    sum=$(grep -oE '[0-9]+ passed, [0-9]+ failed$' "$work/$client.out" | tail -n 1)
    if [ -n "$sum" ]; then
        passed=$((passed + ${sum%% *})) sum=${sum#*, }; failed=$((failed + ${sum%% *}))
    else
        bad "$client: it ends with a sum" "exit $code"
    fi
    tell "$control/state"
    if grep -q '"cuts":1,"drops":[1-9]' "$work/state"; then ok "both cuts came"; else bad "both cuts came" "$(cat "$work/state")"; fi
    kill "$road" 2>/dev/null; wait "$road" 2>/dev/null
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
