"""What attention remembers of the rows that are being decoded: rows leave and join while others go on.

Rows are aligned at their newest token, so padding is on the left: a row that joins late starts at a later
column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

SPARE_COLUMNS = 64  # room made beyond what is needed now, so that not every token copies


class LayerRows(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values, [rows, heads, columns, width], with spare columns on the right."""

    keys: Any  # tensors, once initialised
    values: Any
    is_sliding = False  # a window is a matter of the mask; all columns are kept

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Empty buffers, shaped like the first states."""
        self.keys = key_states.new_empty((*key_states.shape[:2], 0, key_states.shape[-1]))
        self.values = value_states.new_empty((*value_states.shape[:2], 0, value_states.shape[-1]))
        self.is_initialized = True

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: Any,  # noqa: ARG002 - the signature of transformers
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns; all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old, self.length = self.length, self.length + key_states.shape[-2]
        self.keys = _with_room(self.keys, old, self.length)
        self.values = _with_room(self.values, old, self.length)
        self.keys[:, :, old : self.length] = key_states
        self.values[:, :, old : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many columns a mask has, and the first of them."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.length

    def get_max_length(self) -> int:
        """-1: grows as needed."""
        return -1

    def keep(self, rows: torch.Tensor, first_column: int) -> None:
        """Only these rows, without the columns before the first that one of them uses."""
        self.keys = self.keys[:, :, first_column : self.length].index_select(0, rows)
        self.values = self.values[:, :, first_column : self.length].index_select(0, rows)
        self.length -= first_column

    def join(self, other: LayerRows) -> None:
        """The rows of another below these, aligned at the right."""
        length = max(self.length, other.length)
        self.keys = _stacked(self.keys[:, :, : self.length], other.keys[:, :, : other.length], length)
        self.values = _stacked(self.values[:, :, : self.length], other.values[:, :, : other.length], length)
        self.length = length


class KeyValueRows(Cache):
    """Every layer's rows, as a model of `transformers` takes them."""

    layers: list[Any]  # of LayerRows

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=LayerRows)

    def keep(self, rows: Sequence[int], first_column: int) -> None:
        """Only these rows, without the columns before the first that one of them uses."""
        places = torch.tensor(rows, device=self.layers[0].keys.device)
        for layer in self.layers:
            layer.keep(places, first_column)

    def join(self, other: KeyValueRows) -> None:
        """The rows of another below these, aligned at the right."""
        for layer, added in zip(self.layers, other.layers, strict=True):
            layer.join(added)


def _with_room(buffer: torch.Tensor, used: int, needed: int) -> torch.Tensor:
    """The buffer, or a wider copy when `needed` columns do not fit."""
    if needed <= buffer.shape[2]:
        return buffer
    columns = needed + max(SPARE_COLUMNS, needed // 8)
    wider = buffer.new_empty((*buffer.shape[:2], columns, buffer.shape[3]))
    wider[:, :, :used] = buffer[:, :, :used]
    return wider


def _stacked(above: torch.Tensor, below: torch.Tensor, length: int) -> torch.Tensor:
    """Two blocks of rows in one, both ending at column `length`; padding is zero: NaN would pass any mask."""
    rows = above.shape[0] + below.shape[0]
    block = above.new_empty((rows, above.shape[1], length + SPARE_COLUMNS, above.shape[3]))
    for part, start, stop in ((above, 0, above.shape[0]), (below, above.shape[0], rows)):
        padding = length - part.shape[2]
        block[start:stop, :, :padding] = 0
        block[start:stop, :, padding:length] = part
    return block
