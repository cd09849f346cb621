#!/usr/bin/env bash
# curl, as a merchant's shell script reads a stream: awk takes the frames apart, the loop comes back with Last-Event-ID.
#
#   curl.sh URL TOPIC COUNT
set -uo pipefail
url=$1 topic=$2 count=$3
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT

# Whole frames only, as `id <tab> type <tab> data`: a frame cut off before its empty line never happened, and its id
# must not be kept. An id stays in force for the frames after it that have none.
frames() {
    LC_ALL=C awk -v OFS='\t' '
        { sub(/\r$/, "") }
        /^id: ?/    { sub(/^id: ?/, ""); next_id = $0; next }
        /^event: ?/ { sub(/^event: ?/, ""); type = $0; next }
        /^data: ?/  { sub(/^data: ?/, ""); data = data (data == "" ? "" : "\n") $0; next }
        /^$/        { id = next_id; if (data != "") print id, type, data; type = data = "" }
    ' "$1"
}

last= hellos=0 attempt=0 ready=
: >"$work/all"
end=$((SECONDS + ${CLIENT_SECONDS:-60})) done_at=
while [ -z "$done_at" ] || [ "$SECONDS" -lt "$done_at" ]; do
    if [ -z "$pid" ]; then
        attempt=$((attempt + 1))
        raw=$work/raw.$attempt
        curl -sSNk --noproxy '*' -o "$raw" ${last:+-H "Last-Event-ID: $last"} -H 'Accept: text/event-stream' \
            "$url/v1/stream?topic=$topic" 2>>"$work/notes" &
        pid=$!
    fi
    alive=1
    kill -0 "$pid" 2>/dev/null || alive=
    [ ! -e "$raw" ] || frames "$raw" >"$work/frames"
    [ -n "$ready" ] || ! grep -q $'\thello\t' "$work/frames" 2>/dev/null || { ready=1; echo ready; }
    if [ -z "$alive" ]; then
        wait "$pid"; pid=
        if [ -e "$raw" ]; then
            cat "$work/frames" >>"$work/all"
            # A connection that brought nothing leaves the cursor where it was.
            newest=$(tail -n 1 "$work/frames" | cut -f 1)
            last=${newest:-$last}
            : >"$work/frames"
        fi
        sleep 0.3
    fi
    got=$(cat "$work/all" "$work/frames" 2>/dev/null | grep -c $'\troom.message\t')
    [ -n "$done_at" ] || [ "$got" -lt "$count" ] || done_at=$((SECONDS + 2)) # a little longer, for what comes twice
    [ "$SECONDS" -lt "$end" ] || break
    sleep 0.1
done
[ -z "$pid" ] || { kill "$pid"; wait "$pid"; } 2>/dev/null
pid=
cat "$work/frames" >>"$work/all"
sed 's/^/note  /' "$work/notes"

passed=0 failed=0
check() { if [ "$2" = 0 ]; then passed=$((passed + 1)); echo "ok    $1"; else failed=$((failed + 1)); echo "FAIL  $1 ($3)"; fi; }
grep $'\troom.message\t' "$work/all" >"$work/events"
hellos=$(grep -c $'\thello\t' "$work/all")
numbers=$(grep -oE '"n":[0-9]+' "$work/events" | cut -d: -f2)
[ "$(wc -l <"$work/events")" = "$count" ] && [ "$(sort -nu <<<"$numbers")" = "$(seq "$count")" ]
check "every event came, and nothing else" $? "$(wc -l <"$work/events") of $count: $(tr '\n' ' ' <<<"$numbers")"
[ "$(sort -nu <<<"$numbers")" = "$numbers" ]; check "in order, none twice" $? "$(tr '\n' ' ' <<<"$numbers")"
intact=0
for n in $numbers; do grep -F "\"n\":$n}" "$work/events" | grep -qF "\"text\":\"大红袍 ¥128.00 🍵 $n\"" ||
    grep -F "\"n\":$n," "$work/events" | grep -qF "\"text\":\"大红袍 ¥128.00 🍵 $n\"" || intact=1; done
[ -n "$numbers" ] && [ "$intact" = 0 ]; check "the text is intact" $? "$(head -n 1 "$work/events")"
[ -n "$numbers" ] && [ -z "$(awk -F '\t' '$1 == "" || index($3, "\"id\":\"" $1 "\"") == 0' "$work/events")" ]
check "the id of the frame is the id of the event" $? "$(head -n 1 "$work/events")"
[ "$hellos" -ge 3 ]; check "it came back with Last-Event-ID after both cuts" $? "$hellos hellos"
! grep -qE $'\t(reset|bye|message|)\t' "$work/all"; check "no reset, no bye" $? "$(grep -E $'\t(reset|bye|message|)\t' "$work/all" | head -n 3)"
echo "curl: $passed passed, $failed failed"
[ "$failed" = 0 ]
