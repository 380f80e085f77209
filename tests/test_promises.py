"""docs/promises.md: behind each promise stands a test that exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
UNPROMISED = "What is not promised"


def sections(text: str) -> dict[str, str]:
    """What stands below each heading."""
    _, *parts = HEADING.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def lines(section: str) -> list[str]:
    """Each line of the list with what is folded below it."""
    return re.findall(r"^- (?:.+\n)(?: {2}.+\n)*", section, re.MULTILINE)


def complaints(text: str) -> Iterator[str]:
    for heading, section in sections(text).items():
        for line in lines(section):
            named = TEST.findall(line)
            if not named and heading != UNPROMISED:
                yield f"no test: {line.splitlines()[0]}"
            if line.count("::") != len(named):
                yield f"not understood: {line}"
            yield from (
                f"{path} has no {name}" for path, name in named if name not in names_in(path)
            )


@cache
def names_in(path: str) -> frozenset[str]:
    """The names that pytest collects there, those in classes included."""
    file = ROOT / path
    if not file.is_file() or not file.name.startswith("test_"):
        return frozenset()
    body = ast.parse(file.read_text()).body
    body += [inner for node in body if isinstance(node, ast.ClassDef) for inner in node.body]
    functions = (node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_behind_each_promise_stands_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "promises.md").read_text()
    assert list(complaints(text)) == []
    promised = [line for line in text.splitlines() if line.startswith("- ") and "](#" not in line]
    read = [line.splitlines()[0] for each in sections(text).values() for line in lines(each)]
    assert read == promised


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("- Kept.\n", "no test: - Kept."),
        (
            "- Kept.\n  `tests/test_promises.py::test_nothing`\n",
            "tests/test_promises.py has no test_nothing",
        ),
        ("- Kept.\n  `tests/nowhere.py::test_it`\n", "tests/nowhere.py has no test_it"),
        ("- Kept.\n  tests/test_x.py::test_it\n", "no test: - Kept."),
    ],
)
def test_a_promise_that_nothing_proves_is_named(line: str, complaint: str) -> None:
    assert complaint in list(complaints(f"# Promises\n\n## A yes\n\n{line}"))


def test_what_is_not_promised_needs_no_test() -> None:
    assert list(complaints(f"## {UNPROMISED}\n\n- Anything.\n")) == []


def test_every_heading_is_in_the_table_of_contents() -> None:
    text = (ROOT / "docs" / "promises.md").read_text()
    assert re.findall(r"^- \[(.+)\]\(#", text, re.MULTILINE) == list(sections(text))
