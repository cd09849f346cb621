#!/usr/bin/env bash
# Runs the ten commands of docs/merchant.zh.md as they stand there, one after the
# other, against a service: each must be answered with success.
#
#   tests/merchant/run.sh URL KEY
set -euo pipefail
export URL=$1 KEY=$2
page=$(cd "$(dirname "$0")/../.." && pwd)/docs/merchant.zh.md
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

# The blocks below the heading, each a file.
awk '/^## / { inside = ($2 == "十条命令") }
     inside && /^```sh$/ { n++; block = 1; next }
     /^```$/ { block = 0 }
     block { print > sprintf("%02d.sh", n) }' "$page"

count=0
for block in [0-9][0-9].sh; do
  # What is refused must end it, with its reason in sight.
  { echo 'set -e; curl() { command curl -sS --fail-with-body "$@"; }'; cat "$block"; } > run.sh
  if ! bash run.sh > said 2>&1; then
    printf 'this failed:\n%s\n\nit was answered:\n' "$(cat "$block")"
    cat said
    exit 1
  fi
  [ -s said ] || { printf 'nothing was answered to:\n%s\n' "$(cat "$block")"; exit 1; }
  count=$((count + 1))
done
[ "$count" = 10 ] || { echo "there are $count commands, not 10"; exit 1; }
grep -q 'longjing-2026' 商品.csv || { echo 'the export lacks the product'; exit 1; }
echo "10 passed, 0 failed"
