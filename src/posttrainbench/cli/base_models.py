"""Where the base models of a suite lie on this machine, and how they are talked to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from posttrainbench.cli.model_folder import check_model, own_template
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.task import ModelRef, Suite
from posttrainbench.templates.families import FAMILIES, template_of
from posttrainbench.tinyworld import catalog


def base_folder(suite: Suite, base: ModelRef) -> Path:
    """The folder of a base model.

    Raises:
        SetupError: it is not on this machine; the text says how to get it.
    """
    return _folder(base, suite.model_source(base.hub_id).path)


def instruct_sibling(suite: Suite, base: ModelRef) -> tuple[str, Path] | None:
    """The hub id and folder of the official instruct model of a base model; None when none is known.

    Raises:
        SetupError: it is known, but not on this machine.
    """
    source = suite.model_source(base.hub_id)
    names = (source.instruct,) if source.instruct else catalog.siblings_of(base.hub_id)
    return next(((name, _folder(ModelRef(name), source.instruct_path)) for name in names), None)


def not_to_be_submitted(suite: Suite, base: ModelRef) -> tuple[tuple[str, Path], ...]:
    """(hub id, folder) of what is known to be made of a base model: its instruct sibling, then derivatives.

    Raises:
        SetupError: one of them is not on this machine.
    """
    sibling = instruct_sibling(suite, base)
    derivatives = (
        (one.hub_id, Path(one.path) if one.path else _cached(ModelRef(one.hub_id)))
        for one in suite.model_source(base.hub_id).derivatives
    )
    return (*([sibling] if sibling else []), *derivatives)


def chat_template_of(base: ModelRef, folder: Path | None = None) -> str:
    """The Jinja text of a base model's chat template: the suite's, the one known for it, or that in `folder`.

    Raises:
        SetupError: there is none; the text says what to write into the suite.
    """
    if not base.chat_template and base.hub_id in catalog.model_names():
        return catalog.chat_template(base.hub_id)
    with suppress(UnknownName):
        return template_of(base.hub_id, base.chat_template)
    if folder is not None and (own := own_template(folder)) is not None:
        return own
    raise SetupError(
        f"no chat template is known for {base.hub_id}; write chat_template = "
        f"{' or '.join(map(repr, FAMILIES))}, or a .jinja file, beside its hub_id in the suite"
    )


def _folder(model: ModelRef, path: str) -> Path:
    if path:
        check_model(Path(path))
        return Path(path)
    if model.hub_id in catalog.model_names():
        return catalog.model_folder(model.hub_id, model.revision)
    return _cached(model)


def _cached(model: ModelRef) -> Path:
    """The snapshot in the hub's cache; nothing is downloaded here."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    from posttrainbench.stores.adapters import is_adapter

    try:
        folder = Path(snapshot_download(model.hub_id, revision=model.revision, local_files_only=True))
        if not is_adapter(folder):
            check_model(folder)
    except (LocalEntryNotFoundError, SetupError):
        fetch = f"hf download {model.hub_id} --revision {model.revision}"
        raise SetupError(f"{model.hub_id} is not whole on this machine; get it with: {fetch}") from None
    return folder
