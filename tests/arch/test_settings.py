"""A setting that nobody reads is a promise that nobody keeps."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from services.lifecycle.settings import Settings as LifecycleSettings
from services.projections.settings import Settings as ProjectionsSettings

ROOT = Path(__file__).parents[2]


def settings_of(kind: type[BaseModel], path: str = "") -> Iterator[str]:
    """Dotted names of all settings of a kind, parts within parts."""
    for name, field in kind.model_fields.items():
        yield f"{path}{name}"
        part = next(iter(getattr(field.annotation, "__args__", ())), field.annotation)
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from settings_of(part, f"{path}{name}.")


def attributes_read() -> set[str]:
    """Every attribute that is read anywhere in the services."""
    return {
        node.attr
        for path in (ROOT / "services").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


@pytest.mark.parametrize("kind", [LifecycleSettings, ProjectionsSettings])
def test_every_setting_is_read_somewhere(kind: type[BaseModel]) -> None:
    read = attributes_read()
    assert [name for name in settings_of(kind) if name.rpartition(".")[2] not in read] == []
