"""What skadi.yml allows to run, and how a message chooses from it.

Text from a chat never becomes part of a shell line. A shortcut is the operator's own text and may
use a shell. A command is taken apart into words and started directly, without one. A template is
the operator's text too; the words of the message stand beside it as positional parameters.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from .errors import Failed
from .hello import Offer
from .job import Job
from .process import Ended, Limits, run
from .template import Script

SHELL = "/bin/sh"
HELP = ("help", "all")
# The parameters of a command that any words may follow.
ANYTHING = ("...",)
ADVICE = "say `<agent> help` for what can be run here"
"""People say an agent's name before what it is to run; by `help` alone others are asked."""


@dataclass(frozen=True)
class Shortcut:
    short: str
    cmd: str
    dir: str = ""
    help: str = ""


@dataclass(frozen=True)
class Command:
    prefix: str
    words: tuple[str, ...]
    dir: str = ""
    help: str = ""
    params: tuple[str, ...] = ANYTHING


@dataclass(frozen=True)
class Template:
    name: str
    temp: str
    script: Script
    dir: str = ""
    help: str = ""
    params: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What would be started for a message, and where."""

    argv: tuple[str, ...]
    dir: str = ""


@dataclass(frozen=True)
class Menu:
    """All that may be run. Within a kind the first that fits is taken, in the file's order."""

    shortcuts: tuple[Shortcut, ...] = ()
    commands: tuple[Command, ...] = ()
    templates: tuple[Template, ...] = ()

    def plan(self, message: str) -> Plan:
        """Raises Failed, with words for the person who sent the message."""
        for shortcut in self.shortcuts:
            if message == shortcut.short:
                return Plan((SHELL, "-c", shortcut.cmd), shortcut.dir)
        words = split(message)
        for command in self.commands:
            if words[: len(command.words)] == command.words:
                return Plan(words, command.dir)
        for template in self.templates:
            if words[:1] == (template.name,):
                return fill(template, words[1:])
        raise Failed(self._unsupported(message, words))

    def _unsupported(self, message: str, words: tuple[str, ...]) -> str:
        names = [*self._names(), *HELP[:1]]
        near = get_close_matches(message, names, 3) or get_close_matches(
            "".join(words[:1]), names, 3
        )
        meant = f"did you mean: {', '.join(near)}?"
        return f"unsupported command: {message}\n{meant if near else ADVICE}"

    def _names(self) -> list[str]:
        return [
            *(shortcut.short for shortcut in self.shortcuts),
            *(command.prefix for command in self.commands),
            *(template.name for template in self.templates),
        ]

    def offers(self) -> tuple[Offer, ...]:
        """What the server is told of it; where nothing explains an entry, its own text does."""
        return (
            *(Offer(each.short, each.help or each.cmd) for each in self.shortcuts),
            *(Offer(each.prefix, each.help, each.params) for each in self.commands),
            *(
                Offer(each.name, each.help or each.temp, each.params or numbered(each))
                for each in self.templates
            ),
        )

    def text(self) -> str:
        """The list that `help` answers with."""
        parts = [
            section("Shortcuts", ((each.short, each.cmd, each.dir) for each in self.shortcuts)),
            section("Commands", ((each.prefix, "", each.dir) for each in self.commands)),
            section("Templates", ((each.name, each.temp, each.dir) for each in self.templates)),
        ]
        return (
            "\n\n".join(filter(None, parts))
            or "Nothing can be run here yet: skadi.yml lists nothing."
        )


def numbered(template: Template) -> tuple[str, ...]:
    return tuple(f"arg{number}" for number in range(1, template.script.arguments + 1))


def section(title: str, rows: Iterable[tuple[str, str, str]]) -> str:
    lines = [
        f" - {name}" + (f": {text}" if text else "") + (f" [{folder}]" if folder else "")
        for name, text, folder in rows
    ]
    return "\n".join([f"{title}:", *lines]) if lines else ""


def split(message: str) -> tuple[str, ...]:
    if "\0" in message:
        raise Failed("the message holds a NUL character, which no command can be given")
    try:
        return tuple(shlex.split(message))
    except ValueError as error:
        raise Failed(
            f"the quotes of this message do not match ({error}); "
            "a quote that is meant as such is written \\' or \\\""
        ) from None


def fill(template: Template, arguments: tuple[str, ...]) -> Plan:
    wanted = template.script.arguments
    if len(arguments) != wanted:
        raise Failed(
            f"{template.name} takes {wanted} argument{'' if wanted == 1 else 's'}, "
            f"got {len(arguments)}: {template.name}: {template.temp}\n"
            "An argument with blanks is put in quotes."
        )
    return Plan((SHELL, "-c", template.script.text, template.name, *arguments), template.dir)


class Shell:
    """The handler of the shell agent."""

    def __init__(self, menu: Menu, limits: Limits | None = None) -> None:
        self._menu = menu
        self._limits = limits or Limits()

    def __call__(self, job: Job) -> str:
        message = job.message.strip()
        if message in HELP:
            return self._menu.text()
        plan = self._menu.plan(message)
        ended = self._start(plan, job)
        if ended.failure:
            raise Failed(closing_line(ended.output, ended.failure))
        return ended.output

    def _start(self, plan: Plan, job: Job) -> Ended:
        try:
            return run(plan.argv, plan.dir, self._limits, job.reason_to_stop, job.show)
        except OSError as error:
            what = os.fsdecode(error.filename or plan.argv[0])
            raise Failed(f"cannot be started: {what}: {error.strerror or error}") from error


def closing_line(output: str, line: str) -> str:
    return f"{output}\n{line}" if output and not output.endswith("\n") else output + line
