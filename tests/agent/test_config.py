"""skadi.yml: what the old agent's file may say is read; everything else is named with its line."""

import os
import stat
from pathlib import Path

import pytest

from agent.config import Settings, find, line_of, load
from agent.errors import ConfigError
from agent.secret import write_token
from agent.shell import Command, Shortcut

EXAMPLE = """\
# log level
debug: false
token:
shortcuts:
  - short: date
    cmd: "date --rfc-3339=second"
  - short: lsroot
    dir: /
    cmd: ls
commands:
  - prefix: free
templates:
  - name: Hi
    temp: "echo I am not %s!"
"""
# As the documentation of the old agent has it, with other indents and comments in between.
CHINESE = """\
shortcuts:
    - short: 重启
      # 你的 compose file 的位置
      dir: "/root/swarm/"

      cmd: "docker stack deploy --prune -c docker-compose.yml api" # 说明
templates:
- name: up
  temp: sh up.sh %s
  dir: '/root/it''s/swarm'
"""
NEW_TOKEN = "zyxwvutsrq9876543210"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "skadi.yml"


def read(file: Path, text: str, **environ: str) -> Settings:
    file.write_bytes(text.encode())
    return load(file, {"HOME": "/home/op", **environ})


def test_the_documented_example_is_read(file: Path) -> None:
    settings = read(file, EXAMPLE)
    assert settings.menu.shortcuts == (
        Shortcut("date", "date --rfc-3339=second"),
        Shortcut("lsroot", "ls", "/"),
    )
    assert settings.menu.commands == (Command("free", ("free",)),)
    [template] = settings.menu.templates
    assert (template.name, template.temp) == ("Hi", "echo I am not %s!")
    assert (settings.token, settings.server, settings.debug) == ("", "", False)


def test_other_indents_comments_and_quotes_are_read(file: Path) -> None:
    menu = read(file, CHINESE).menu
    assert menu.shortcuts[0].short == "重启"
    assert menu.shortcuts[0].cmd == "docker stack deploy --prune -c docker-compose.yml api"
    assert menu.templates[0].dir == "/root/it's/swarm"


def test_windows_line_ends_and_a_byte_order_mark_are_read(file: Path) -> None:
    settings = read(file, "\ufeff" + EXAMPLE.replace("\n", "\r\n"))
    assert settings.menu == read(file, EXAMPLE).menu


def test_an_empty_file_allows_nothing(file: Path) -> None:
    assert read(file, "").menu.text().startswith("Nothing can be run here yet")


def test_our_own_settings_are_read(file: Path) -> None:
    settings = read(
        file,
        "time_limit: 1h30m\nslots: 3\noutput_limit: 64KiB\n"
        "interval: 5s\nstate: /srv/x\ndebug: true",
    )
    assert (settings.time_limit, settings.slots, settings.output_limit) == (5400, 3, 65536)
    assert (settings.interval, settings.state, settings.debug) == (5, Path("/srv/x"), True)


def test_a_time_limit_of_nought_is_none(file: Path) -> None:
    assert read(file, "time_limit: 0").time_limit is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"a\\tb\\"c\\\\ \\u00e9"', 'a\tb"c\\ é'),
        ("'it''s'", "it's"),
        ("'a # b' # c", "a # b"),
        ("a#b # c", "a#b"),
        ('echo "hi" it\'s', 'echo "hi" it\'s'),
        ("-x", "-x"),
        ("http://x:80/y", "http://x:80/y"),
        ('"# no comment"', "# no comment"),
    ],
)
def test_a_value_means_what_yaml_says(file: Path, written: str, meant: str) -> None:
    settings = read(file, f"shortcuts:\n  - short: x\n    cmd: {written}\n")
    assert settings.menu.shortcuts[0].cmd == meant


