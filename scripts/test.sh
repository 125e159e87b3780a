#!/usr/bin/env bash
# `make test`: real clients against the real binary, every crate's tests, then the totals.
#
# Everything is tried before anything is told, so that one run shows every failure. Kernel, clock and disk
# are the machine's own here and may disturb a test: what failed is tried again at the end, by itself, when
# nothing else runs, and is named. What fails then too has failed.
#
# WHILE_WAITING names a command that only computes, such as a linter: it is run at the lowest priority
# beside the end-to-end tests, most of whose time is waiting.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
work=$(mktemp -d)
beside=
trap '[ -z "$beside" ] || kill "$beside" 2>/dev/null; rm -rf "$work"' EXIT

[ "$(id -u)" = 0 ] ||
    echo "test: not root, so what needs namespaces, cgroups or mounts is left out. All of it: sudo env \"PATH=\$PATH\" make test" >&2

status=0 passed=0 failed=0
again=() # what was tried again, and how that went
log=$work/log
step() { printf '\n=== %s, %d min %02d s after the start ===\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

# --- What is tested ---------------------------------------------------------------------------------

step "compiling"
# All at once: each crate of others' is compiled with one set of features, and so once. What does not compile
# is told where it is run.
# Examples are checked by `make lint`, and documentation has no tests: rustdoc would read every crate anew.
tested=(--workspace --lib --bins --tests)
cargo build "${tested[@]}" --keep-going || status=1
# Made before anything else may hold cargo's lock.
for source in examples/hello/main.rs e2e/programs/probe.rs e2e/programs/web.rs; do
    name=$(basename "$source" .rs)
    [ "$name" != main ] || name=hello
    target/debug/xtask image --source "$source" --name "$name" --out "target/e2e/$name-image"
done

# --- End to end -------------------------------------------------------------------------------------

# pytest's words for how a run ended, and how many of them there were.
told() { grep -oE "[0-9]+ $1" <(tail -n 1 "$log") | grep -oE '[0-9]+' || echo 0; }
e2e() { .venv/bin/python -m pytest e2e -o cache_dir="$work/cache" "$@" 2>&1 | tee "$log"; }
e2e_counted() {
    e2e "$@" || status=1
    passed=$((passed + $(told passed))) failed=$((failed + $(told failed) + $(told error)))
}
most_again=25 # More than these are no disturbance.
e2e_again=0

if [ -n "${WHILE_WAITING:-}" ]; then
    nice -n 19 bash -c "$WHILE_WAITING" >"$work/beside" 2>&1 &
    beside=$!
fi
if [ "$(id -u)" = 0 ]; then
    step "end to end, side by side"
    # Each worker has a server, and a network, of its own.
    e2e -m "not docker" -n "${E2E_WORKERS:-$(($(nproc) + 1))}" --dist loadfile --no-loadscope-reorder --reruns 0 ||
        e2e_again=$?
    passed=$((passed + $(told passed))) failed=$(($(told failed) + $(told error)))
    if [ "$e2e_again" = 1 ] && [ "$failed" -le "$most_again" ]; then
        mapfile -t again < <(grep -E '^(FAILED|ERROR) ' "$log")
        failed=0
    elif [ "$e2e_again" != 0 ]; then
        e2e_again=0 status=1
    fi
fi
if [ -n "$beside" ]; then
    step "$WHILE_WAITING"
    wait "$beside" || status=1
    beside=
    cat "$work/beside"
fi

# --- Every crate ------------------------------------------------------------------------------------

step "every crate"
count() { awk -v n="$1" '/^test result:/ { total += $n } END { print total + 0 }' "$log"; }
crates=0
cargo test "${tested[@]}" --no-fail-fast 2>&1 | tee "$log" || crates=1
passed=$((passed + $(count 4))) crates_failed=$(count 6)
mapfile -t named < <(grep -E '^(test .* \.\.\. FAILED|tried once more, alone)' "$log")
if [ "$crates" = 1 ]; then
    crates=0
    mapfile -t targets < <(grep -oE '^ +`-p [^`]+`$' "$log" | tr -d '`')
    [ ${#targets[@]} -gt 0 ] || crates=1
    for target in "${targets[@]}"; do
        step "once more: cargo test$target"
        # shellcheck disable=SC2086 # several words
        cargo test $target 2>&1 | tee "$log" || crates=1
    done
    if [ "$crates" = 1 ]; then status=1; else passed=$((passed + crates_failed)) crates_failed=0; fi
fi
failed=$((failed + crates_failed))
[ ${#named[@]} = 0 ] || again+=("${named[@]}")

# --- What wants the machine for itself --------------------------------------------------------------

if [ "$(id -u)" = 0 ]; then
    if [ "$e2e_again" = 1 ]; then
        step "end to end, once more what failed"
        e2e_counted -m "not docker" --last-failed --last-failed-no-failures none --reruns 1
    fi
    step "end to end, with Docker Engine"
    e2e_counted -m docker --reruns 2
fi

if [ ${#again[@]} -gt 0 ]; then
    printf '\ntest: tried again, alone, since it failed at first:\n'
    printf '  %s\n' "${again[@]}"
fi
step "done"
echo "$passed passed, $failed failed"
exit "$status"
