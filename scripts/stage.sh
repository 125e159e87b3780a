# What scripts/demo.sh tells its story with. Commands are printed as a reader would type them, then run.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi
checks=0

chapter() { printf '\n%s── %s%s\n' "$bold$green" "$1" "$plain"; }

say() { printf '%s\n' "$*"; }

# What stops the demonstration before anything has started: what is wrong, and what to do.
refuse() {
    printf '%sdemo: %s%s\n' "$red" "$1" "$plain" >&2
    shift
    [ $# -eq 0 ] || printf '      %s\n' "$@" >&2
    exit 1
}

# The story has gone wrong: the end, with status 1.
fail() {
    printf '%s✗ %s%s\n' "$red" "$1" "$plain" >&2
    [ ! -s .demo/wharf.log ] || { echo "The end of .demo/wharf.log:" >&2; tail -n 15 .demo/wharf.log >&2; }
    exit 1
}

# Prints a command, runs it, shows what it says, and keeps that in $answer.
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    answer=$(eval "$1" 2>&1) || fail "that command failed: $answer"
    [ -z "$answer" ] || printf '%s\n' "$answer" | sed 's/^/  /'
}

# The same for a command whose answer the reader keeps in a variable.
keep() { # NAME COMMAND
    printf '%s$ %s=$(%s)%s\n' "$bold" "$1" "$2" "$plain"
    answer=$(eval "$2" 2>&1) || fail "that command failed: $answer"
    printf -v "$1" '%s' "$answer"
    printf '%s\n' "$answer" | sed 's/^/  /'
}

# Holds the story to what it tells.
expect() { # WHAT CONDITION
    eval "$2" || fail "expected: $1; got: ${answer:-nothing}"
    checks=$((checks + 1))
    printf '  %s✓ %s%s\n' "$green" "$1" "$plain"
}

# Tries a command for a while, until it succeeds; keeps its answer.
until_true() { # SECONDS WHAT COMMAND
    local end=$((SECONDS + $1))
    until answer=$(eval "$3" 2>&1); do
        [ $SECONDS -lt $end ] || fail "$2: not within $1 s ($answer)"
        sleep 0.1
    done
}
