"""On which line each key of a TOML text stands, so that an error can say where to look.

`tomllib` reads values and forgets places. This walks the same text for places only: it is handed texts that
`tomllib` has accepted, so it need not judge them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Path = tuple[str | int, ...]  # ("benchmarks", 1, "weight"); numbers count array elements from 0

_BARE_END = " \t\r\n=.]"
_SCALAR_END = ",]}#\r\n"


def key_lines(text: str) -> dict[Path, int]:
    """Path -> line (from 1) of every table, key and array element of a valid TOML text."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest thing around it that has one (the first line at last)."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


@dataclass
class _Scan:
    text: str
    at: int = 0
    line: int = 1
    lines: dict[Path, int] = field(default_factory=dict)
    elements: dict[Path, int] = field(default_factory=dict)  # arrays of tables: how many so far

    def document(self) -> None:
        table: Path = ()
        self._blanks()
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
            self._blanks()

    def _header(self) -> Path:
        line, is_array = self.line, self.text.startswith("[[", self.at)
        self._skip(2 if is_array else 1)
        path = self._within_arrays(self._key())
        self._skip(2 if is_array else 1)
        if is_array:
            number = self.elements.get(path, 0)
            self.elements[path] = number + 1
            self.lines.setdefault(path, line)
            path = (*path, number)
        self.lines[path] = line
        return path

    def _within_arrays(self, key: tuple[str, ...]) -> Path:
        """`a.b` as a path: where `a` is an array of tables, its last element is meant."""
        path: Path = ()
        for name in key:
            last = self.elements.get(path)
            path = (*path, name) if last is None else (*path, last - 1, name)
        return path

    def _pair(self, table: Path) -> None:
        line = self.line
        path = (*table, *self._key())
        self._skip(1)  # the equals sign
        self.lines[path] = line
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            self._spaces()
            names.append(self._key_part())
            self._spaces()
            if not self.text.startswith(".", self.at):
                return tuple(names)
            self._skip(1)

    def _key_part(self) -> str:
        start = self.at
        if self.text[self.at] in "\"'":
            self._string()
            return self.text[start + 1 : self.at - 1]
        while self.at < len(self.text) and self.text[self.at] not in _BARE_END:
            self.at += 1
        return self.text[start : self.at]

    def _value(self, path: Path) -> None:
        self._spaces()
        first = self.text[self.at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in _SCALAR_END:
                self.at += 1

    def _array(self, path: Path) -> None:
        number = 0
        self._skip(1)
        self._blanks()
        while not self.text.startswith("]", self.at):
            if self.text.startswith(",", self.at):
                self._skip(1)
            else:
                self.lines[(*path, number)] = self.line
                self._value((*path, number))
                number += 1
            self._blanks()
        self._skip(1)

    def _inline_table(self, path: Path) -> None:
        self._skip(1)
        self._blanks()
        while not self.text.startswith("}", self.at):
            if self.text.startswith(",", self.at):
                self._skip(1)
            else:
                self._pair(path)
            self._blanks()
        self._skip(1)

    def _string(self) -> None:
        quote = self.text[self.at]
        delimiter = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self._skip(len(delimiter))
        while not self.text.startswith(delimiter, self.at):
            escaped = quote == '"' and self.text[self.at] == "\\"
            self._skip(2 if escaped else 1)
        self._skip(len(delimiter))
        while len(delimiter) == 3 and self.text.startswith(quote, self.at):
            self._skip(1)  # """a quote at the end of a text""""

    def _blanks(self) -> None:
        """Spaces, line ends and comments."""
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n#":
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                self._skip(1)

    def _spaces(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def _skip(self, count: int) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count
