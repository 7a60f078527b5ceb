"""`tiny_tools`: the embedded world's tool calls matched exactly."""

from __future__ import annotations

from posttrainbench.benchmarks.row_benchmark import RowBenchmark
from posttrainbench.scoring import tool_call


class TinyTools(RowBenchmark):
    """Requests to tools; the one call of a completion must be equal in name and arguments."""

    name = "tiny_tools"
    title = "Tinyworld: tool calls matched exactly"
    hub_id = "tinyworld/tiny-tools"
    max_tokens = 64  # the longest gold answer is well below
    is_correct = staticmethod(tool_call.is_correct)
