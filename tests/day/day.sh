#!/usr/bin/env bash
# A day of a tea shop, in curls, and what whoever follows it saw: opens, sends its
# price list, corrects a typo, sells off, is sold out, closes with the market's summary.
#
#   tests/day/day.sh URL KEY [--summary]    KEY: a merchant's; --summary waits for the market's
set -euo pipefail
url=$1 key=$2 summary=${3:-}
place=$(mktemp -d)
follower=
trap '[ -z "$follower" ] || kill "$follower" 2>/dev/null || true; rm -rf "$place"' EXIT
cd "$place"
tea() { curl -sS --fail-with-body -H "Authorization: Bearer $key" "$@"; }
say() { printf '\n%s\n' "== $*"; }
# Waits until the follower has seen a line with $1.
seen() {
  for _ in $(seq "${2:-100}"); do
    if grep -q -- "$1" saw; then return; fi
    sleep 0.1
  done
  echo "nobody saw: $1"; cat saw; exit 1
}

curl -sS -N "$url/v1/stream?topic=arrivals,clearance,price/green,market/xinchang&format=text" > saw &
follower=$!
seen hello

say "08:30 opening: a new tea"
tea "$url/v1/products" -d id=day-dafo -d name=大佛龙井 -d category=green -d market=xinchang -d unit=jin -d price=480.00 -d stock=5000
seen 480.00

say "09:00 the price list, tried and then sent"
printf '货号,名称,茶类,市场,单位,价格,库存\nday-dafo,,,,,468.00,\nday-anji,安吉白茶,绿茶,xinchang,斤,620.00,3000\n' > list.csv
tea -T list.csv "$url/v1/import/list.csv?dry_run=true"
! grep -q 468.00 saw || { echo "a dry run was told"; exit 1; }
tea -T list.csv "$url/v1/import/list.csv"
seen 468.00

say "10:15 a typo, 46.80 for 468.00: asked for twice, and corrected"
code=$(curl -sS -o refused -w '%{http_code}' -X PUT "$url/v1/products/day-dafo/price" -H "Authorization: Bearer $key" -d price=46.80)
cat refused; [ "$code" = 422 ]
tea -X PUT "$url/v1/products/day-dafo/price?confirm=true" -d price=46.80
tea -X PUT "$url/v1/products/day-dafo/price" -d price=466.00 -d correction=true -d note=手误
seen 466.00

say "14:00 one jin is kept for a customer; the rest is sold off"
kept=$(tea "$url/v1/products/day-dafo/reservations" -d quantity=500 -d expires_in=900 -d reference=day-1)
echo "$kept"
tea -X PUT "$url/v1/products/day-dafo/clearance" -d price=399.00
seen 399.00

say "16:30 the customer takes theirs, the last is sold: the clearance ends by itself"
id=$(printf '%s' "$kept" | grep -o '"id":"r[0-9a-f]*"' | head -1 | cut -d'"' -f4)
tea -X POST "$url/v1/products/day-dafo/reservations/$id/commit"
tea "$url/v1/products/day-dafo/stock" -d delta=-4500 -H 'Idempotency-Key: day-last'
tea "$url/v1/products/day-dafo/stock" -d delta=-4500 -H 'Idempotency-Key: day-last'
ended() { tea "$url/v1/events?topic=clearance&order=desc&limit=1" | grep -q '"sold_out"'; }
for _ in $(seq 50); do ended && break; sleep 0.1; done; ended

if [ "$summary" = --summary ]; then
  say "18:00 the market's summary"
  for _ in $(seq 900); do
    curl -sS "$url/v1/events?topic=market/xinchang&type=market.summary&limit=1" | grep -q market.summary && break
    sleep 0.1
  done
  curl -sS --fail-with-body "$url/v1/events?topic=market/xinchang&type=market.summary&limit=1" | grep market.summary
fi

say "what a subscriber saw"
sleep 0.5
cat saw
kill "$follower"; follower=
say "1 passed, 0 failed"
