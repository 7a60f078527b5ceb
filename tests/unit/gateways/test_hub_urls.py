"""Hub URLs are read as the hub's own clients write them, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.gateways.hub_urls import Call, HubRequest, RepoType, read

SHA = "0123456789abcdef0123456789abcdef01234567"
MODEL, DATASET = RepoType.MODEL, RepoType.DATASET


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/models/o/n", HubRequest(Call.INFO, MODEL, "o/n")),
        ("GET", "/api/models/gpt2", HubRequest(Call.INFO, MODEL, "gpt2")),
        ("GET", "/api/models/o/n/revision/v1.0", HubRequest(Call.INFO, MODEL, "o/n", "v1.0")),
        ("GET", "/api/datasets/o/n/tree/main", HubRequest(Call.TREE, DATASET, "o/n")),
        ("GET", "/api/datasets/o/n/tree/main/a%2Fb", HubRequest(Call.TREE, DATASET, "o/n", "main", "a/b")),
        ("GET", "/api/datasets/o/n/tree/main/a/b", HubRequest(Call.TREE, DATASET, "o/n", "main", "a/b")),
        ("POST", "/api/datasets/o/n/paths-info/" + SHA, HubRequest(Call.PATHS, DATASET, "o/n", SHA)),
        ("GET", "/api/models/o/n/refs", HubRequest(Call.REFS, MODEL, "o/n")),
        ("GET", "/api/models/o/n/auth-check", HubRequest(Call.ACCESS, MODEL, "o/n")),
        ("GET", "/api/models", HubRequest(Call.SEARCH, MODEL, "")),
        ("HEAD", "/o/n/resolve/main/c.json", HubRequest(Call.FILE, MODEL, "o/n", "main", "c.json")),
        ("GET", "/gpt2/resolve/main/c.json", HubRequest(Call.FILE, MODEL, "gpt2", "main", "c.json")),
        ("GET", "/o/n/raw/main/c.json", HubRequest(Call.FILE, MODEL, "o/n", "main", "c.json")),
        (
            "GET",
            "/datasets/o/n/resolve/main/d/t.jsonl",
            HubRequest(Call.FILE, DATASET, "o/n", "main", "d/t.jsonl"),
        ),
        (
            "GET",
            "/datasets/o/n/resolve/refs%2Fconvert%2Fparquet/default/test/0.parquet",
            HubRequest(Call.FILE, DATASET, "o/n", "refs/convert/parquet", "default/test/0.parquet"),
        ),
        (
            "GET",
            "/datasets/o/n/resolve/refs/pr/1/d/t.jsonl",
            HubRequest(Call.FILE, DATASET, "o/n", "refs/pr/1", "d/t.jsonl"),
        ),
        (
            "GET",
            f"/api/resolve-cache/datasets/o/n/{SHA}/d%2Ftest.jsonl",
            HubRequest(Call.FILE, DATASET, "o/n", SHA, "d/test.jsonl"),
        ),
    ],
)
def test_what_the_clients_send(method: str, path: str, expected: HubRequest) -> None:
    assert read(method, path) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/evaluate"),
        ("GET", "/api"),
        ("GET", "/api/whoami-v2"),
        ("DELETE", "/api/models/o/n"),
        ("POST", "/o/n/resolve/main/c.json"),
        ("GET", "/o/n/resolve/main"),
        ("GET", "/o/n/resolve/main/"),
        ("GET", "/o/n/resolve/main/../../etc/passwd"),
        ("GET", "/o/n/resolve/main/%2e%2e/%2e%2e/etc/passwd"),
        ("GET", "/o/n/resolve/main/..%2f..%2fetc%2fpasswd"),
        ("GET", "/o/n/resolve/main//etc/passwd"),
        ("GET", "/o/n/resolve/main/a%5C..%5Cb"),
        ("GET", "/o/n/resolve/main/a%00b"),
        ("GET", "/../x/resolve/main/a"),
        ("GET", "/api/models/a/b/c"),
        ("GET", "/api/models/o/n/tree/"),
        ("GET", "/api/models/%2e%2e/x"),
    ],
)
def test_what_is_no_request(method: str, path: str) -> None:
    assert read(method, path) is None


@given(st.sampled_from(["GET", "HEAD", "POST", "PUT", ""]), st.text(max_size=200))
def test_any_text_is_read_without_a_crash_and_never_climbs(method: str, path: str) -> None:
    asked = read(method, path)
    if asked is not None and asked.file is not None:
        assert not {"", ".", ".."} & set(asked.file.split("/"))
        assert "\\" not in asked.file
