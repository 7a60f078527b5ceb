"""Prompts into completions with one model: rows that end leave, waiting prompts take their places.

One thread works as long as there is work. The longest prompts go first, so that the last to end are short. A
step that does not fit into memory is undone: rows wait again and fewer go together; a row that does not fit
even alone gets a lower token limit, and its completion says so.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch

from posttrainbench.engines.capacity import Capacity
from posttrainbench.engines.key_value_rows import KeyValueRows
from posttrainbench.engines.sampling import Sampling, next_tokens, penalised
from posttrainbench.engines.token_limits import LEAST_TOKENS, Lowered

QUIET_S = 0.02  # when nothing new has come for this long, whoever wanted to ask has asked
STOP_EVERY = 8  # tokens between two looks for stop strings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One rendered prompt and how its completion is drawn."""

    tokens: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling | None = None  # None: what the model's generation settings say
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """The tokens after a prompt, without the end token; `cut` when the limit ended them."""

    text: str
    n_tokens: int
    cut: bool
    lowered: Lowered | None = None


class DoesNotFit(Exception):
    """A prompt that leaves no room for an answer in the model's context or in memory."""


@dataclass(slots=True, eq=False)
class _Row:
    """One prompt on its way."""

    prompt: Prompt
    answer: Future[Completion]
    sampling: Sampling
    limit: int
    seed: str
    lowered: Lowered | None = None
    tokens: list[int] = field(default_factory=list)
    draws: random.Random = field(default_factory=random.Random)
    start: int = 0  # the column of its first token
    ended: bool = False

    @property
    def position(self) -> int:
        """Where its newest token stands, counted from its first."""
        return len(self.prompt.tokens) + len(self.tokens) - 1

    @property
    def reach(self) -> int:
        """The columns that it may come to need."""
        return len(self.prompt.tokens) + self.limit

    def restart(self) -> None:
        """Forget what was decoded; the draws start again too, so nothing shows in the completion."""
        self.tokens, self.ended = [], False
        self.draws = random.Random(self.seed)


