"""What the package promises to those who embed it."""

import ast
from pathlib import Path

import pytest

import agent

FILES = sorted(Path(agent.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_is_written_for_python_3_9(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    # Without this line `str | None` is evaluated, which 3.9 cannot.
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom)][:1]
    if file.name != "__init__.py":
        assert [node.module for node in futures] == ["__future__"]


def test_all_that_is_offered_is_there() -> None:
    assert agent.__all__ == sorted(agent.__all__)
    assert all(hasattr(agent, name) for name in agent.__all__)
