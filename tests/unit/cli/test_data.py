"""`ptb data` and `ptb list benchmarks`, as scripts see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from posttrainbench.cli.main import app
from posttrainbench.errors import SetupError


def answer(*words: str) -> list[dict[str, object]]:
    end = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    rows: list[dict[str, object]] = json.loads(end.stdout)
    return rows


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PTB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_benchmarks_are_listed_without_their_data(no_data: Path) -> None:
    rows = {str(row["benchmark"]): row for row in answer("list", "benchmarks")}
    assert rows["tiny_math"]["data"] == "ready"
    for name in ("aime2025", "bfcl", "gpqa_main", "gsm8k"):
        assert (rows[name]["data"], rows[name]["dev"]) == ("not imported", None)
        assert rows[name]["digest"]


def test_every_file_is_listed_as_absent(no_data: Path) -> None:
    rows = answer("data", "list")
    assert len(rows) == 9
    assert {row["state"] for row in rows} == {"absent"}


def test_a_folder_is_imported_and_a_refused_file_is_an_error(
    no_data: Path, real_data: Path, tmp_path: Path
) -> None:
    rows = answer("data", "import", str(real_data))
    assert {row["state"] for row in rows} == {"imported"}
    assert {row["state"] for row in answer("data", "list")} == {"ready"}
    (tmp_path / "wrong" / "gsm8k").mkdir(parents=True)
    (tmp_path / "wrong" / "gsm8k" / "test.jsonl").write_text("{}\n")
    with pytest.raises(SetupError, match=r"gsm8k/test\.jsonl: 1 rows instead of 1319"):
        answer("data", "import", str(tmp_path / "wrong"))


def test_the_data_folder_is_not_imported_into_itself(no_data: Path) -> None:
    no_data.mkdir()
    with pytest.raises(SetupError, match="data folder itself"):
        answer("data", "import", str(no_data))
