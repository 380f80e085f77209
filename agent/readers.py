"""Which programs would read an argument once more, as code, whatever quotes it stands in.

No list of such programs is ever whole; this one holds what people do write."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

# Programs that make shell code or a program of their arguments.
ALWAYS_READ = {
    *("eval", "let", "trap", "ssh", "rsh", "autossh", "pdsh"),
    *("watch", "parallel", "at", "batch"),
}
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "su", "runuser"}
# They are given a user's name first.
AS_USER = {"su", "runuser"}
# The letters of the options that take code, and of those that take a program's text.
READ_WITH = {
    **dict.fromkeys(SHELLS, "cs"),
    **dict.fromkeys(("python", "pypy", "psql", "expect"), "c"),
    **dict.fromkeys(("perl", "ruby", "lua", "luajit", "mysql", "mariadb", "dc"), "eE"),
    **dict.fromkeys(("node", "nodejs", "bun"), "ep"),
    "php": "rRBE",
    "tclsh": "",
    "sqlite": "",
}
# These have options that take code, and read none of their input.
OPTION_ALONE = {"env": "S", "flock": "c", "script": "c"}
LONG = ("--command", "--eval", "--execute", "--run", "--print", "--split-string", "--init-command")
# These read their input as code even if they were given something to work on.
CLIENTS = {"mysql", "mariadb", "psql", "sqlite"}
AWKS = {"awk", "gawk", "mawk", "nawk", "original-awk"}
SEDS = {"sed", "gsed"}
# Their options of which it is known whether a value follows.
AWK_OPTION = re.compile(r"--|-[ef]|--(file|source)(=.*)?", re.DOTALL)
SED_OPTION = re.compile(r"--|-[nrEsuz]*[ef]?|-i\S*|--(expression|file)(=.*)?", re.DOTALL)
PROGRAM_FOLLOWS = re.compile(r"-[A-Za-z]*[ef]|--(expression|file|source)")
# These take an option for one wherever it stands.
LATE_OPTIONS = {"mysql", "mariadb", "psql", *SEDS}
# What these are given is never run, however it is called.
PLAIN = {
    *("echo", "printf", "grep", "egrep", "fgrep", "pgrep", "pkill", "killall", "which", "ls"),
    *("cat", "tail", "head", "wc", "sort", "cut", "tr", "uniq", "tee", "systemctl", "service"),
    *("journalctl", "apt", "apt-get", "yum", "dnf", "apk", "pip", "dpkg", "rpm"),
}
# So are these, unless one of their words says that they run something.
PLAIN_UNLESS = {"kubectl", "oc", "docker", "podman", "nomad"}
RUN = {"exec", "run", "debug", "create"}
INPUTS = {"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}
OPERATORS = ";|&()<>\n"
REDIRECTION = re.compile(r"&?>{1,2}[&|]?|<[&>]?")
SIGN = re.compile(r"\\.|\$\(|.", re.DOTALL)
SUBSTITUTIONS = {"$(": ")", "`": "`"}
# A place, what a shell expands, and what find and xargs put in.
OPEN = re.compile(r"[%$]|\{\}")


@dataclass(frozen=True)
class Command:
    """Its words without their quotes. `fed`: an argument may reach it by its input."""

    words: tuple[str, ...]
    fed: bool

    @property
    def programs(self) -> Sequence[str]:
        """Any word of it may be one: sudo, timeout and their like run what follows."""
        first = self.words[:1]
        plain = PLAIN if RUN & set(self.words) else PLAIN | PLAIN_UNLESS
        return first if plain.issuperset(first) else self.words

    def refuse_reader(self) -> None:
        """Raises ValueError, naming the program that reads."""
        for position, word in enumerate(self.programs):
            name, following = program(word), self.words[position + 1 :]
            if reads_again(name, following, self.fed):
                raise ValueError(
                    f"{word} would read the argument once more, as code; "
                    "put this into a script and write: sh script.sh %s"
                )
            options = takewhile(lambda word: word != "--", following)
            if name in LATE_OPTIONS and any(map(begins_open, options)):
                raise ValueError(
                    f"{word} would take an argument that begins with a dash for an option of its "
                    "own; write -- before it"
                )


def refuse_second_readers(template: str) -> None:
    """Raises ValueError."""
    for command in simple_commands(template.replace("%%", "")):
        command.refuse_reader()


def program(word: str) -> str:
    """`/usr/bin/python3.11` is `python`."""
    return re.sub(r"[\d.]*$", "", word.rsplit("/", 1)[-1])


def is_open(word: str) -> bool:
    """Whether an argument stands in it, or what may hold one."""
    return bool(OPEN.search(word))


def begins_open(word: str) -> bool:
    return word.startswith(("%", "$"))


def is_option(word: str) -> bool:
    return word.startswith("-")


def reads_again(name: str, following: Sequence[str], fed: bool) -> bool:
    """Whether this program makes code of an argument, an option or its input."""
    if name in AWKS or name in SEDS:
        return is_open_program(name, following)
    letters = READ_WITH.get(name, OPTION_ALONE.get(name))
    if letters is None:
        return name in ALWAYS_READ
    if any(takes_text(word, letters) for word in following):
        return True
    return name in READ_WITH and reads_more(name, following, fed)


def reads_more(name: str, following: Sequence[str], fed: bool) -> bool:
    """By its input, or as the script that it is to run."""
    if name in CLIENTS:
        return fed or (name == "sqlite" and any(map(is_open, following)))
    plain = [word for word in following if not is_option(word)]
    script = "".join(plain[1:2] if name in AS_USER else plain[:1])
    inputs = INPUTS - {"-"} if name in SHELLS else INPUTS
    by_input = not script or bool(inputs & set(following))
    return begins_open(script) or (by_input and (fed or name in SHELLS))


def takes_text(option: str, letters: str) -> bool:
    if option.startswith("--"):
        return option.startswith(LONG)
    cluster = re.match(r"-[A-Za-z]*", option)
    return bool(cluster and set(letters) & set(cluster[0]))


def is_open_program(name: str, following: Sequence[str]) -> bool:
    """For an awk and a sed: what they are to do is the first word that is no option, and what
    stands behind -e and -f. An awk's -v is given data."""
    words, known = list(following), SED_OPTION
    if name in AWKS:
        words, known = without_data(following), AWK_OPTION
    if not all(known.fullmatch(word) for word in words if is_option(word)):
        return any(map(is_open, words))
    first = next((at for at, word in enumerate(words) if not is_option(word)), len(words))
    return any(
        is_open(word)
        for at, word in enumerate(words)
        if at <= first or is_option(word) or PROGRAM_FOLLOWS.fullmatch(words[at - 1])
    )


