"""A content digest tells contents apart, and does not change when the program learns a new field."""

from __future__ import annotations

from dataclasses import dataclass, field

from posttrainbench.digest import content_digest


@dataclass(frozen=True)
class Model:
    hub_id: str
    revision: str = "main"


@dataclass(frozen=True)
class ModelOfALaterVersion:
    hub_id: str
    revision: str = "main"
    template: str = ""
    parts: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Shelf:
    models: tuple[Model | ModelOfALaterVersion, ...]


def test_every_content_has_its_own_digest() -> None:
    models = [Model("a"), Model("b"), Model("a", "v2"), Model("", "a")]
    shelves = [Shelf(()), Shelf((models[0],)), Shelf((models[0], models[0])), Shelf(tuple(models))]
    assert len({content_digest(noun) for noun in (*models, *shelves)}) == len(models) + len(shelves)


def test_a_field_added_later_changes_no_digest_of_before() -> None:
    assert content_digest(ModelOfALaterVersion("a")) == content_digest(Model("a"))
    assert content_digest(Shelf((ModelOfALaterVersion("a"),))) == content_digest(Shelf((Model("a"),)))
    assert content_digest(ModelOfALaterVersion("a", template="x")) != content_digest(Model("a"))
