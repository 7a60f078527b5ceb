"""`tiny_math`: the embedded world's word problems with a final answer."""

from __future__ import annotations

from posttrainbench.benchmarks.row_benchmark import RowBenchmark
from posttrainbench.scoring import final_answer


class TinyMath(RowBenchmark):
    """Word problems; the number after the last `####` of a completion counts."""

    name = "tiny_math"
    title = "Tinyworld: word problems with a final answer"
    hub_id = "tinyworld/tiny-math"
    max_tokens = 96  # the longest gold answer is well below
    is_correct = staticmethod(final_answer.is_correct)
