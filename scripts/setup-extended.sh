#!/bin/sh
# Sets up what the extended tests need beside `make setup`: stock agents at their pinned versions. What cannot be had
# here is said, and the tests that need it skip with that reason.
set -eu
BIN=${BIN:-.venv/bin}

say() { printf '%s\n' "$*" >&2; }

if ! command -v npm >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "setup: installing Node.js (stock agents come from npm)"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nodejs npm >/dev/null
fi
for agent in claude-code codex gemini-cli opencode mini-swe-agent; do
    say "setup: installing $agent"
    "$BIN/ptb" agents install "$agent" >/dev/null || say "setup: $agent cannot be installed here; its tests skip"
done
