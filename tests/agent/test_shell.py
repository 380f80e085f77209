"""What a message chooses from skadi.yml, and what it cannot."""

from pathlib import Path

import pytest

from agent import Failed, Job
from agent.process import Limits
from agent.shell import Command, Menu, Shell, Shortcut, Template
from agent.template import prepare


def template(name: str, temp: str, folder: str = "") -> Template:
    return Template(name, temp, prepare(temp), folder)


MENU = Menu(
    (Shortcut("date", "date --rfc-3339=second"), Shortcut("up web", "echo up | tr u U")),
    (Command("echo", ("echo",)), Command("git log", ("git", "log"), "/srv")),
    (template("Hi", "echo I am not %s!"), template("pair", "echo %s-%s"), template("now", "date")),
)


def ask(message: str, menu: Menu = MENU) -> str:
    return Shell(menu, Limits(time=5))(Job("one", message))


@pytest.mark.parametrize("message", ["help", "all", " help "])
def test_help_lists_what_can_be_run(message: str) -> None:
    assert ask(message) == (
        "Shortcuts:\n - date: date --rfc-3339=second\n - up web: echo up | tr u U\n\n"
        "Commands:\n - echo\n - git log [/srv]\n\n"
        "Templates:\n - Hi: echo I am not %s!\n - pair: echo %s-%s\n - now: date"
    )


def test_a_shortcut_is_the_operators_text_and_may_use_a_shell() -> None:
    assert ask("up web") == "Up\n"


def test_a_shortcut_needs_the_whole_message() -> None:
    with pytest.raises(Failed, match="unsupported command: up web now"):
        ask("up web now")


def test_a_folder_is_where_a_command_runs(tmp_path: Path) -> None:
    menu = Menu((Shortcut("where", "pwd", str(tmp_path)),))
    assert ask("where", menu) == f"{tmp_path}\n"


@pytest.mark.parametrize(
    ("message", "output"),
    [
        ("echo a  b", "a b\n"),
        ("echo 'a  b'", "a  b\n"),
        ("echo a; id", "a; id\n"),
        ("echo $(id) `id` $HOME", "$(id) `id` $HOME\n"),
        ("echo a | tr a b > /tmp/x && id", "a | tr a b > /tmp/x && id\n"),
        ("echo *", "*\n"),
        ("echo a\nid", "a id\n"),
        ("'echo' a", "a\n"),
        ("echo", "\n"),
    ],
)
def test_a_command_is_started_without_a_shell(message: str, output: str) -> None:
    assert ask(message) == output


@pytest.mark.parametrize("message", ["echoes a", "echo.sh", "git", "git logs", "git 'log x'"])
def test_a_prefix_fits_whole_words_only(message: str) -> None:
    with pytest.raises(Failed, match="unsupported command"):
        MENU.plan(message)


def test_the_words_of_a_prefix_may_be_several() -> None:
    assert MENU.plan("git  log -p").argv == ("git", "log", "-p")
    assert MENU.plan("git log").dir == "/srv"


def test_a_template_takes_its_arguments() -> None:
    assert ask("Hi Jim") == "I am not Jim!\n"
    assert ask("Hi 'Jim; id'") == "I am not Jim; id!\n"
    assert ask("pair $(id) '`id`'") == "$(id)-`id`\n"


def test_what_follows_a_template_is_never_shell_text(tmp_path: Path) -> None:
    menu = Menu(templates=(template("Hi", "echo 'Hi %s' \"%[1]s\" %[1]s", str(tmp_path)),))
    attack = '"\'; touch hit; $(touch hit) `touch hit` & "'
    words = "'; touch hit; $(touch hit) `touch hit` & "
    assert ask(f"Hi {attack.replace('$', chr(92) + '$')}".replace("\\$", "$"), menu) == (
        f"Hi {words} {words} {words}\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("message", "got"), [("Hi", 0), ("Hi a b", 2)])
def test_the_wrong_number_of_arguments_is_said(message: str, got: int) -> None:
    with pytest.raises(Failed, match=rf"Hi takes 1 argument, got {got}"):
        ask(message)


@pytest.mark.parametrize("message", ["echo it's", 'Hi "Jim', "nonsense '"])
def test_quotes_that_do_not_match_are_said(message: str) -> None:
    with pytest.raises(Failed, match="quotes of this message do not match"):
        ask(message)


def test_the_nearest_names_are_offered() -> None:
    with pytest.raises(Failed, match=r"unsupported command: dat\ndid you mean: date"):
        ask("dat")
    with pytest.raises(Failed, match=r"did you mean: echo\?"):
        ask("ehco a b c d e f")
    with pytest.raises(Failed, match="say `<agent> help` for what can be run here"):
        ask("zzzzzz")


def test_an_exit_status_is_a_failure_with_its_output() -> None:
    menu = Menu((Shortcut("bad", "echo oops; exit 3"), Shortcut("mute", "exit 4")))
    with pytest.raises(Failed) as caught:
        ask("bad", menu)
    assert str(caught.value) == "oops\nexit status 3"
    with pytest.raises(Failed, match=r"\Aexit status 4\Z"):
        ask("mute", menu)


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    menu = Menu(
        (Shortcut("nowhere", "ls", str(tmp_path / "none")),),
        (Command("no-such-program", ("no-such-program",)),),
    )
    with pytest.raises(Failed, match="cannot be started: no-such-program: No such file"):
        ask("no-such-program x", menu)
    with pytest.raises(Failed, match=r"cannot be started: .*none: No such file"):
        ask("nowhere", menu)
