"""How the words of a message get into an operator's template without ever becoming shell text.

A template keeps printf's look: `echo I am not %s!`. The shell is given the operator's text with a
positional parameter in each place, and the words of the message beside it:

    sh -c 'echo I am not "${1}"!' Hi Jim

So nothing typed in a chat is ever parsed by this shell. What depends on the place is only how the
parameter must be written to stay one word; where that cannot be told for sure, and where another
program would read the text as code once more, the template is refused when the file is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .readers import refuse_second_readers

PLACE = re.compile(r"%(?:\[([1-9]\d?)\])?([svq])")
SINGLE, DOUBLE, BACKTICK, BRACE, PAREN = "'", '"', "`", "${", "("
IN_PLAIN = '"${%d}"'
IN_DOUBLE = "${%d}"
IN_SINGLE = "'\"${%d}\"'"
# Forms in which a shell evaluates a parameter's value, or in which quotes mean something else.
EVALUATED = ("$((", "$[", "((", "[[", "<<", "$'")


@dataclass(frozen=True)
class Script:
    """A template made ready: the text for `sh -c` and how many arguments it takes."""

    text: str
    arguments: int


def prepare(template: str) -> Script:
    """Raises ValueError, saying what to write instead."""
    if PLACE.search(template.replace("%%", "")):
        refuse_second_readers(template)
        return Scanner(template).scan()
    if "%" in template.replace("%%", ""):
        raise ValueError(KNOWN_PLACES)
    return Script(template.replace("%%", "%"), 0)


KNOWN_PLACES = "only %s, %v, %q (an argument, quoted) and %% (a percent sign) are known"


class Scanner:
    """Walks over a template, knowing at each place which quotes are open."""

    def __init__(self, template: str) -> None:
        self._rest = template
        self._open: list[str] = []
        self._done: list[str] = []
        self._last = 0
        self._most = 0

    def scan(self) -> Script:
        while self._rest:
            self._step()
        if self._open:
            raise ValueError(f"{self._open[-1]} is opened and never closed")
        return Script("".join(self._done), self._most)

    @property
    def _top(self) -> str:
        return self._open[-1] if self._open else ""

    def _take(self, length: int, instead: str | None = None) -> None:
        self._done.append(self._rest[:length] if instead is None else instead)
        self._rest = self._rest[length:]

    def _step(self) -> None:
        if self._rest.startswith("%"):
            self._percent()
        elif self._top == SINGLE:
            self._close_or_take(SINGLE)
        elif self._rest.startswith("\\"):
            self._backslash()
        elif self._top == BRACE:
            self._in_brace()
        elif self._top == DOUBLE:
            self._in_double()
        else:
            self._in_plain()

    def _percent(self) -> None:
        match = PLACE.match(self._rest)
        if match:
            self._place(match)
        elif self._rest.startswith("%%"):
            self._take(2, "%")
        else:
            raise ValueError(KNOWN_PLACES)

    def _place(self, match: re.Match[str]) -> None:
        self._refuse_here()
        self._last = int(match[1]) if match[1] else self._last + 1
        self._most = max(self._most, self._last)
        form = {SINGLE: IN_SINGLE, DOUBLE: IN_DOUBLE}.get(self._top, IN_PLAIN)
        self._take(match.end(), form % self._last)

    def _refuse_here(self) -> None:
        if self._top in (BACKTICK, BRACE):
            raise ValueError(f"an argument cannot stand safely inside of {self._top}; use a script")
        if self._top == PAREN and DOUBLE in self._open:
            raise ValueError('an argument cannot stand inside of "$( )"; use a script')
        if self._done and self._done[-1] == "$" and self._top != SINGLE:
            raise ValueError("an argument cannot be the name of a variable; take the $ away")

    def _close_or_take(self, closing: str) -> None:
        if self._rest.startswith(closing):
            self._open.pop()
        self._take(1)

    def _backslash(self) -> None:
        if self._rest.startswith("\\%"):
            raise ValueError("a backslash before % is not needed; take it away")
        self._take(2)

    def _in_brace(self) -> None:
        if self._rest[0] in "'\"`${":
            raise ValueError("quotes or ${ inside of ${ } are too intricate beside an argument")
        self._close_or_take("}")

    def _in_double(self) -> None:
        if self._rest.startswith(DOUBLE):
            self._close_or_take(DOUBLE)
        else:
            self._substitution()

    def _in_plain(self) -> None:
        for form in EVALUATED:
            if self._rest.startswith(form):
                raise ValueError(f"{form} evaluates what it is given; put it into a script")
        if self._rest[0] in (SINGLE, DOUBLE):
            self._enter(self._rest[0], 1)
        elif self._rest.startswith("("):
            self._enter(PAREN, 1)
        elif self._rest.startswith(")"):
            if self._top != PAREN:
                raise ValueError("a ) that closes nothing is too intricate beside an argument")
            self._close_or_take(")")
        else:
            self._substitution()

    def _substitution(self) -> None:
        if self._rest.startswith(("$((", "$[")):
            raise ValueError("arithmetic evaluates what it is given; put it into a script")
        if self._rest.startswith("$("):
            self._enter(PAREN, 2)
        elif self._rest.startswith("${"):
            self._enter(BRACE, 2)
        elif self._rest.startswith("`"):
            self._backtick()
        else:
            self._take(1)

    def _backtick(self) -> None:
        if BACKTICK in self._open:
            if self._top != BACKTICK:
                raise ValueError(
                    "quotes inside of ` ` are too intricate beside an argument; use $( )"
                )
            self._close_or_take(BACKTICK)
        else:
            self._enter(BACKTICK, 1)

    def _enter(self, what: str, length: int) -> None:
        self._open.append(what)
        self._take(length)
