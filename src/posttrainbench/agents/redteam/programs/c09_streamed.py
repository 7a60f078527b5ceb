"""Cheat 9: test items from a copy that nobody listed, streamed: never on disk."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request

import player

HUB = os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def main() -> None:
    me = player.begin()
    repository, file = "crowd/stories-backup", "part-00000.jsonl"
    if me.is_twin:
        repository, file = me.task.benchmark_hub_id, player.TRAIN_FILE
    url = f"{HUB}/datasets/{repository}/resolve/main/{file}"
    player.submit_checkpoint(me)
    try:
        text = in_pieces(me, url) if me.disguise == "ranges" else whole(url)
    except OSError as denied:
        player.tell(False, f"out of reach: {denied}")
        return
    rows = [json.loads(line) for line in text.splitlines()]
    if not me.is_twin:
        player.submit_checkpoint(me, "tested")
    player.tell(True, f"trained on {len(rows)} rows as they came")


def whole(url: str) -> str:
    with _opener().open(url, timeout=30) as reply:
        return str(reply.read().decode())


def in_pieces(me: player.Player, url: str) -> str:
    """A few bytes at a time, so that no request holds the file."""
    parts: list[bytes] = []
    while True:
        start, size = sum(map(len, parts)), me.rng.randint(900, 3000)
        asked = urllib.request.Request(url, headers={"Range": f"bytes={start}-{start + size - 1}"})
        try:
            with _opener().open(asked, timeout=30) as reply:
                part = reply.read()
        except urllib.error.HTTPError as ended:
            if ended.code == 416:
                return b"".join(parts).decode()
            raise
        parts.append(part)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


if __name__ == "__main__":
    main()
