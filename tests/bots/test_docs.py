"""docs/commands.md tells of every verb, in both languages, as the bot itself does."""

import re
from pathlib import Path

import pytest

from bots.commands import COMMANDS, find_command
from bots.language import parse
from bots.turn import Command
from bots.words import LANGUAGES, verb_word

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
_, *PIECES = re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)
SECTIONS = dict(zip(PIECES[::2], PIECES[1::2], strict=True))


def title(command: Command) -> str:
    return verb_word("en", command.verb) if command.verb else "AGENT COMMAND"


def test_there_is_a_section_a_verb_and_none_besides() -> None:
    assert list(SECTIONS) == [title(command) for command in COMMANDS]
    listed = re.findall(r"^\| \[`.+?`\]\(#([\w-]+)\)", PAGE, re.MULTILINE)
    assert listed == [title(command).lower().replace(" ", "-") for command in COMMANDS]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("command", COMMANDS, ids=title)
def test_a_verb_is_described_as_help_describes_it(command: Command, language: str) -> None:
    section, described = SECTIONS[title(command)], LANGUAGES[language].verbs[command.verb]
    assert f"`{described.usage}`" in section
    assert described.does in section
    assert described.example in examples(section)
    assert [word for word in command.aliases if word not in section] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("command", COMMANDS, ids=title)
def test_help_s_list_stands_at_the_top(command: Command, language: str) -> None:
    top, described = PAGE.partition("\n## ")[0], LANGUAGES[language].verbs[command.verb]
    assert f"`{described.usage}`" in top


@pytest.mark.parametrize("command", COMMANDS, ids=title)
def test_what_is_shown_to_be_typed_is_understood_as_that_verb(command: Command) -> None:
    shown = examples(SECTIONS[title(command)])
    assert shown
    assert {find_command(parse(line).verb) for line in shown} == {command}


def examples(section: str) -> list[str]:
    [block] = re.findall(r"```\n(.*?)\n```", section, re.DOTALL)
    lines: list[str] = block.splitlines()
    return lines
