#!/bin/sh
# Sets up all that PostTrainBench needs: Debian packages where we may install them, else a word on what to install;
# then a virtual environment with every Python package pinned by constraints.txt.
set -eu
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3}

say() { printf '%s\n' "$*" >&2; }

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "setup: Python 3.11 or newer is needed; '$PYTHON' is $("$PYTHON" --version 2>&1)."
    say "       Name another one: make setup PYTHON=python3.11"
    exit 1
}

if ! command -v bwrap >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "setup: installing bubblewrap (the sandbox)"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq bubblewrap >/dev/null
    else
        say "setup: bubblewrap (the sandbox) is missing and this user may not install it. Please run:"
        say "         sudo apt-get install bubblewrap    (Debian, Ubuntu)"
        say "         sudo dnf install bubblewrap        (Fedora)"
        say "       then repeat the command."
        exit 1
    fi
fi

say "setup: creating $VENV"
"$PYTHON" -m venv "$VENV" || {
    say "setup: venv is missing; on Debian and Ubuntu: sudo apt-get install python3-venv"
    exit 1
}
say "setup: installing pinned Python packages (about 1.5 GB; a few minutes)"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable '.[dev]'
say "setup: installing mitmproxy (the gateway's way to the internet) into $VENV/gateway"
"$PYTHON" -m venv "$VENV/gateway"
"$VENV/gateway/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints-gateway.txt \
    mitmproxy
say "setup: done"
