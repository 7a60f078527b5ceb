#!/bin/sh
# Runs a command with a Docker engine of its own and an image of Debian made on the spot, and ends the engine after.
# For tests: no image registry is needed, no engine of the machine is touched. Where it cannot be done the command runs
# all the same, and tests of containers skip.
set -eu

say() { printf '%s\n' "$*" >&2; }

without() {
    say "setup: no container engine: $1; tests of containers skip"
    shift
    exec "$@"
}

[ -n "${PTB_CONTAINER_IMAGE:-}" ] && exec "$@"
[ "$(id -u)" = 0 ] || without "it takes root to start one" "$@"
if ! { command -v dockerd && command -v mmdebstrap; } >/dev/null 2>&1; then
    command -v apt-get >/dev/null 2>&1 || without "dockerd and mmdebstrap are missing" "$@"
    say "setup: installing a container engine"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        docker.io containerd iptables mmdebstrap; } >/dev/null 2>&1 || without "it cannot be installed" "$@"
fi

place=$(mktemp -d)
engine=
finish() {
    if [ -n "$engine" ]; then
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
    fi
    rm -rf "$place" || true
}
trap finish EXIT
trap 'exit 130' INT TERM

PATH=/usr/bin:$PATH
export DOCKER_HOST="unix://$place/engine.sock"
dockerd --iptables=false --bridge=none --data-root "$place/data" --exec-root "$place/exec" --host "$DOCKER_HOST" \
    --pidfile "$place/engine.pid" >"$place/engine.log" 2>&1 &
engine=$!
say "setup: making an image of Debian"
packages=python3-minimal,bash,ca-certificates,libssl3,libffi8,libsqlite3-0,libreadline8,libbz2-1.0,liblzma5,libgomp1,procps
made=yes
mmdebstrap --quiet --variant=minbase --include="$packages" bookworm "$place/root.tar" >"$place/image.log" 2>&1 || made=
tries=0
until docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -gt 60 ] && break
    sleep 0.5
done
if [ -n "$made" ] && docker import "$place/root.tar" posttrainbench-trial:1 >/dev/null 2>&1; then
    rm "$place/root.tar"
    export PTB_CONTAINER_ENGINE=docker PTB_CONTAINER_IMAGE=posttrainbench-trial:1
else
    tail -n 3 "$place/image.log" "$place/engine.log" >&2 || true
    say "setup: no container engine: it did not start or took no image; tests of containers skip"
fi
"$@"
