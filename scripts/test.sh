#!/usr/bin/env bash
# Every check, in the order in which they fail fastest. The last line says how many tests passed.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh test
cargo fmt --all --check
cargo xtask tidy
cargo clippy --locked --workspace --all-targets -- -D warnings

log=$(mktemp) CORTEN_SKIPPED=$(mktemp)
export CORTEN_SKIPPED # a test that finds no reference data beside the checkout adds a line
trap 'rm -f "$log" "$CORTEN_SKIPPED"' EXIT
status=0
cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$log" || status=$?
read -r passed failed ignored < <(awk '
  /^test result:/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1); if ($i ~ /^ignored/) g += $(i-1) } }
  END { print p + 0, f + 0, g + 0 }' "$log")
if [ "$ignored" != 0 ]; then
  echo "$ignored tests were ignored: a test is run or it is not there" >&2
  status=1
fi
[ "$passed" != 0 ] || status=1
skipped=$(sort -u "$CORTEN_SKIPPED" | wc -l)
[ "$skipped" = 0 ] || sort -u "$CORTEN_SKIPPED" | sed 's/^/skipped: /' >&2
[ "$skipped" = 0 ] && tail="" || tail=", $skipped skipped"
echo "$((passed - skipped)) passed, $failed failed$tail"
exit "$status"
