#!/bin/sh
# Prints the time that remains as h:mm; with --seconds, in seconds. It reads the deadline from task.json.
# For your information only: the run ends by a clock outside.
task="$(dirname "$0")/task.json"
deadline=$(sed -n 's/.*"deadline_unix_s": *\([0-9]*\).*/\1/p' "$task" 2>/dev/null | head -n 1)
if [ -z "$deadline" ]; then
    echo "error: $task holds no deadline" >&2
    exit 1
fi
left=$((deadline - $(date +%s)))
[ "$left" -gt 0 ] || left=0
if [ "$1" = "--seconds" ]; then
    echo "$left"
else
    printf '%d:%02d\n' $((left / 3600)) $((left % 3600 / 60))
fi
