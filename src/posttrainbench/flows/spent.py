"""What the attempts of a run have spent of its budget, read from the ledger: it outlives a killed worker."""

from __future__ import annotations

from collections.abc import Iterable

from posttrainbench.budget import Spend
from posttrainbench.ledger import LedgerEntry, Scalar

CLOCK = "clock"  # the kind of entry that says how long the agent has worked, with `elapsed_s`


def spent(entries: Iterable[LedgerEntry]) -> Spend:
    """What all attempts took until now: time to the last `clock` entry, every model call that came to an end.

    A call without a price counts its tokens; then the cost is None, which is no cost, but not zero either.
    """
    wall_s = attempt_s = cost_usd = 0.0
    tokens = evaluations = broken_off = broken_off_tokens = 0
    broken_off_usd = 0.0
    unpriced = False
    for entry in entries:
        data = entry.data
        if entry.kind == "attempt":
            wall_s, attempt_s = wall_s + attempt_s, 0.0
        elif entry.kind == CLOCK:
            attempt_s = _number(data.get("elapsed_s"))
        elif entry.kind == "evaluation":
            evaluations += data.get("score") is not None
        elif entry.kind == "model_call":
            call_tokens = int(_number(data.get("input_tokens")) + _number(data.get("output_tokens")))
            tokens += call_tokens
            cost_usd += _number(data.get("cost_usd"))
            unpriced = unpriced or (call_tokens > 0 and data.get("cost_usd") is None)
            if (estimated := data.get("estimated_tokens")) is not None:
                broken_off += 1
                broken_off_tokens += int(_number(estimated)) - call_tokens
                broken_off_usd += _number(data.get("estimated_usd")) - _number(data.get("cost_usd"))
    return Spend(
        wall_s=wall_s + attempt_s,
        cost_usd=None if unpriced else round(cost_usd, 9),
        tokens=tokens,
        evaluations=evaluations,
        broken_off=broken_off,
        broken_off_usd=round(broken_off_usd, 9) if broken_off else None,
        broken_off_tokens=broken_off_tokens if broken_off else None,
    )


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
