"""What a run costs beside agent, evaluation and model loading: `ptb run` with an agent that does nothing.

    python perf/overhead.py [REPEATS]

The agent exits at once and leaves no model, so nothing is evaluated: all the time that passes is ours, from
the start of the Python interpreter to the end of the command. Two yardsticks of the same minute stand beside
it: an empty Python program, and `import torch`, which is what one evaluation pays before it begins.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

LIMIT_S = 3.0
PTB = (sys.executable, "-m", "posttrainbench.cli.main")


def wall_s(argv: list[str]) -> float:
    """The wall time of a command, in seconds."""
    started = time.monotonic()
    subprocess.run(argv, check=True, capture_output=True)
    return time.monotonic() - started


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            "ptb run, a command that ends at once": [
                wall_s([*PTB, "run", "--command", "true", "--seed", str(seed), "--out", f"{folder}/runs"])
                for seed in range(repeats)
            ],
            "ptb --help": [wall_s([*PTB, "--help"]) for _ in range(repeats)],
            "python -c pass": [wall_s([sys.executable, "-c", "pass"]) for _ in range(repeats)],
            "import torch": [wall_s([sys.executable, "-c", "import torch"]) for _ in range(repeats)],
        }
    unit = statistics.median(rows["import torch"])
    for name, seconds in rows.items():
        median = statistics.median(seconds)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{name:28} median {median:5.2f} s ({spread}), {median / unit:5.2f} x import torch")
    worst = max(rows["ptb run, a command that ends at once"])
    print(f"a run's overhead is at most {worst:.2f} s; the aim is {LIMIT_S:.0f} s")


if __name__ == "__main__":
    main()
