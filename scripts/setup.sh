#!/usr/bin/env bash
# Installs what building, demonstrating and testing Wharf need and this machine lacks: a few Debian
# packages, and the AWS CLI, boto3 and pytest in ./.venv. Says nothing to do when there is nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

give_up() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# --- Packages -------------------------------------------------------------------------------------

# What is looked for, and the Debian package that has it.
missing=()
need() { # PACKAGE TEST...
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has_static_libc() { [ -n "$(find /usr/lib /usr/lib64 -name libc.a -print -quit 2>/dev/null)" ]; }

need gcc command -v cc                              # links Rust programs
need libc6-dev has_static_libc                      # for static executables: the images of the examples
need skopeo command -v skopeo                       # pushes images without a Docker Engine
need runc command -v runc                           # the runtime's tests compare themselves with it
need crun command -v crun                           # tests of --oci-runtime
# Tests of --oci-runtime on a kernel of its own; not every distribution has it.
if apt-cache show runsc >/dev/null 2>&1; then need runsc command -v runsc; fi
need nftables command -v nft                        # tests read packet filter rules back
need iproute2 command -v ip                         # tests read links and namespaces back
need curl command -v curl
need docker.io test -S /var/run/docker.sock -o -x /usr/bin/dockerd -o -x /usr/sbin/dockerd  # tests of --runtime docker
need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
need python3 command -v python3
need python3-venv python3 -c 'import ensurepip, venv'

if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    install="apt-get install -y --no-install-recommends ${missing[*]}"
    command -v apt-get >/dev/null ||
        give_up "this machine has no apt-get. Install these by its own package manager, by whatever" \
            "name it knows them, and try again: ${missing[*]}"
    [ "$(id -u)" = 0 ] || give_up "that takes root. Run this, and try again:" "  sudo $install"
    log=$(mktemp -t wharf-setup.XXXXXX)
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && $install; } >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        give_up "apt-get failed; $log has all it said. Mend that, or install by hand: ${missing[*]}"
    }
    rm -f "$log"
fi

# --- Docker Engine --------------------------------------------------------------------------------

# Tests of `--runtime docker` are left out, saying so, where no Engine answers: that is no failure here.
if ! [ -S /var/run/docker.sock ] && [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null; then
    echo "setup: starting Docker Engine"
    service docker start >/dev/null 2>&1 || systemctl start docker >/dev/null 2>&1 ||
        echo "setup: Docker Engine could not be started; tests of --runtime docker will be left out" >&2
fi

# --- Rust -----------------------------------------------------------------------------------------

command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null ||
    give_up "there is no cargo. Rust 1.90 or newer comes from https://rustup.rs; under sudo, keep its" \
        "folder on the path: sudo env \"PATH=\$PATH\" make ..."

# --- Python ---------------------------------------------------------------------------------------

wanted=$(sha256sum <e2e/requirements.txt)
if [ "$(cat .venv/.installed 2>/dev/null)" != "$wanted" ] || ! .venv/bin/python -c 'import boto3' 2>/dev/null; then
    echo "setup: installing the AWS CLI, boto3 and pytest into .venv"
    python3 -m venv --clear .venv ||
        give_up "python3 could not make ./.venv. On Debian: apt-get install python3-venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r e2e/requirements.txt ||
        give_up "pip could not install e2e/requirements.txt: is the package index reachable?"
    echo "$wanted" >.venv/.installed
fi
