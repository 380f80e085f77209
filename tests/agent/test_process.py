"""One command as a child: bounded in time and output, and gone when it is said to be."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agent.output import Output
from agent.process import Ended, Limits, run


def sh(text: str, limits: Limits | None = None) -> Ended:
    return run(["/bin/sh", "-c", text], "", limits or Limits(time=10, linger=0.3, kill_grace=0.5))


def alive(pid: int) -> bool:
    """Whether it still runs; one that only waits to be buried does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_output_and_errors_come_together_in_order() -> None:
    assert sh("echo one; echo two >&2; echo three").output == "one\ntwo\nthree\n"


def test_it_has_no_input_and_a_session_of_its_own() -> None:
    code = "import os, sys; print(sys.stdin.read(), os.getsid(0) == os.getpid())"
    assert run([sys.executable, "-c", code], "", Limits()).output == " True\n"


def test_it_sees_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKADI_TOKEN", "hidden")
    monkeypatch.setenv("SKADI_TOKEN_FILE", "/hidden")
    monkeypatch.setenv("SKADI_DATABASE__URL", "mysql://hidden")
    monkeypatch.setenv("SKADI_SERVER", "hidden")
    monkeypatch.setenv("OTHER", "seen")
    assert sh("env | grep -e hidden -e OTHER").output == "OTHER=seen\n"


def test_an_end_by_a_signal_is_named() -> None:
    assert sh("kill -KILL $$").failure == "killed by SIGKILL"
    assert sh("exit 3").failure == "exit status 3"
    assert sh("true").failure == ""


def test_broken_text_and_nuls_are_replaced() -> None:
    assert sh(r"printf 'a\377b\000c'").output == "a\ufffdb\ufffdc"


def test_words_in_any_script_reach_the_command() -> None:
    assert run(["printf", "%s", "傻瓜"], "", Limits()).output == "傻瓜"


def test_long_output_keeps_head_and_tail_and_says_what_is_missing() -> None:
    ended = sh("seq 1 100000", Limits(output=1000))
    total = sum(len(str(n)) + 1 for n in range(1, 100001))
    assert ended.output.startswith("1\n2\n3\n")
    assert ended.output.endswith("99999\n100000\n")
    assert f"\n[... {total - 1000} bytes left out ...]\n" in ended.output
    assert len(ended.output) < 1100


def test_a_character_is_not_cut_in_two() -> None:
    for shift in range(4):
        output = Output(100)
        output.add(b"x" * shift + "é傻😀".encode() * 50)
        text = output.text()
        assert "\ufffd" not in text
        count = int(text.partition("[... ")[2].split()[0])
        kept = len(text.encode()) - len(f"\n[... {count} bytes left out ...]\n")
        assert count + kept == shift + 450


def test_output_of_just_the_limit_is_whole() -> None:
    output = Output(10)
    for _ in range(5):
        output.add(b"ab")
    assert output.text() == "ab" * 5


def test_a_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    ended = sh(
        f"sleep 60 & echo $! > {pids}; echo $$ >> {pids}; echo begun; wait",
        Limits(time=0.5, kill_grace=1),
    )
    assert time.monotonic() - began < 3
    assert ended.output == "begun\n"
    assert ended.failure == "stopped: it ran longer than its time limit of 0.5s"
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


def test_a_command_may_tidy_up_when_it_is_stopped() -> None:
    ended = sh("trap 'echo bye; exit 0' TERM; sleep 60 & wait", Limits(time=0.3, kill_grace=1))
    assert ended.output == "bye\n"
    assert ended.failure.startswith("stopped: it ran longer")


def test_who_does_not_listen_is_killed() -> None:
    ended = sh("trap '' TERM; sleep 60", Limits(time=0.3, kill_grace=0.3))
    assert ended.code == -signal.SIGKILL


def test_a_child_left_in_the_background_does_not_hold_up_the_end(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = sh(f"sleep 60 & echo $! > {tmp_path / 'pid'}; echo done", Limits(linger=0.3))
    assert time.monotonic() - began < 3
    assert (ended.output, ended.failure) == ("done\n", "")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_command_that_closes_its_output_is_waited_for() -> None:
    began = time.monotonic()
    assert sh("exec >&- 2>&-; sleep 0.4; exit 7").code == 7
    assert time.monotonic() - began >= 0.4