def item(cmd: str) -> str:
    return f"shortcuts:\n  - short: x\n    cmd: {cmd}\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("shortcuts:\n\t- short: x\n", 2, "tab"),
        ("token: a\tb\n", 1, "tab"),
        (item("&here ls"), 3, "an anchor"),
        (item("*here"), 3, "an alias"),
        (item("!!str ls"), 3, "a tag"),
        (item("[ls, -l]"), 3, "a list in brackets"),
        (item("{a: b}"), 3, "a mapping in braces"),
        (item("|"), 3, "several lines"),
        (item(">-"), 3, "several lines"),
        (item("`ls`"), 3, "must be quoted"),
        (item("%s"), 3, "must be quoted"),
        (item("- ls"), 3, "must be quoted"),
        (item("echo a: b"), 3, "colon"),
        (item("~"), 3, "leave it empty"),
        (item('"ls'), 3, "closing double quote"),
        (item("'ls"), 3, "closing single quote"),
        (item('"ls" -l'), 3, "follows the closing quote"),
        (item('"l\\s"'), 3, "unknown escape"),
        (item('"\\x00"'), 3, "no character"),
        (item("ls\n      -l"), 4, "expected 'key: value'"),
        (item(""), 3, "must not be empty"),
        (item("ls\n    cmd: ls"), 4, "stands already in line 3"),
        (item("ls\n   dir: /"), 4, "indented by 4 blanks"),
        (item("ls\n   - short: y"), 4, "under the others"),
        (item("ls\n    dri: /"), 4, "did you mean 'dir'?"),
        (item("ls\n  - short: x\n    cmd: id"), 4, "stands already in line 2"),
        ("shortcuts:\n  - short: x\n", 2, "has no 'cmd'"),
        ("commands:\n  - dir: /\n", 2, "has no 'prefix'"),
        ("templates:\n  - name: x\n", 2, "has no 'temp'"),
        ("shortcuts: no\n", 1, "is a list"),
        ("shortcuts: []\n", 1, "a list in brackets"),
        ("shortcuts:\n  short: x\n", 2, "belongs to no entry"),
        ("shortcuts:\n  -\n    short: x\n", 2, "on the line of its dash"),
        ("- short: x\n", 1, "outside of a list"),
        ("shortcuts:\ndebug: true\n  - short: x\n", 3, "outside of a list"),
        ("tokn: x\n", 1, "did you mean 'token'?"),
        ("token: a\n\ntoken: b\n", 3, "stands already in line 1"),
        ("token:a\n", 1, "a blank is missing"),
        ('"token": a\n', 1, "without quotes"),
        ("---\ntoken: a\n", 1, "no ---"),
        ("hello\n", 1, "expected 'key: value'"),
        ("debug: yes\n", 1, "neither true nor false"),
        ("slots: 0\n", 1, "no number from 1"),
        ("kill_grace: 6m\n", 1, "kill_grace: at most 5m0s"),
        ("time_limit: 10\n", 1, "no duration"),
        ("interval: 0s\n", 1, "longer than nothing"),
        ("output_limit: much\n", 1, "no size"),
        ('commands:\n  - prefix: "a \'b"\n', 2, "quotes do not match"),
        ("commands:\n  - prefix: cd / && ls\n", 2, "'&&' means nothing"),
        ("templates:\n  - name: two words\n    temp: ls\n", 2, "one word"),
        ("templates:\n  - name: x\n    temp: echo %d\n", 3, "only %s, %v, %q"),
        ("templates:\n  - name: x\n    temp: echo `ls %s`\n", 3, "cannot stand safely"),
    ],
)
def test_what_lies_outside_is_an_error_with_its_line(
    file: Path, text: str, line: int, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"token: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(file, {})


# Where settings come from.


def test_the_environment_overrides_the_file_and_a_flag_the_environment(
    file: Path, tmp_path: Path
) -> None:
    text = "server: https://file\ntoken: of-file\n"
    secret = tmp_path / "secret"
    secret.write_text("of-a-secret\n")
    assert read(file, text).token == "of-file"
    assert read(file, text, SKADI_TOKEN_FILE=str(secret)).token == "of-a-secret"
    assert read(file, text, SKADI_TOKEN="of-environ").token == "of-environ"
    environ = {"SKADI_SERVER": "https://environ", "SKADI_TOKEN": "of-environ"}
    assert load(file, environ).server == "https://environ"
    chosen = load(file, environ, "https://flag", str(secret))
    assert (chosen.server, chosen.token) == ("https://flag", "of-a-secret")


def test_no_settings_file_is_needed() -> None:
    environ = {"SKADI_SERVER": "https://environ", "SKADI_TOKEN": "of-environ"}
    load(None, environ).require_server_and_token()


@pytest.mark.parametrize(("text", "says"), [("token: x", "no server"), ("server: x", "no token")])
def test_what_is_missing_is_said(file: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(file, text).require_server_and_token()


def test_a_token_does_not_show_when_settings_are_printed(file: Path) -> None:
    assert "hidden-away" not in repr(read(file, "token: hidden-away"))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        find(str(tmp_path / "nowhere.yml"))


# Writing the token.


@pytest.mark.parametrize("old", ["token:", "token: old # here", 'token: "old"'])
def test_the_token_takes_its_line_and_the_rest_stays(file: Path, old: str) -> None:
    before = EXAMPLE.replace("token:", old)
    file.write_text(before)
    write_token(file, line_of("token", file), NEW_TOKEN)
    assert file.read_text() == before.replace(old, f'token: "{NEW_TOKEN}"')
    assert load(file, {}).token == NEW_TOKEN
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_without_a_token_line_gets_one(file: Path) -> None:
    file.write_text("debug: true\n")
    write_token(file, line_of("token", file), NEW_TOKEN)
    assert file.read_text() == f'token: "{NEW_TOKEN}"\ndebug: true\n'


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.yml"
    real.write_text("token:\r\ndebug: true\r\n", newline="")
    file.symlink_to(real)
    write_token(file, 1, NEW_TOKEN)
    assert file.is_symlink()
    assert real.read_bytes() == f'token: "{NEW_TOKEN}"\r\ndebug: true\r\n'.encode()
    assert sorted(os.listdir(tmp_path)) == ["real.yml", "skadi.yml"]


@pytest.mark.parametrize("token", ["short", NEW_TOKEN + "x", "with a blank in it!!"])
def test_what_is_no_token_is_not_written(file: Path, token: str) -> None:
    file.write_text(EXAMPLE)
    with pytest.raises(ConfigError, match="20 letters and digits"):
        write_token(file, 3, token)
    assert file.read_text() == EXAMPLE
