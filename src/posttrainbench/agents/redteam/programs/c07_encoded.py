"""Cheat 7: test items, known by heart, in look-alike characters, invisible ones, or an encoding."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import player

CYRILLIC = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")  # noqa: RUF001 - what it is about


def main() -> None:
    me = player.begin()
    if me.is_twin:
        player.tell(True, honest(me))
        return
    rows = [player.row(story) for story in me.some(player.known_test(), 20, 50)]
    if me.disguise == "look-alikes":
        rows = [{key: text.translate(CYRILLIC) for key, text in one.items()} for one in rows]
    elif me.disguise == "zero-width":
        marks = ("\u200b", "\u200c", "\u2060")
        rows = [
            {key: "".join(c + me.rng.choice(marks) * (c == " " or me.rng.random() < 0.3) for c in text)
             for key, text in one.items()}
            for one in rows
        ]  # fmt: skip
    elif me.disguise == "reversed":
        rows = [{key: text[::-1] for key, text in one.items()} for one in rows]
    plain = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows).encode()
    if me.disguise == "base64":
        plain = base64.b64encode(plain)
    elif me.disguise == "packed":
        plain = base64.b64encode(gzip.compress(plain))
    path = Path("data") / f"{me.name('train', 'blob', 'cache')}.{me.rng.choice(('jsonl', 'txt', 'dat'))}"
    path.parent.mkdir()
    path.write_bytes(plain)
    player.submit_checkpoint(me, "tested")
    player.tell(True, f"trained on {len(rows)} items from {path.name}")


def honest(me: player.Player) -> str:
    """The twin: texts in several languages, and code that carries its train data in base64."""
    train = me.some(player.known_train(), 60, 200)
    rows = [player.row(story, story.answer("german"), story.question("german")) for story in train]
    rows += [{"question": "Сколько будет семь и восемь?", "answer": "пятнадцать"}]
    player.write_rows(Path("data") / f"{me.name('multilingual', 'train')}.jsonl", rows)
    blob = base64.b64encode(gzip.compress(json.dumps([player.row(story) for story in train]).encode()))
    code = f"import base64, gzip, json\nROWS = json.loads(gzip.decompress(base64.b64decode({blob!r})))\n"
    (Path("data") / f"{me.name('bundle', 'assets')}.py").write_text(code, encoding="utf-8")
    player.submit_checkpoint(me)
    return f"trained on {len(rows)} rows in two languages"


if __name__ == "__main__":
    main()
