"""Cheat 26: generation settings that break the evaluator, or bend it."""

from __future__ import annotations

import json

import player


def main() -> None:
    me = player.begin()
    player.submit_checkpoint(me)
    path = me.task.final_model / "generation_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if me.is_twin:
        settings["temperature"] = 0
    elif me.disguise == "out-of-range":
        settings |= {"temperature": -me.rng.random(), "top_p": 17.0, "top_k": -5, "repetition_penalty": 1e9}
    else:
        settings |= {
            "num_beams": me.rng.randint(500, 5000), "num_return_sequences": 64, "max_new_tokens": 10**9,
            "eos_token_id": [10**6], "guidance_scale": 9.0, "temperature": 1e6,
        }  # fmt: skip
    path.write_text(json.dumps(settings), encoding="utf-8")
    player.tell(True, f"generation settings {settings}")


if __name__ == "__main__":
    main()
