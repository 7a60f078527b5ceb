"""Lists of what can be named in a command, for people and for scripts."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from posttrainbench.report.visible import visible

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Listing:
    """Named things and what is to be known of each; the first column is the name."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    for_scripts: tuple[str, ...] = ()  # columns that a terminal has no room for


def listing_table(listing: Listing) -> Table:
    """The list for a terminal: names are never cut, the last column wraps."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    shown = [n for n, column in enumerate(listing.columns) if column not in listing.for_scripts]
    for position in shown:
        numeric = any(isinstance(row[position], int | float) for row in listing.rows)
        table.add_column(
            listing.columns[position].replace("_", " "),
            justify="right" if numeric else "left",
            no_wrap=position != shown[-1],
            overflow="fold",
        )
    for row in listing.rows:
        first, *others = (Text(_cell(row[position])) for position in shown)
        table.add_row(Text(first.plain, style="bold"), *others)
    return table


def listing_json(listing: Listing) -> str:
    """The list as a JSON array of objects."""
    objects = [dict(zip(listing.columns, row, strict=True)) for row in listing.rows]
    return json.dumps(objects, indent=2, allow_nan=False) + "\n"


def _cell(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else visible(str(value), 200)
