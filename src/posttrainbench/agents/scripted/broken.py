"""Crashes before it has a model: what a bug in an agent looks like."""

from __future__ import annotations

import fetch


def main() -> None:
    task = fetch.read_assignment()
    print(f"about to train {task.base_model}", flush=True)
    raise RuntimeError("a shape mismatch that nobody caught")


if __name__ == "__main__":
    main()
