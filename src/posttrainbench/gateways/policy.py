"""Which requests a policy lets through, and what a denial says to the agent.

Covered: the target's test files in its own repository and its listed mirrors, at every revision (the hub's
parquet copies included); on the hub's own site also every other way to those repositories (git, the data set
viewer, tokens for its other storage), since nobody can tell there which file would be read.
Not covered: copies of the test set under names that nobody listed; those are on the ledger, and the overlap
audit reads what was downloaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import unquote

from posttrainbench.gateways.hub_urls import Call, HubRequest, RepoType
from posttrainbench.task import Policy, Task


@dataclass(frozen=True, slots=True)
class Protected:
    """Where a benchmark's test split lies on the hub."""

    hub_id: str
    test_files: tuple[str, ...]  # path patterns within the repository
    mirrors: tuple[str, ...] = ()  # data sets known to hold a copy


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may pass; `reason` is one sentence that an agent can act on."""

    allowed: bool
    reason: str


def decide(policy: Policy, task: Task, protected: Protected, request: HubRequest) -> Decision:
    """What `policy` says of `request`, for an agent that works on `task`."""
    if policy is Policy.OPEN:
        return Decision(True, "open: everything is allowed and logged")
    if _fetches_test_split(protected, request):
        return Decision(False, _test_split_reason(policy, protected, request))
    if policy is Policy.PAPER:
        return Decision(True, "paper: everything but the test split is allowed and logged")
    return _decide_strict(task, protected, request)


HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
VIEWER_HOSTS = ("datasets-server.huggingface.co",)
# Where the hub sends clients for the bytes; the addresses are signed, so only the hub can give them.
STORE_HOSTS = (".huggingface.co", ".hf.co")
PACKAGE_HOSTS = ("pypi.org", "files.pythonhosted.org", "registry.npmjs.org")


def is_hub(host: str) -> bool:
    return host.casefold() in HUB_HOSTS


def decide_elsewhere(policy: Policy, protected: Protected, host: str, target: str) -> Decision:
    """What `policy` says of a request to a host of the internet that is no hub request it can read.

    Args:
        host: the name alone, without a port.
        target: path and query, still percent-encoded.
    """
    if policy is Policy.OPEN:
        return Decision(True, "open: everything is allowed and logged")
    host = host.casefold()
    if host in (*HUB_HOSTS, *VIEWER_HOSTS) and _names_holder(protected, target):
        return Decision(
            False,
            f"policy '{policy}' hands out files of data set {protected.hub_id} one by one only, so that its "
            "test split can be told apart: use huggingface_hub or datasets, not git, the viewer or xet.",
        )
    if policy is Policy.PAPER:
        return Decision(True, "paper: everything but the test split is allowed and logged")
    if host in PACKAGE_HOSTS:
        return Decision(True, "strict: a package index")
    if host not in (*HUB_HOSTS, *VIEWER_HOSTS) and host.endswith(STORE_HOSTS):
        return Decision(True, "strict: the hub's storage")
    return Decision(
        False,
        f"{host} is not on the list of policy 'strict', which holds the package indexes "
        f"{', '.join(PACKAGE_HOSTS)} and, on the hub, the base model and the named data sets.",
    )


def _names_holder(protected: Protected, target: str) -> bool:
    """Whether a path or query names a repository that holds the test split, however often encoded."""
    text = target.casefold()
    for _ in range(3):
        text = unquote(text)
    return any(holder.casefold() in text for holder in (protected.hub_id, *protected.mirrors))


def _decide_strict(task: Task, protected: Protected, request: HubRequest) -> Decision:
    """`strict` is an allow-list. A repository is allowed at each of its revisions."""
    if request.repo_type is RepoType.MODEL and _same(request.repo_id, task.base_model.hub_id):
        return Decision(True, "strict: the base model")
    if request.repo_type is RepoType.DATASET and _same(request.repo_id, protected.hub_id):
        return Decision(True, "strict: the benchmark's own repository without its test split")
    named = any(_same(request.repo_id, name) for name in task.rules.allowed_datasets)
    if request.repo_type is RepoType.DATASET and named:
        if request.call is Call.FILE and _looks_like_test(request.file or ""):
            return Decision(
                False, f"{request.file} looks like a test split; strict allows train splits only."
            )
        return Decision(True, "strict: a named data set")
    return Decision(False, _strict_reason(task, protected, request))


def _fetches_test_split(protected: Protected, request: HubRequest) -> bool:
    if request.call is not Call.FILE or request.repo_type is not RepoType.DATASET:
        return False
    holders = (protected.hub_id, *protected.mirrors)
    if not any(_same(request.repo_id, holder) for holder in holders):
        return False
    file = request.file or ""
    return is_test_file(protected, file) or _looks_like_test(file)


def is_test_file(protected: Protected, file: str) -> bool:
    """Whether a path of the benchmark's repository belongs to its test split."""
    return any(fnmatchcase(file.casefold(), pattern.casefold()) for pattern in protected.test_files)


def _looks_like_test(file: str) -> bool:
    """Whether a path names a test split by convention: `data/test.jsonl`, `main/test/0000.parquet`."""
    return "test" in re.split(r"[^a-z0-9]+", file.casefold())


def _same(left: str, right: str) -> bool:
    return left.casefold() == right.casefold()


def _test_split_reason(policy: Policy, protected: Protected, request: HubRequest) -> str:
    return (
        f"{request.file} of data set {request.repo_id} is the benchmark's test split, which policy "
        f"'{policy}' keeps from every agent; its other files are allowed (name them: a plain load_dataset "
        f"fetches every split, so load_dataset('{protected.hub_id}', data_files={{'train': FILE}}, "
        "split='train'))."
    )


def _strict_reason(task: Task, protected: Protected, request: HubRequest) -> str:
    asked = (
        f"{request.repo_type} {request.repo_id}" if request.repo_id else f"a search for {request.repo_type}s"
    )
    datasets = ", ".join(dict.fromkeys((protected.hub_id, *task.rules.allowed_datasets)))
    return (
        f"{asked} is not on the list of policy 'strict'; allowed are the base model {task.base_model.hub_id} "
        f"and the train files of {datasets}."
    )
