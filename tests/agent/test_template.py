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
        "awk '/%s/ {print}' f",
        "mawk -F: '/%s/ {print}' f",
        'x=%s; gawk "/$x/" f',
        "gawk -f lib.awk -f %s f",
        "awk -f %s f",
        "awk -v x=1 %s f",
        "busybox awk %s",
        "sed 's/hello/%s/'",
        "echo hello | sed -n -e 's/hello/%s/p'",
        "sed -e s/a/b/ -ne 's/hello/%s/'",
        "sed -e s/a/b/ --expression='s/hello/%s/' f",
        'x=%s; sed "s/hello/$x/" f',
        "sqlite3 shop.db %s",
        "sqlite3 shop.db 'select * from goods where name = \"%s\"'",
        "env -S %s",
        "env --split-string=%s",
        "nodejs -e %s",
        "node -p %s",
        "fish -c %s",
        "pypy3 -c %s",
        "timeout 5 sh -c %s",
        "docker exec app bash -lc %s",
        "echo 'print(%s)' | python3",
        "echo 'print(%s)' | python3 2>/dev/null",
        "echo 'print(%s)' | sudo -u op python3 -u",
        "echo 'print(%s)' | python3 -",
        "echo 'print(%s)' | python3 - now",
        "echo 'print(%s)' | python3 /dev/stdin",
        "echo 'print(%s)' | (cd /tmp && python3)",
        "printf %s | perl",
        "printf %s |& perl",
        "printf %s | perl -w",
        "printf %s | node",
        "printf %s | ruby",
        "printf %s | pypy",
        "echo 'select %s' | mysql shop",
        "echo 'select %s' | psql -q shop",
        "echo 'select %s;' | sqlite3 shop.db",
        "mysql shop < %s",
        "x=%s; mysql shop < /tmp/$x",
        "python3 < %s",
        "python3 <(echo %s)",
        "echo %s | xargs python3",
        "python3 %s",
        "sh %s %s",
        "python3 > log -c %s",
        "python3 2>&1 -c %s",
        "echo %s | su - op",
        "kubectl exec web -- python3 %s %s",
        "docker run -i app python3 -c %s",
        "awk -F '|' '/%s/' f",
        "awk -v x=$(date) '/%s/' f",
        "gawk -i inplace '/%s/' f",
        "sed -l 5 's/a/%s/' f",
        "echo %s | xargs -I{} sed 's/a/{}/' f",
        'x=%s; sed "s/a/$(echo $x)/" f',
        'x=%s; y="$(ssh web $x)"',
        'x=%s; y="$(awk "/$x/" f)"',
        "x=%s; y=`ssh web $x`",
        'x=%s; y="now `eval echo $x`"',
        'echo %s | (x="$(python3)"; echo "$x")',
        "echo %s | \\\n python3",
    ],
)
def test_a_program_that_reads_its_argument_as_code_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="once more, as code"):
        prepare(template)


@pytest.mark.parametrize(
    "template",
    [
        "sed -n 5p %s",
        "sed -i s/a/b/ '%s'",
        "mysql shop %s",
        "psql shop %s",
        "mysql %s -- shop",
        'x=%s; sed p "$x"',
    ],
)
def test_a_program_that_takes_an_option_for_code_anywhere_is_given_its_end(template: str) -> None:
    with pytest.raises(ValueError, match="write -- before it"):
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
        "awk -F: '{print $1}' %s",
        "awk -v name=%s '$1 == name {printf \"%%s\\n\", $2}' people",
        "awk -f first.awk %s",
        "grep %s log | awk '{print $1}'",
        "grep %s log | sed -n '1,5p'",
        "grep %s log | sed -e s/a/b/ -e s/c/d/",
        "sed -n 5p -- %s",
        "sed s/a/b/ /var/log/%s.log",
        "ps aux | grep mysql | grep %s",
        "systemctl status mysql | grep %s",
        "echo %s | tee log; systemctl restart mysql",
        "mysql -N shop < count.sql; echo %s",
        "psql -v name=%s -f report.sql",
        "sqlite3 shop.db 'select count(*) from goods'; echo %s",
        "echo %s | python3 read.py",
        "python3 read.py < in/%s",
        "cat %s | perl read.pl",
        "python3 read.py %s 2>&1 | tail -5",
        "echo %s || python3 -V",
        "env LANG=C ls %s",
        "apt-get install -y python3 && echo %s",
        "awk -F '|' '{print $1}' %s",
        "su - op up.sh %s",
        "kubectl describe node %s",
        "kubectl get pods | grep %s; docker restart mysql",
        "x=\"$(awk '{print $1}' f)\"; echo %s $x",
        "grep '| python3' %s",
        'echo "a | python3" %s',
        "find . -name %s -exec sed -i s/a/b/ {} \\;",
        "mysql shop -- %s",
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