def without_data(words: Sequence[str]) -> list[str]:
    kept, before = [], ""
    for word in words:
        if before not in ("-v", "-F") and not re.match(r"-[vF]", word):
            kept.append(word)
        before = word
    return kept


def simple_commands(template: str) -> list[Command]:
    """Those of its substitutions too, $( ) and ` `, wherever they stand."""
    inner: list[str] = []
    outer = read_commands(unquote(iter(SIGN.findall(template)), "", inner), False)
    fed = any(command.fed for command in outer)
    return outer + [command for text in inner for command in read_commands(text, fed)]


def unquote(signs: Iterator[str], end: str, inner: list[str]) -> str:
    """The text up to `end`, with nothing in its quotes that looks like an operator. Substitutions
    are put into `inner`, and only their $ is left of them."""
    return "".join(plain_pieces(signs, end, inner))


def plain_pieces(signs: Iterator[str], end: str, inner: list[str]) -> Iterator[str]:
    for sign in signs:
        if sign == end:
            return
        if sign == "'":
            quoted = "".join(takewhile(lambda one: one != "'", signs))
            yield f"'{re.sub(r'[$`]', '_', hide(quoted))}'"
        elif sign == '"':
            yield f'"{"".join(double_pieces(signs, inner))}"'
        elif sign == "(":
            yield f"({unquote(signs, ')', inner)})"
        else:
            yield expand(sign, signs, inner)


def double_pieces(signs: Iterator[str], inner: list[str]) -> Iterator[str]:
    for sign in signs:
        if sign == '"':
            return
        yield hide(expand(sign, signs, inner))


def expand(sign: str, signs: Iterator[str], inner: list[str]) -> str:
    if sign in SUBSTITUTIONS:
        inner.append(unquote(signs, SUBSTITUTIONS[sign], inner))
        return "$"
    if sign.startswith("\\"):
        return " " if sign == "\\\n" else "_"
    return sign


def hide(text: str) -> str:
    return re.sub(f"[{re.escape(OPERATORS)}]", "_", text)


def read_commands(text: str, fed: bool) -> list[Command]:
    """Each from one operator to the next, its redirections left out."""
    commands: list[Command] = []
    words: list[str] = []
    piped = poured = False
    tokens = ["", *split(text), ""]
    for at, token in enumerate(tokens[1:-1], 1):
        poured = poured or pours(token, tokens[at + 1])
        if not is_operator(token):
            words += [] if REDIRECTION.fullmatch(tokens[at - 1]) else [token]
        elif REDIRECTION.fullmatch(token):
            words = words[:-1] if words and words[-1].isdigit() else words
        else:
            commands.append(Command(tuple(words), piped))
            words, piped = [], piped or "|" in token.replace("||", "")
    commands.append(Command(tuple(words), piped))
    return [Command(command.words, command.fed or poured or fed) for command in commands]


def is_operator(token: str) -> bool:
    return bool(token) and set(token) <= set(OPERATORS)


def pours(token: str, following: str) -> bool:
    """Whether `<` opens something that an argument decides about."""
    simple = bool(REDIRECTION.fullmatch(token))
    return is_operator(token) and "<" in token and (not simple or is_open(following))


def split(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=OPERATORS)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)
