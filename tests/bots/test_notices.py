"""What people read: jobs, agents, refusals, each as a line that says what to do next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.notices import (
    Notices,
    agent_line,
    code,
    foreign,
    refuse,
    spell,
)
from bots.turn import Refusal
from core.agents import Standing
from core.chat import Abilities, Thread
from core.errors import Conflict, Invalid, NotFound, SkadiError, TooMany
from core.model import Agent, EventMessage, Job, JobStatus

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
THREAD = Thread("slack", "C1", "1.1")
BUTTONS = Abilities(edits=True, buttons=True)
ID = "0123456789abcdefk3f9"


def after(seconds: float = 0, *, minutes: float = 0) -> datetime:
    return START + timedelta(seconds=seconds, minutes=minutes)


def job(status: str, **facts: Any) -> Job:
    given: dict[str, Any] = {
        "command": "deploy 1.4",
        "agent_name": "web-1",
        "created_at": START,
    } | facts
    return Job(
        id=ID,
        account_id="a",
        agent_id="g",
        source="slack",
        callback="",
        status=JobStatus(status),
        requested_by="identity:i",
        **given,
    )


def told(job: Job, now: datetime, language: str = "en") -> str:
    reply = Notices().job(job, THREAD, language=language, abilities=Abilities(), now=now)
    assert reply.thread is THREAD
    return reply.text


LIVES: list[tuple[Job, datetime, str, str]] = [
    (
        job("delayed", due_at=after(minutes=20)),
        START,
        "**Delayed**: `deploy 1.4` starts on `web-1` in 20 min, at 09:20 UTC (`k3f9`)",
        "**已延时**：20 分钟后（09:20 UTC）在 `web-1` 执行 `deploy 1.4`（`k3f9`）",
    ),
    (
        job("delayed", due_at=after(minutes=1500)),
        START,
        "**Delayed**: `deploy 1.4` starts on `web-1` in 1 d 1 h, at 2026-03-03 10:00 UTC (`k3f9`)",
        "**已延时**：1 天 1 小时后（2026-03-03 10:00 UTC）在 `web-1` 执行 `deploy 1.4`（`k3f9`）",
    ),
    (
        job("delayed", due_at=START),
        after(1),
        "**Due now**: `deploy 1.4` is about to start on `web-1` (`k3f9`)",
        "**时间已到**：即将在 `web-1` 执行 `deploy 1.4`（`k3f9`）",
    ),
    (
        job("queuing"),
        START,
        "**Queuing**: `deploy 1.4` waits for `web-1` (`k3f9`)",
        "**排队中**：`deploy 1.4` 等待 `web-1` 领取（`k3f9`）",
    ),
    (
        job("sent", sent_at=START),
        after(3),
        "**Sent** to `web-1`: `deploy 1.4` (`k3f9`)",
        "**已发送**至 `web-1`：`deploy 1.4`（`k3f9`）",
    ),
    (
        job("running", sent_at=START, running_at=after(1)),
        after(12),
        "**Running** 12 s on `web-1`: `deploy 1.4` (`k3f9`)",
        "**运行中**，`web-1` 已运行 12 秒：`deploy 1.4`（`k3f9`）",
    ),
    (
        job("succeeded", sent_at=START, succeeded_at=after(14)),
        after(minutes=5),
        "**Succeeded** in 14 s on `web-1`: `deploy 1.4` (`k3f9`)",
        "**成功**，`web-1` 用时 14 秒：`deploy 1.4`（`k3f9`）",
    ),
    (
        job("failed", sent_at=START, failed_at=after(0.42)),
        after(minutes=5),
        "**Failed** after 0.4 s on `web-1`: `deploy 1.4` (`k3f9`)",
        "**失败**，`web-1` 用时 0.4 秒：`deploy 1.4`（`k3f9`）",
    ),
    (
        job("canceled", canceled_at=after(5)),
        after(5),
        "**Canceled**: `deploy 1.4` did not run on `web-1` (`k3f9`)",
        "**已取消**：`deploy 1.4` 没有在 `web-1` 执行（`k3f9`）",
    ),
    (
        job("canceled", sent_at=START, canceled_at=after(65)),
        after(minutes=5),
        "**Canceled** after 1 min 5 s on `web-1`: `deploy 1.4` (`k3f9`)",
        "**已取消**，`web-1` 运行了 1 分钟 5 秒：`deploy 1.4`（`k3f9`）",
    ),
    (
        job("expired", expired_at=after(minutes=3)),
        after(minutes=3),
        "**Expired**: `web-1` was offline; `deploy 1.4` did not run (`k3f9`)",
        "**已过期**：`web-1` 离线，`deploy 1.4` 没有执行（`k3f9`）",
    ),
    (
        job("expired", expired_at=after(10)),
        after(10),
        "**Expired**: `deploy 1.4` was given up before `web-1` fetched it; it did not run (`k3f9`)",
        "**已过期**：`web-1` 领取之前任务已被放弃，`deploy 1.4` 没有执行（`k3f9`）",
    ),
    (
        job("expired", sent_at=START, expired_at=after(minutes=10)),
        after(minutes=10),
        "**Outcome unknown**: `deploy 1.4` (`k3f9`)\n"
        "`web-1` did not report within 10 min; it may have run.",
        "**结果未知**：`deploy 1.4`（`k3f9`）\n`web-1` 在 10 分钟内没有回报，命令可能已经执行。",
    ),
    (
        job("expired", sent_at=START, expired_at=after(minutes=2)),
        after(minutes=2),
        "**Outcome unknown**: `deploy 1.4` (`k3f9`)\n"
        "`web-1` has it and did not say how it ended; it may have run.",
        "**结果未知**：`deploy 1.4`（`k3f9`）\n"
        "`web-1` 已领取任务，但没有回报结果，命令可能已经执行。",
    ),
    (
        job(
            "succeeded", sent_at=START, expired_at=after(minutes=10), succeeded_at=after(minutes=25)
        ),
        after(minutes=25),
        "**Succeeded**, reported late, on `web-1`: `deploy 1.4` (`k3f9`)\n"
        "The report came 25 min after the job was sent.",
        "**成功**（迟到的回报），`web-1`：`deploy 1.4`（`k3f9`）\n任务发出 25 分钟后才收到回报。",
    ),
    (
        job("failed", sent_at=START, expired_at=after(minutes=10), failed_at=after(minutes=25)),
        after(minutes=25),
        "**Failed**, reported late, on `web-1`: `deploy 1.4` (`k3f9`)\n"
        "The report came 25 min after the job was sent.",
        "**失败**（迟到的回报），`web-1`：`deploy 1.4`（`k3f9`）\n任务发出 25 分钟后才收到回报。",
    ),
]


@pytest.mark.parametrize(("job", "now", "english", "chinese"), LIVES)
def test_a_job_says_in_one_message_how_it_is(
    job: Job, now: datetime, english: str, chinese: str
) -> None:
    assert told(job, now) == english
    assert told(job, now, "zh") == chinese


def test_every_status_is_told() -> None:
    assert {job.status for job, *_ in LIVES} == set(JobStatus)


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (
            job("delayed", due_at=after(minutes=80)),
            "- `k3f9` `web-1` `deploy 1.4`: starts in 20 min",
        ),
        (job("delayed", due_at=START), "- `k3f9` `web-1` `deploy 1.4`: starts now"),
        (job("queuing"), "- `k3f9` `web-1` `deploy 1.4`: queuing"),
        (job("sent", sent_at=after(3597)), "- `k3f9` `web-1` `deploy 1.4`: sent 3 s ago"),
        (job("running", sent_at=after(3588)), "- `k3f9` `web-1` `deploy 1.4`: running 12 s"),
        (
            job("succeeded", sent_at=START, succeeded_at=after(1495)),
            "- `k3f9` `web-1` `deploy 1.4`: succeeded 35 min ago",
        ),
        (
            job("failed", sent_at=START, expired_at=after(900), failed_at=after(1800)),
            "- `k3f9` `web-1` `deploy 1.4`: failed 30 min ago",
        ),
        (job("canceled", canceled_at=START), "- `k3f9` `web-1` `deploy 1.4`: canceled 1 h ago"),
        (
            job("canceled", sent_at=START, canceled_at=after(1800)),
            "- `k3f9` `web-1` `deploy 1.4`: canceled 30 min ago",
        ),
        (
            job("expired", expired_at=after(1800)),
            "- `k3f9` `web-1` `deploy 1.4`: did not run, 30 min ago",
        ),
        (
            job("expired", sent_at=START, expired_at=after(1800)),
            "- `k3f9` `web-1` `deploy 1.4`: outcome unknown, 30 min ago",
        ),
    ],
)
def test_a_job_is_one_line_of_a_list(job: Job, line: str) -> None:
    assert Notices().job_line(job, language="en", now=after(minutes=60)) == line
    assert Notices().job_line(job, language="zh", now=after(minutes=60)).startswith("- `k3f9` ")


def test_the_whole_output_goes_along() -> None:
    output = "x" * 100_000
    reply = Notices().job(
        job("succeeded", sent_at=START, succeeded_at=START, result=output),
        THREAD,
        language="en",
        abilities=Abilities(),
        now=START,
    )
    assert reply.output == output
    assert output not in reply.text
    assert reply.subject == "deploy 1.4"
    assert reply.actions == ()


@pytest.mark.parametrize(
    ("status", "level"),
    [("queuing", "info"), ("succeeded", "info"), ("failed", "error"), ("expired", "warning")],
)
def test_a_bad_end_looks_bad(status: str, level: str) -> None:
    reply = Notices().job(job(status), THREAD, language="en", abilities=BUTTONS, now=START)
    assert reply.level == level


@pytest.mark.parametrize(
    ("status", "buttons"),
    [
        ("delayed", [("Cancel", f"cancel {ID}")]),
        ("queuing", [("Cancel", f"cancel {ID}")]),
        ("sent", []),
        ("running", []),
        ("succeeded", [("Again", f"again {ID}")]),
        ("failed", [("Again", f"again {ID}")]),
        ("expired", [("Again", f"again {ID}")]),
        ("canceled", [("Again", f"again {ID}")]),
    ],
)
def test_buttons_type_the_verb_that_fits(status: str, buttons: list[tuple[str, str]]) -> None:
    reply = Notices().job(job(status), THREAD, language="en", abilities=BUTTONS, now=START)
    assert [(action.label, action.command) for action in reply.actions] == buttons


@pytest.mark.parametrize(
    ("status", "labels"),
    [
        ("running", ["Log"]),
        ("succeeded", ["Again", "Log"]),
        ("failed", ["Again", "Log"]),
        ("queuing", ["Cancel"]),
    ],
)
def test_what_was_said_is_a_click_away(status: str, labels: list[str]) -> None:
    said = "" if status == "queuing" else "up 3 days"
    shown = Notices().job(
        job(status, result=said), THREAD, language="en", abilities=BUTTONS, now=START
    )
    assert [action.label for action in shown.actions] == labels
    chinese = Notices().job(
        job(status, result=said), THREAD, language="zh", abilities=BUTTONS, now=START
    )
    assert (chinese.actions[-1].label == "日志") == bool(said)
    assert not any(action.once for action in shown.actions)


def test_a_long_command_is_named_by_its_beginning() -> None:
    text = told(job("queuing", command="echo one\necho   two\n" + "x" * 4000), START)
    assert text.startswith("**Queuing**: `echo one echo two xxx")
    assert text.endswith("…` waits for `web-1` (`k3f9`)")
    assert len(text) < 150


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("echo `date`", "`echo ˋdateˋ`"),
        ("a\u202eb", "`ab`"),
        ("a\x1b[31mb", "`a[31mb`"),
        ("", "`…`"),
        ("👩‍💻", "`👩‍💻`"),
    ],
)
def test_what_somebody_typed_cannot_break_out_of_its_quotes(typed: str, shown: str) -> None:
    assert code(typed) == shown


@given(st.text())
def test_foreign_words_are_one_line_without_markup(text: str) -> None:
    span = code(text)
    assert (span[0], span[-1], span.count("`")) == ("`", "`", 2)
    assert len(span.splitlines()) == 1
    assert len(span) <= 82
    bare = foreign(text)
    assert bare == code(text, 300) or not set(bare) & set("*_`[]<>~#|\\")


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (-5, "under 0.1 s", "不到 0.1 秒"),
        (0, "under 0.1 s", "不到 0.1 秒"),
        (0.42, "0.4 s", "0.4 秒"),
        (3, "3 s", "3 秒"),
        (9.96, "10 s", "10 秒"),
        (12.3, "12 s", "12 秒"),
        (59.7, "1 min", "1 分钟"),
        (130, "2 min 10 s", "2 分钟 10 秒"),
        (3600, "1 h", "1 小时"),
        (3605, "1 h", "1 小时"),
        (5400, "1 h 30 min", "1 小时 30 分钟"),
        (187_200, "2 d 4 h", "2 天 4 小时"),
    ],
)
def test_a_duration_is_spelled_for_people(seconds: float, english: str, chinese: str) -> None:
    assert spell("en", timedelta(seconds=seconds)) == english
    assert spell("zh", timedelta(seconds=seconds)) == chinese


# What agents say, and what is said of them.


def event(message: str = "", **facts: Any) -> EventMessage:
    given: dict[str, Any] = {"level": "info", "agent_name": "web-1"} | facts
    return EventMessage("e", "a", "g", "auto", message=message, created_at=START, **given)


@pytest.mark.parametrize(
    ("event", "english", "chinese"),
    [
        (event("Backup done."), "`web-1`: Backup done.", "`web-1`：Backup done."),
        (
            event("disk *full* on <srv>"),
            "`web-1`: `disk *full* on <srv>`",
            "`web-1`：`disk *full* on <srv>`",
        ),
        (event(code="AgentOnline"), "`web-1` is online.", "`web-1` 已上线。"),
        (event(code="AgentOffline"), "`web-1` went offline.", "`web-1` 已离线。"),
        (
            event(code="AgentOffline", facts={"since": "2026-03-02T08:57:00+00:00"}),
            "`web-1` went offline: last heard of at 08:57 UTC.",
            "`web-1` 已离线，最后一次联系在 08:57 UTC。",
        ),
        (
            event(code="AgentOffline", facts={"since": after(minutes=-600)}),
            "`web-1` went offline: last heard of at 2026-03-01 23:00 UTC.",
            "`web-1` 已离线，最后一次联系在 2026-03-01 23:00 UTC。",
        ),
        (
            event(code="AgentOffline", facts={"since": None}),
            "`web-1` went offline.",
            "`web-1` 已离线。",
        ),
        (
            event(code="TwoJournals"),
            "Two programs take turns using the token of `web-1`. Stop one of them; if you know of"
            " only one, `agent rotate web-1` shuts the other out.",
            "有两个程序轮流使用 `web-1` 的令牌，请停掉其中一个。如果你只知道一个，"
            "`代理 换令牌 web-1` 可以把另一个挡在门外。",
        ),
        (
            event("Something new", code="AgentMoved"),
            "`web-1`: Something new",
            "`web-1`：Something new",
        ),
    ],
)
def test_an_agents_news_are_told(event: EventMessage, english: str, chinese: str) -> None:
    assert Notices().message(event, THREAD, language="en").text == english
    assert Notices().message(event, THREAD, language="zh").text == chinese


def test_a_long_message_of_an_agent_is_shown_whole_and_apart() -> None:
    words = "Filesystem  Use%\n/           91%\n"
    reply = Notices().message(event(words, level="warning"), THREAD, language="en")
    assert (reply.text, reply.output, reply.level) == ("`web-1` says:", words, "warning")
    assert reply.subject == "web-1: Filesystem Use% / 91%"


AGENT = Agent("g", "a", "web-1", "", "", True, "", START, START, activated_at=START)


@pytest.mark.parametrize(
    ("agent", "standing", "line"),
    [
        (AGENT, Standing(True, START, False), "- `web-1`: online"),
        (AGENT, Standing(True, START, True), "- `web-1`: busy"),
        (AGENT, Standing(False, START, False), "- `web-1`: offline, last seen 12 min ago"),
        (AGENT, Standing(False, None, False), "- `web-1`: offline"),
        (AGENT, None, "- `web-1`: offline"),
        (
            replace(AGENT, activated_at=None),
            Standing(True, None, False),
            "- `web-1`: never seen yet",
        ),
        (
            replace(AGENT, available=False),
            Standing(True, START, False),
            "- `web-1`: switched off",
        ),
        (
            replace(AGENT, alias="www", remark="in Oslo"),
            Standing(True, START, False),
            "- `web-1` (`www`): online (in Oslo)",
        ),
    ],
)
def test_an_agent_is_one_line(agent: Agent, standing: Standing | None, line: str) -> None:
    assert agent_line(agent, standing, language="en", now=after(minutes=12)) == line


# Refusals.


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            Invalid("", code="InvalidAgent", name="web-1", last_seen=after(minutes=-12)),
            "`web-1` is offline, last seen 12 min ago. Nothing was started. See that its agent runs"
            " on that server, then try again.",
        ),
        (
            Invalid("", code="InvalidAgent", name="web-1", last_seen=None),
            "`web-1` is offline. Nothing was started. See that its agent runs on that server, then"
            " try again.",
        ),
        (
            Invalid("", code="InvalidAgent", name="web-1", off=True),
            "`web-1` is switched off. Nothing was started. The operator can switch it on.",
        ),
        (
            NotFound("", code="AgentNotFound", name="wbe-1", near=["web-1", "web-2"]),
            "You have no agent called `wbe-1`. Did you mean `web-1` or `web-2`?",
        ),
        (
            NotFound("", code="AgentNotFound", name="wbe-1", near=[]),
            "You have no agent called `wbe-1`. `agent` lists those you have.",
        ),
        (
            Invalid("", code="JobFinished", job=ID, status="succeeded", agent="web-1"),
            "`k3f9` has already ended: succeeded.",
        ),
        (
            Conflict("", code="JobRunning", job=ID, status="sent", agent="web-1"),
            "`k3f9` is with `web-1` already and cannot be interrupted. Its end will be told.",
        ),
        (
            Invalid("", code="InvalidMessage", reason="long", limit=4096),
            "That is too long for a command: 4,096 characters are the most. Put it into a script on"
            " that server and run the script.",
        ),
        (
            Invalid("", code="InvalidName", name="status", reserved=True),
            "`status` is one of my own words, so no agent can be called that. Choose another name.",
        ),
        (
            TooMany("", code="TooManyTries"),
            "Too many wrong codes. Wait ten minutes, then try again.",
        ),
        (Conflict("", code="NeverHeardOf"), refuse(Conflict(""), "en")),
        (SkadiError(""), "That did not work."),
        (
            Refusal("Usage", verb="delay"),
            "Say it like this: `delay 20m AGENT COMMAND`\nFor example: `delay 1h30m web-1 reboot`",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_do(error: SkadiError, words: str) -> None:
    assert refuse(error, "en", START) == words
    assert refuse(error, "zh", START) != words


def test_a_moment_without_a_now_is_left_out() -> None:
    error = Invalid("", code="InvalidAgent", name="web-1", last_seen=START)
    assert refuse(error, "en").startswith("`web-1` is offline. Nothing was started.")
