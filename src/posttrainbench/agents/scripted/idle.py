"""Submits the base model unchanged: the floor that every other agent is measured from."""

from __future__ import annotations

import fetch


def main() -> None:
    fetch.submit_base(fetch.read_assignment())


if __name__ == "__main__":
    main()
