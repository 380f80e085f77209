"""What an agent says of itself when it meets the server, and when it does."""

import socket
import time

import pytest

from agent import Job, Offer
from agent.client import VERSION
from agent.hello import LONGEST_HELP, LONGEST_NAME, MOST, MOST_PARAMS, hello
from tests.agent.conftest import Employ, Settle
from tests.agent.fake_skadi import FakeSkadi

MENU = """\
shortcuts:
  - short: disk
    cmd: df -h | sort
  - short: 重启
    cmd: sh restart.sh
    help: starts the shop again
commands:
  - prefix: systemctl status
    help: how a service is
    params: service
  - prefix: git log
templates:
  - name: deploy
    temp: sh deploy.sh %s %s
    help: brings a version online
    params: version where
  - name: say
    temp: echo %s
"""


def pong(job: Job) -> str:
    return "pong"


def test_the_menu_is_told_with_its_parameters(skadi: FakeSkadi, daemon: Settle) -> None:
    daemon(MENU)
    skadi.until(lambda: skadi.hellos)
    [said] = skadi.hellos
    assert said == {
        "version": VERSION,
        "hostname": socket.gethostname(),
        "commands": [
            {"name": "disk", "help": "df -h | sort", "params": []},
            {"name": "重启", "help": "starts the shop again", "params": []},
            {"name": "systemctl status", "help": "how a service is", "params": ["service"]},
            {"name": "git log", "help": "", "params": ["..."]},
            {"name": "deploy", "help": "brings a version online", "params": ["version", "where"]},
            {"name": "say", "help": "echo %s", "params": ["arg1"]},
        ],
    }


def test_it_comes_after_a_first_poll_that_is_not_held(skadi: FakeSkadi, employ: Employ) -> None:
    began = time.monotonic()
    employ(pong, offers=[Offer("ping", "answers", ())])
    skadi.until(lambda: skadi.hellos)
    assert time.monotonic() - began < 1
    assert skadi.polls[0].wait == 0
    skadi.until(lambda: len(skadi.polls) >= 3)
    assert [poll.wait for poll in skadi.polls[1:3]] == [2, 2]
    assert skadi.polls[1].at - skadi.polls[0].at < 0.5
    assert len(skadi.hellos) == 1


def test_a_job_that_waits_is_not_held_up_by_it(skadi: FakeSkadi, employ: Employ) -> None:
    job = skadi.submit("ping")
    employ(pong)
    skadi.until_ended(job)
    skadi.until(lambda: skadi.hellos)


def test_it_is_said_again_to_a_server_that_was_away(skadi: FakeSkadi, employ: Employ) -> None:
    employ(pong)
    skadi.until(lambda: skadi.hellos)
    skadi.go()
    time.sleep(0.3)
    skadi.come()
    skadi.until(lambda: len(skadi.hellos) == 2)
    skadi.until_ended(skadi.submit("ping"))
    assert len(skadi.hellos) == 2


def test_a_server_that_does_not_know_it_is_not_pestered(
    skadi: FakeSkadi, employ: Employ, caplog: pytest.LogCaptureFixture
) -> None:
    skadi.old = True
    employ(pong)
    skadi.until_ended(skadi.submit("ping"))
    skadi.until(lambda: len(skadi.polls) >= 4)
    assert sum(path == "/agent/hello" for path in skadi.unknown) == 1
    assert "hello" not in caplog.text


def test_it_is_bounded() -> None:
    offers = [Offer("x" * 101), *(Offer(f"n{n}", "h" * 999, ("p",) * 99) for n in range(300))]
    said = hello(offers)["commands"]
    assert isinstance(said, list)
    assert len(said) == MOST
    assert said[0]["name"] == "n0"
    assert len(said[0]["help"]) == LONGEST_HELP
    assert len(said[0]["params"]) == MOST_PARAMS
    assert all(len(each["name"]) <= LONGEST_NAME for each in said)


def test_a_free_shell_is_said() -> None:
    assert hello([], shell=True)["shell"] is True
    assert "shell" not in hello([])
