#!/usr/bin/env bash
# `make test`: every crate's tests, then real clients against the real binary, then the totals.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
log=$(mktemp)
trap 'rm -f "$log"' EXIT

[ "$(id -u)" = 0 ] ||
    echo "test: not root, so what needs namespaces, cgroups or mounts is left out. All of it: sudo env \"PATH=\$PATH\" make test" >&2

# Everything is tried before anything is told, so that one run shows every failure.
status=0
cargo test --workspace --no-fail-fast 2>&1 | tee "$log" || status=1
read -r passed failed < <(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$log")

cargo build -p wharf
if [ "$(id -u)" = 0 ]; then
    .venv/bin/python -m pytest e2e 2>&1 | tee "$log" || status=1
    count() { grep -oE "[0-9]+ $1" <(tail -n 1 "$log") | grep -oE '[0-9]+' || echo 0; }
    passed=$((passed + $(count passed)))
    failed=$((failed + $(count failed) + $(count error)))
fi

echo
echo "$passed passed, $failed failed"
exit "$status"
