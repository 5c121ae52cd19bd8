"""The documented table of recipe keys is that of the code."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
from dataclasses import MISSING, fields

from david_cli.training.config import TrainConfig
from david_cli.training.recipe import SHIPPED
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "training.md"


def documented(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass, on one line."""
    (body,) = (n.body for n in ast.parse(inspect.getsource(kind)).body if hasattr(n, "body"))
    found = {}
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            found[ast.unparse(field.target)] = " ".join(ast.literal_eval(below.value).split())
    return found


def in_toml(value: object) -> str:
    if value is MISSING:
        return "needed"
    if value is None:
        return "all"
    return f"`{json.dumps(value)}`"


def table() -> str:
    """The rows of the table of hyper-parameters, as the page must have them."""
    words = documented(TrainConfig)
    rows = [
        f"| `{field.name}` | {in_toml(field.default)} | {words[field.name]} |"
        for field in fields(TrainConfig)
    ]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def test_every_hyper_parameter_is_documented_on_the_page() -> None:
    assert table() in PAGE.read_text()


def test_every_shipped_recipe_is_on_the_page() -> None:
    page = PAGE.read_text()
    names = [path.stem for path in SHIPPED.glob("*.toml")]
    assert names
    assert [name for name in names if f"| `{name}` |" not in page] == []
