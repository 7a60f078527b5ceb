"""The final number of a response: what stands behind its last `####`.

Hard cases, each with a row in the tests:
- several marks: the last one counts, so a model may correct itself, and may also talk itself out of an
  answer;
- a mark without a number behind it is no answer, even if an earlier mark had one;
- `1,200`, `12.0`, `+12`, `-0`, `007`, `$12.` become `1200`, `12`, `12`, `0`, `7`, `12`;
- commas count only as thousands separators: `1,2` is no number, and `3,4` is not 34;
- `12.5` stays a fraction, `12.50` is the same number, `12.5.1`, `1e3`, `12/4`, `12%` and `12abc` are no
  numbers;
- digits of other scripts are no digits here; a number that follows on the next line does not count;
- numbers of thousands of digits are compared as text, never turned into floats.
"""

from __future__ import annotations

import re

MARK = "####"
LONGEST_CHARACTERS = 100  # a longer final number is noise

# The mark itself must be exactly four signs: "#####" heads a section.
_MARKED = re.compile(r"(?<!#)####(?!#)([^\n\r#]*)")
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)\$?(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.(?P<fraction>[0-9]+))?"
    r"(?=$|[\s!?;:]|[.,](?:\s|$))"
)


def final_number(text: str) -> str | None:
    """The number behind the last `####` in normal form, or None when there is none.

    Source: the answer format of GSM8K (Cobbe et al., arXiv 2110.14168).
    """
    behind = [match.group(1) for match in _MARKED.finditer(text)]
    if not behind:
        return None
    return _normalised(behind[-1].strip()[: LONGEST_CHARACTERS + 1])


def is_correct(completion: str, target: str) -> bool:
    """Whether the completion's final number is the target (a number without a mark)."""
    found = final_number(completion)
    return found is not None and found == _normalised(target.strip())


def _normalised(text: str) -> str | None:
    match = _NUMBER.match(text)
    if match is None or len(match.group()) > LONGEST_CHARACTERS:
        return None
    whole = match["whole"].replace(",", "").lstrip("0") or "0"
    fraction = (match["fraction"] or "").rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if match["sign"] == "-" and number != "0" else number