class Decoder:
    """Decodes with one model.

    Args:
        model: a causal model of `transformers`, in evaluation mode.
        tokenizer: its tokenizer.
        capacity: what may be in hand at once.
        threads: CPU threads for a step.
    """

    def __init__(self, model: Any, tokenizer: Any, capacity: Capacity, threads: int) -> None:
        self._model, self._tokenizer, self._threads = model, tokenizer, threads
        self._rows_at_most, self._columns_at_most = capacity.rows, capacity.columns
        self._forward_tokens = capacity.forward_tokens
        settings = model.generation_config
        self._settings = Sampling.of(settings)
        self._end_tokens = _end_tokens(settings.eos_token_id, tokenizer.eos_token_id)
        self._padding = settings.pad_token_id if settings.pad_token_id is not None else 0
        config = model.config.get_text_config()
        self.context: int = config.max_position_embeddings
        self._vocabulary = config.vocab_size
        self._lock = threading.Lock()
        self._waiting: list[_Row] = []
        self._worker: threading.Thread | None = None
        self._asked: Counter[str] = Counter()
        self._active: list[_Row] = []
        self._memory = KeyValueRows()
        self._seen: torch.Tensor | None = None

    def submit(self, prompt: Prompt) -> Future[Completion]:
        """The completion to come.

        Raises:
            DoesNotFit: the prompt fills the model's context.
        """
        room = self.context - len(prompt.tokens)
        if room < LEAST_TOKENS:
            raise DoesNotFit(f"a prompt of {len(prompt.tokens)} tokens in a context of {self.context}")
        limit = min(prompt.max_new_tokens, room)
        lowered = Lowered(prompt.max_new_tokens, limit, "context") if limit < prompt.max_new_tokens else None
        with self._lock:
            row = _Row(
                prompt, Future(), prompt.sampling or self._settings, limit, self._seed_of(prompt), lowered
            )
            row.restart()
            self._waiting.append(row)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="decoder", daemon=True)
                self._worker.start()
        return row.answer

    def _seed_of(self, prompt: Prompt) -> str:
        """Different for each time that the same prompt is asked, the same in each evaluation."""
        content = hashlib.sha256(repr((prompt.seed, prompt.tokens)).encode()).hexdigest()
        self._asked[content] += 1
        return f"{content}/{self._asked[content]}"

    @torch.inference_mode()
    def _work(self) -> None:
        torch.set_num_threads(self._threads)  # a thread's own setting
        while True:
            self._settle()
            with self._lock:
                if not self._waiting:
                    self._worker = None
                    return
            try:
                self._decode_all()
            except Exception as error:  # belongs to those who asked
                self._fail(error)

    def _settle(self) -> None:
        """Wait until there is a row for every place, or the queue has stopped growing."""
        seen = -1
        while seen != len(self._waiting) < self._rows_at_most:
            seen = len(self._waiting)
            time.sleep(QUIET_S)

    def _decode_all(self) -> None:
        while self._waiting or self._active:
            try:
                self._refill()
                if self._active:
                    self._step()
                    self._let_go()
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                self._retreat()

    def _refill(self) -> None:
        """Give free places to waiting prompts, unless so few are free that it would slow the others down."""
        free = self._rows_at_most - len(self._active)
        if not self._waiting or (self._active and free < max(1, self._rows_at_most // 4)):
            return
        groups = self._groups(self._taken(free))
        while groups:
            self._drop_ended()
            try:
                self._prefill(groups.pop(0))
            except Exception:
                with self._lock:
                    self._waiting += [row for group in groups for row in group]
                raise

    def _taken(self, places: int) -> list[_Row]:
        """Waiting rows for free places: the longest first, no more than memory holds, one at the least."""
        with self._lock:
            ordered = sorted(self._waiting, key=lambda row: (row.limit, len(row.prompt.tokens)), reverse=True)
            reach = max((row.reach for row in self._active), default=0)
            taken: list[_Row] = []
            for row in ordered[:places]:
                widest = max(reach, row.reach)
                rows = len(self._active) + len(taken)
                if rows and widest * (rows + 1) > self._columns_at_most:
                    break
                reach = widest
                taken.append(row)
            chosen = {id(row) for row in taken}
            self._waiting = [row for row in self._waiting if id(row) not in chosen]
        return taken

    def _groups(self, rows: Sequence[_Row]) -> list[list[_Row]]:
        """Rows whose prompts are read together: of like length, as many as one forward pass may read."""
        groups: list[list[_Row]] = []
        for row in sorted(rows, key=lambda row: len(row.prompt.tokens), reverse=True):
            width = len(groups[-1][0].prompt.tokens) if groups else 0
            if groups and width * (len(groups[-1]) + 1) <= self._forward_tokens:
                groups[-1].append(row)
            else:
                groups.append([row])
        return groups

    def _prefill(self, rows: list[_Row]) -> None:
        """Read the prompts, draw each row's first token, and put the rows beside those under way."""
        width = max(len(row.prompt.tokens) for row in rows)
        padded = [
            [self._padding] * (width - len(row.prompt.tokens)) + list(row.prompt.tokens) for row in rows
        ]
        memory = KeyValueRows()
        old = len(self._active)
        self._active += rows  # from here on they are in hand, whatever happens
        columns = torch.arange(width, device=self._model.device)
        starts = self._column([width - len(row.prompt.tokens) for row in rows])
        logits = self._forward(padded, columns >= starts, (columns - starts).clamp(min=0), memory)
        seen = self._seen_of(rows)
        self._join(rows, memory, width, seen, first=old == 0)
        self._extend(rows, logits, seen)

    def _join(
        self, rows: list[_Row], memory: KeyValueRows, width: int, seen: torch.Tensor | None, first: bool
    ) -> None:
        length = width if first else max(width, self._memory.get_seq_length())
        if not first:
            shift = length - self._memory.get_seq_length()
            for row in self._active[: -len(rows)]:
                row.start += shift
        for row in rows:
            row.start = length - len(row.prompt.tokens)
        if first:
            self._memory, self._seen = memory, seen
            return
        self._memory.join(memory)
        if seen is not None or self._seen is not None:
            above = (
                self._seen if self._seen is not None else self._nothing_seen(len(self._active) - len(rows))
            )
            below = seen if seen is not None else self._nothing_seen(len(rows))
            self._seen = torch.cat([above, below])

    def _step(self) -> None:
        """One more token for every row in hand."""
        rows = self._active
        columns = torch.arange(self._memory.get_seq_length() + 1, device=self._model.device)
        mask = columns >= self._column([row.start for row in rows])
        newest = [row.tokens[-1:] for row in rows]
        positions = self._column([row.position for row in rows])
        logits = self._forward(newest, mask, positions, self._memory)
        self._extend(rows, logits, self._seen)

    def _forward(
        self, tokens: list[list[int]], mask: torch.Tensor, positions: torch.Tensor, memory: KeyValueRows
    ) -> torch.Tensor:
        """Logits of the token after each row, [rows, vocabulary]."""
        out = self._model(
            input_ids=torch.tensor(tokens, device=self._model.device),
            attention_mask=mask.to(torch.long),
            position_ids=positions,
            past_key_values=memory,
            use_cache=True,
            logits_to_keep=1,
        )
        last: torch.Tensor = out.logits[:, -1]
        return last

    def _extend(self, rows: Sequence[_Row], logits: torch.Tensor, seen: torch.Tensor | None) -> None:
        """Add the next token to rows under way, and mark those that it ends."""
        settings = [row.sampling for row in rows]
        if seen is not None:
            logits = penalised(logits, seen, settings)
        drawn = next_tokens(logits, settings, [row.draws.random() for row in rows])
        if seen is not None:
            seen.scatter_(1, self._column(drawn), value=True)
        for row, token in zip(rows, drawn, strict=True):
            if not row.ended:
                row.tokens.append(token)
                row.ended = (
                    token in self._end_tokens
                    or len(row.tokens) >= row.limit
                    or row.answer.cancelled()
                    or self._stopped(row)
                )
                if row.ended:
                    self._answer(row)

    def _stopped(self, row: _Row) -> bool:
        """Whether a stop string has come; looked for now and then, since decoding text costs."""
        if not row.prompt.stop or len(row.tokens) % STOP_EVERY:
            return False
        longest = max(map(len, row.prompt.stop))
        text = self._tokenizer.decode(row.tokens[-(longest + 2 * STOP_EVERY) :], skip_special_tokens=True)
        return any(stop in text for stop in row.prompt.stop)

    def _answer(self, row: _Row) -> None:
        """Hand out a row's completion."""
        complete = bool(row.tokens) and row.tokens[-1] in self._end_tokens
        tokens = row.tokens[:-1] if complete else row.tokens
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        stops = [text.index(stop) for stop in row.prompt.stop if stop in text]
        if stops:
            text = text[: min(stops)]
        if row.answer.set_running_or_notify_cancel():
            row.answer.set_result(
                Completion(text, len(row.tokens), cut=not (complete or stops), lowered=row.lowered)
            )

    def _let_go(self) -> None:
        """Drop rows that have ended when enough have, since a copy of the others costs about one step."""
        ended = sum(row.ended for row in self._active)
        if ended == len(self._active) or ended * 8 >= len(self._active):
            self._drop_ended()

    def _drop_ended(self) -> None:
        places = [place for place, row in enumerate(self._active) if not row.ended]
        if len(places) == len(self._active):
            return
        self._active = [self._active[place] for place in places]
        if not places:
            self._forget()
            return
        first = min(row.start for row in self._active)
        self._memory.keep(places, first)
        for row in self._active:
            row.start -= first
        if self._seen is not None:
            self._seen = self._seen[places]

    def _retreat(self) -> None:
        """Memory ran out: put every row back; try half as many, or with a last one half its tokens."""
        rows = [row for row in self._active if not row.ended]
        self._active = []
        self._forget()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(rows) > 1:
            self._rows_at_most = max(1, len(rows) // 2)
            log.warning("memory ran out; from here on %d rows at once", self._rows_at_most)
        else:
            rows = [row for row in rows if self._lower(row)]
        for row in rows:
            row.restart()
        with self._lock:
            self._waiting += rows

    def _lower(self, row: _Row) -> bool:
        """Halve a row's token limit; False when that leaves nothing worth asking, and the row has failed."""
        row.limit //= 2
        row.lowered = Lowered(row.prompt.max_new_tokens, row.limit, "memory")
        if row.limit >= LEAST_TOKENS:
            return True
        if row.answer.set_running_or_notify_cancel():
            row.answer.set_exception(
                DoesNotFit(f"{len(row.prompt.tokens)} tokens of prompt, alone, in memory")
            )
        return False

    def _fail(self, error: Exception) -> None:
        """Hand an error to everybody who waits."""
        with self._lock:
            rows, self._waiting, self._active = [*self._active, *self._waiting], [], []
            self._forget()
        for row in rows:
            if not row.answer.done():
                row.answer.set_exception(error)

    def _forget(self) -> None:
        self._memory, self._seen = KeyValueRows(), None

    def _seen_of(self, rows: Sequence[_Row]) -> torch.Tensor | None:
        """Which tokens each prompt holds; None when no row is penalised for them."""
        if all(row.sampling.repetition_penalty == 1.0 for row in rows):
            return None
        seen = self._nothing_seen(len(rows))
        for place, row in enumerate(rows):
            seen[place, torch.tensor(row.prompt.tokens, device=seen.device)] = True
        return seen

    def _nothing_seen(self, n_rows: int) -> torch.Tensor:
        return torch.zeros((n_rows, self._vocabulary), dtype=torch.bool, device=self._model.device)

    def _column(self, numbers: Sequence[int]) -> torch.Tensor:
        """Numbers as [rows, 1]."""
        return torch.tensor(numbers, device=self._model.device)[:, None]


def _end_tokens(*ids: int | list[int] | None) -> frozenset[int]:
    """Every id that ends a completion: the generation settings' and the tokenizer's, as vLLM has it too."""
    lists = [[i] if isinstance(i, int) else (i or []) for i in ids]
    return frozenset(token for tokens in lists for token in tokens)


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and any(sign in text for sign in ("can't allocate memory", "not enough memory", "bad_alloc"))
    )
