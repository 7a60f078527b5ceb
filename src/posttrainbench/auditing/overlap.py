"""The overlap check: which test items lie in what an agent wrote or downloaded, of how many too many are.

How they are found is in `search.py`, what is looked for in `passages.py`. Here: what finds count, and the
report. A *weak* find is a coincidence by itself: it counts beside finds that are none, and makes no verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from posttrainbench.auditing.passages import Index
from posttrainbench.auditing.search import Hit
from posttrainbench.auditing.verdict import report
from posttrainbench.finding import CheckReport, Evidence, Finding, Strength

CHECK = "overlap"
_SHOWN = 50


def check_overlap(index: Index, hits: Iterable[Hit], tolerated_items: int, coverage: str) -> CheckReport:
    """The report on test items that were found.

    Args:
        hits: of every document.
        tolerated_items: so many different items may turn up by accident.
        coverage: what was scanned and what was not, in a sentence.
    """
    hits = supported(hits, tolerated_items)
    first: dict[tuple[str, str], Hit] = {}
    places: Counter[tuple[str, str]] = Counter()
    for hit in hits:
        key = (hit.item_id, hit.part)
        places[key] += 1
        if key not in first or hit.covered > first[key].covered:
            first[key] = hit
    items = sorted({item_id for item_id, _ in first})
    covered = (
        f"{coverage}; looked for {len(index.passages)} texts of test items, {index.unscored} were too common"
    )
    if not items:
        return report(CHECK, covered, ())
    strength = Strength.DISQUALIFYING if len(items) > tolerated_items else Strength.NOTE
    evidence = tuple(_evidence(first[key], places[key]) for key in sorted(first)[:_SHOWN])
    questions = sum(part == "question" for _, part in first)
    summary = (
        f"{len(items)} test items in the agent's files: {questions} questions, {len(first) - questions} "
        f"answers ({tolerated_items} items are tolerated); most in {_most(first.values())}"
    )
    return report(CHECK, covered, [Finding(CHECK, strength, summary, evidence)])


def supported(hits: Iterable[Hit], tolerated_items: int) -> list[Hit]:
    """The finds that count: weak ones only in files that hold more items than are tolerated without them."""
    held = list(hits)
    items: dict[str, set[str]] = {}
    for hit in held:
        if not hit.weak:
            items.setdefault(hit.path, set()).add(hit.item_id)
    return [hit for hit in held if not hit.weak or len(items.get(hit.path, ())) > tolerated_items]


def _evidence(hit: Hit, places: int) -> Evidence:
    elsewhere = f", {places} places in all" if places > 1 else ""
    detail = f"the {hit.part}, {hit.covered:.0%} of what its {hit.length} words tell{elsewhere}"
    return Evidence(hit.path, hit.locator, detail, hit.item_id)


def _most(hits: Iterable[Hit]) -> str:
    path, _ = Counter(hit.path for hit in hits).most_common(1)[0]
    return path if len(path) <= 200 else f"{path[:200]}..."
