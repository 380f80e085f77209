"""No text from a chat becomes shell text, in whatever quotes a template has its place."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.template import prepare

# Each prints its argument between these brackets.
PLACES = [
    "printf '<%%s>' %s",
    "printf '<%%s>' '%s'",
    "printf '<%%s>' \"%s\"",
    "printf '<%%s>' ''%s\"\"",
    "printf '<%%s>' '''%s'",
    "printf '%%s' '<%s>'",
    'printf %%s "<%s>"',
    "printf %%s \\<%s\\>",
    "(printf '<%%s>' %s)",
    "x=%s; printf '<%%s>' \"$x\"",
    "x='%s'; printf '<%%s>' \"$x\"",
    "x=$(printf '<%%s>' %s); printf %%s \"$x\"",
    "x=$(printf '<%%s>' '%s'); printf %%s \"$x\"",
    "[ x != %s ] && printf '<%%s>' %[1]s",
    "if true; then printf '<%%s>' \"%v\"; fi",
    "printf '<%%s>' %q | cat > /dev/stdout",
    "y=${HOME}; printf '<%%s>' %s # the end",
    'printf "<%%s>" %s; : "$(true)" `true`',
]
ATTACKS = [
    "Jim",
    "'; touch hit; '",
    '"; touch hit; "',
    "$(touch hit)",
    "`touch hit`",
    "Jim\ntouch hit",
    "Jim; touch hit",
    "& touch hit &",
    "| touch hit",
    "> hit",
    '"',
    "'",
    "'\"'\"'; touch hit",
    "\\",
    "\\'; touch hit; \\'",
    "$1 ${HOME} $$",
    "%s %% %d",
    "* ~ {a,b} ? [a-z]",
    "two  words\t",
    "a[$(touch hit)]",
    "!! #",
    "傻瓜",
    "",
]
SHELLS = sorted({os.path.realpath(path) for path in map(shutil.which, ("sh", "bash")) if path})


def run(template: str, *words: str, folder: Path | None = None, shell: str = "/bin/sh") -> str:
    script = prepare(template)
    assert script.arguments == len(words)
    return subprocess.run(
        [shell, "-c", script.text, "test", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=5,
    ).stdout.decode()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("place", PLACES)
def test_an_argument_stays_one_word_in_every_quoting(
    place: str, shell: str, tmp_path: Path
) -> None:
    for attack in ATTACKS:
        assert run(place, attack, folder=tmp_path, shell=shell) == f"<{attack}>"
    assert not list(tmp_path.iterdir())


def test_a_leading_dash_is_passed_on_as_it_is() -> None:
    assert run("printf '<%%s>' -- %s", "-n") == "<--><-n>"


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["a", "'b'", '"c"', "%s", "'%s'", '"%s"', "\\'", '"\'%s"'])),
    word=WORDS,
)
def test_whatever_the_quotes_around_it_the_argument_comes_out(pieces: list[str], word: str) -> None:
    places = sum("%s" in piece for piece in pieces)
    meant = {"'b'": "b", '"c"': "c", "%s": word, "'%s'": word, '"%s"': word, "\\'": "'"}
    meant['"\'%s"'] = f"'{word}"
    template = "printf '<%%s>' " + "".join(pieces or ["''"])
    assert run(template, *[word] * places) == f"<{''.join(meant.get(p, p) for p in pieces)}>"


@pytest.mark.parametrize(
    "template",
    [
        "echo `basename %s`",
        "echo ${x:-%s}",
        "echo ${x:-'%s'}",
        'echo "$(basename %s)"',
        "echo $((%s + 1))",
        "((%s)) && echo yes",
        "[[ %s -eq 1 ]] && echo yes",
        "cat <<END\n%s\nEND",
        "cat <<< %s",
        "echo $'%s'",
        "echo $%s",
        'echo "$%s"',
        "echo \\%s",
        "echo '%s",
        'echo "%s',
        "echo $(ls %s",
        "case %s in a) ls;; esac",
    ],
)
def test_a_place_that_cannot_be_made_safe_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        prepare(template)


@pytest.mark.parametrize(
    "template",
    [
        "eval echo %s",
        "sh -c 'echo %s'",
        "sudo -u root bash -lc %s",
        "su - op -c %s",
        "echo %s | sh",
        "echo %s\nssh web uptime",
        "ssh web restart %s",
        "x=%s; ssh web restart $x",
        "python3.11 -c 'print(\"%s\")'",
        "perl -e'print %s'",
        "psql --command='select %s'",
        "/usr/bin/watch ls %s",
    ],
)
def test_a_program_that_reads_its_argument_as_code_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="once more, as code"):
        prepare(template)


@pytest.mark.parametrize(
    "template",
    [
        "sh up.sh %s",
        "bash -x up.sh %s",
        "python -m tool %s",
        "grep -e %s log | sort -c",
        "echo look at %s, let me see",
        "ping -c 3 %s",
        "awk '{print $1}' %s",
    ],
)
def test_ordinary_templates_are_not_refused(template: str) -> None:
    assert prepare(template).arguments == 1


@pytest.mark.parametrize("template", ["date +%F", "echo %d", "echo %5s", "echo %s %", "%[0]s"])
def test_a_place_that_is_not_known_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"only %s, %v, %q"):
        prepare(template)


def test_two_percent_signs_are_one() -> None:
    assert run("printf '%%s' 50%%") == "50%"
    assert run("printf '%%s%%%%' %s", "50") == "50%"


def test_arguments_are_taken_in_order_or_by_their_number() -> None:
    assert run("echo %s %s", "a", "b") == "a b\n"
    assert run("echo %[2]s %[1]s", "a", "b") == "b a\n"
    assert run("echo " + "%s " * 11, *"abcdefghijk") == "a b c d e f g h i j k\n"


def test_a_template_without_places_is_the_operators_own_text() -> None:
    assert run("echo `echo $((1 + 1))`") == "2\n"
