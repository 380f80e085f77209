"""A day in a team's Slack, told as its people see it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.slack.fake import Room
from tests.slack.haste import Running, hurry
from tests.slack.machine import Verb
from tests.slack.office import Office, open_office, tidy
from tests.slack.voices import Voice, voice

HASTE = 3
LONG = "\n".join(f"line {number} of the journal" for number in range(1, 1001))
EVIL = "<!channel> @here <@UBEN> ``` `x` <https://evil.example|your bank> *b* &amp; &"


DAY = """
--- #ops
ada: @skadi home
  skadi: This is now the home of the account Ada's servers. Agents' messages, their comings and goings, and results that have no thread are told here.
ben: @skadi web-1 uptime
skadi (to ben alone): I do not know you here yet, so nothing was done. Ask the operator for a code (`python app.py identity code ACCOUNT`), then tell me `link CODE` in a private conversation. `whoami` shows how I see you.
ben: @skadi link ABC-DEF-GHJ
skadi (to ben alone): Others could read that code here, so it is void now. Ask the operator for a new one and send it to me in a private conversation.
ada: @skadi web-1 uptime
  skadi: Succeeded in 1 s on `web-1`: `uptime` (k3f9) [Again] [Log]
      | up 12 days
  ben: @skadi status
  skadi: Succeeded in 1 s on `web-1`: `uptime` (k3f9) [Again] [Log]
      | up 12 days
skadi: Succeeded in 1 s on `web-1`: `date` (k3f9) [Again] [Log]
    | ran date
  ben: @skadi again
  skadi: Succeeded in 1 s on `web-1`: `date` (k3f9) [Again] [Log]
      | ran date
ada: @skadi delay 20m web-1 backup
  skadi: Canceled: `backup` did not run on `web-1` (k3f9) [Again]
  skadi (to eve alone): I do not know you here yet, so nothing was done. Ask the operator for a code (`python app.py identity code ACCOUNT`), then tell me `link CODE` in a private conversation. `whoami` shows how I see you.
ada: @skadi web-1 deploy 1.4
  skadi: Canceled after 1 s on `web-1`: `deploy 1.4` (k3f9) [Again]
  skadi: `web-1` is asked to stop `deploy 1.4` (k3f9). Its end will be told.
ada: @skadi web-1 migrate
  skadi: Failed after 1 s on `web-1`: `migrate` (k3f9) [Again] [Log]
      | table users is locked
  skadi: Failed after 1 s on `web-1`: `migrate` (k3f9) [Again] [Log]
      | table users is locked
ada: @skadi delay 1h web-1 first
  skadi: Delayed: `first` starts on `web-1` in 1 h, at 09:20 UTC (k3f9) [Cancel]
  ada: @skadi delay 2h web-1 second
  skadi: Canceled: `second` did not run on `web-1` (k3f9) [Again]
  ada: @skadi cancel
  skadi (to ada alone): ada chose `cancel k3f9`.
ada: @skadi web-1 journal
  skadi: Succeeded in 1 s on `web-1`: `journal` (k3f9)
  … 21,137 … → output.txt [Again] [Log]
      | line 1 of the journal
      | line 2 of the journal
      | ...
      | line 999 of the journal
      | line 1000 of the journal
  skadi:
      [journal, 23892 characters]
  skadi: Succeeded in 1 s on `web-1`: `journal` (k3f9)
  … 21,137 … → output.txt
      | line 1 of the journal
      | line 2 of the journal
      | ...
      | line 999 of the journal
      | line 1000 of the journal
  skadi:
      [journal, 23892 characters]
ada: @skadi web-1 greet
  skadi: Succeeded in 1 s on `web-1`: `greet` (k3f9) [Again] [Log]
      | <!channel> @here <@UBEN> ``` `x` <https://evil.example|your bank> *b* &amp; &
gus: @skadi web-1 uptime
skadi (to gus alone): I do not work for guests of this workspace. Ask one of its members.
mei: @skadi web-1 你好
  skadi: 成功，`web-1` 用时 1 秒：`你好`（k3f9） [再来一次] [日志]
      | ran 你好
skadi (to mei alone): 在这里可以说
- `Agent 命令`：在那个 Agent 上执行命令
- `状态 [Agent 或任务]`：查看 Agent 和任务
- ...
你的 Agent：`web-1`。`帮助 web-1` 可以查看那里能执行什么。
“任务”是任务编号的最后四位，在任务自己的会话里可以省略。`帮助 延时` 可以了解更多。英文也可以：`status`、`delay`、`cancel`……
skadi: `web-1`: disk /var is 91 % full
ada: @skadi help
skadi (to ada alone): What you can say here
- `AGENT COMMAND`: run the command there
- `status [AGENT or JOB]`: how your agents and jobs are
- ...
Your agents: `web-1`. `help web-1` shows what can be run there.
JOB is the last four characters of a job's id; in a job's thread you can leave it out. `help delay` tells more about a verb.
eve: nobody asked the bot anything here

--- skadi and ada
ada: status
  skadi: I do not know you here yet, so nothing was done. Ask the operator for a code (`python app.py identity code ACCOUNT`), then tell me `link CODE` in a private conversation. `whoami` shows how I see you.
ada: link ABC-DEF-GHJ
  skadi: Linked. You now speak for the account Ada's servers here. Try `status` or `help`.
skadi: Succeeded in 1 s on `web-1`: `whoami` (k3f9) [Again] [Log]
    | ran whoami

--- skadi and ben
ben: link ABC-DEF-GHJ
  skadi: This code is not valid. A code works once and for ten minutes: ask the operator for a new one.
ben: link ABC-DEF-GHJ
  skadi: Linked. You now speak for the account Ada's servers here. Try `status` or `help`.
ben: web-1 df -h
  skadi: Succeeded in 1 s on `web-1`: `df -h` (k3f9) [Again] [Log]
      | ran df -h
"""  # noqa: E501


def on_web_1(command: str) -> tuple[Verb, str]:
    """What the commands of this day come to."""
    match command:
        case "uptime":
            return "succeed", "up 12 days"
        case "journal":
            return "succeed", LONG
        case "greet":
            return "succeed", EVIL
        case "migrate":
            return "fail", "table users is locked"
    return "succeed", f"ran {command}"


async def story(folder: Path) -> None:
    async with open_office(folder, Running()) as office:
        ada, ben, eve = (voice(office, name) for name in ("ada", "ben", "eve"))
        gus = voice(office, "gus", guest=True)
        mei = voice(office, "mei", locale="zh-CN")
        # In haste the way to Slack takes a greater part of the second.
        office.slack.rates.grace = 0.5
        people = [each.person for each in (ada, ben, eve, gus, mei)]
        ops = office.slack.room(office.team, "ops", *people)
        random = office.slack.room(office.team, "random", *people, bot=False)
        await office.enrol("web-1", does=on_web_1)

        await morning(office, ada, ben, eve, ops)
        await jobs(office, ada, ben, eve, ops)
        await output(office, ada, ben, ops)
        await others(office, ada, eve, gus, mei, ops, random)
        await office.calm()
        assert shorten(tidy(office.log())) == DAY.strip()
        await nothing_amiss(office)


async def morning(office: Office, ada: Voice, ben: Voice, eve: Voice, ops: Room) -> None:
    """Ada and Ben are let in, and #ops becomes the home of the servers."""
    await ada.whispers("status")
    await ada.reads(ada.home, "I do not know you")
    code = await office.house.accounts.new_code(office.account.id)
    await ada.whispers(f"link {code}")
    await ada.reads(ada.home, "Linked.")
    await ada.writes(ops, "@skadi home")
    await ada.reads(ops, "is now the home")
    # Ada's link lets nobody else in.
    await ben.writes(ops, "@skadi web-1 uptime")
    await ben.reads(ops, "I do not know you")
    # A code that others can read is void.
    public = await office.house.accounts.new_code(office.account.id)
    await ben.writes(ops, f"@skadi link {public}")
    await ben.reads(ops, "it is void now")
    await ben.whispers(f"link {public}")
    await ben.reads(ben.home, "not valid")
    code = await office.house.accounts.new_code(office.account.id)
    await ben.whispers(f"link {code}")
    await ben.reads(ben.home, "Linked.")


async def jobs(office: Office, ada: Voice, ben: Voice, eve: Voice, ops: Room) -> None:
    """Every way to ask for one, and what can be done with it then."""
    web = office.machines["web-1"]
    asked = await ada.writes(ops, "@skadi web-1 uptime")
    await ada.reads(ops, "Succeeded")
    await ben.writes(ops, "@skadi status", below=asked)
    await office.until(lambda: len(ops.thread(asked)) == 3)
    await ben.whispers("web-1 df -h")
    await ben.reads(ben.home, "Succeeded")
    # A slash command makes a post, and below that the verbs need no id.
    await ada.types(ops, "web-1 date")
    date = await ada.reads(ops, "ran date")
    await ben.writes(ops, "@skadi again", below=date)
    await office.until(lambda: web.commands.count("date") == 2)
    # What waits can be cancelled by whoever may, with a button that checks who clicks.
    await ada.writes(ops, "@skadi delay 20m web-1 backup")
    backup = await ada.reads(ops, "Delayed")
    await eve.clicks(backup, "Cancel")
    await eve.reads(ops, "I do not know you")
    assert backup.buttons == ["Cancel"]
    await ben.clicks(backup, "Cancel")
    await office.until(lambda: "Canceled" in backup.text)
    # So can what runs.
    web.hold("deploy 1.4")
    await ada.writes(ops, "@skadi web-1 deploy 1.4")
    deploy = await ada.reads(ops, "Running")
    await ada.clicks(deploy, "Cancel")
    await office.until(lambda: "Canceled" in deploy.text)
    # What failed is tried again by a click.
    await ada.writes(ops, "@skadi web-1 migrate")
    migrate = await ada.reads(ops, "Failed")
    await ben.clicks(migrate, "Again")
    await office.until(lambda: web.commands.count("migrate") == 2)
    # Where two are meant it is asked, and the question goes when it is answered.
    two = await ada.writes(ops, "@skadi delay 1h web-1 first")
    await ada.reads(ops, "first")
    await ada.writes(ops, "@skadi delay 2h web-1 second", below=two)
    second = await ada.reads(ops, "second")
    await ada.writes(ops, "@skadi cancel", below=two)
    question = await ada.reads(ops, "Which")
    await ada.clicks(question, question.buttons[0])
    await office.until(lambda: "Canceled" in second.text)


async def output(office: Office, ada: Voice, ben: Voice, ops: Room) -> None:
    """Long output, evil output, and the log by a click."""
    await ada.writes(ops, "@skadi web-1 journal")
    journal = await ada.reads(ops, "line 1000")
    await office.until(lambda: any(post.files for post in ops.thread(journal)))
    await ben.clicks(journal, "Log")
    await ada.writes(ops, "@skadi web-1 greet")
    await ada.reads(ops, "your bank")


async def others(
    office: Office, ada: Voice, eve: Voice, gus: Voice, mei: Voice, ops: Room, random: Room
) -> None:
    """Guests, strangers, another language, another room, and an agent's own words."""
    await gus.writes(ops, "@skadi web-1 uptime")
    await gus.reads(ops, "guests")
    await office.link(mei.person)
    await mei.writes(ops, "@skadi web-1 你好")
    await mei.reads(ops, "ran 你好")
    await mei.types(ops, "帮助")
    # Where the bot is no member it answers the person, and goes on in their own conversation.
    gate = office.machines["web-1"].hold("whoami")
    await ada.types(random, "web-1 whoami")
    await ada.reads(random, "whoami")
    random.posts.clear()
    gate.set()
    await ada.reads(ada.home, "ran whoami")
    await office.machines["web-1"].say("warning", "disk /var is 91 % full")
    await ada.reads(ops, "disk /var")
    await ada.writes(ops, "@skadi help")
    await ada.reads(ops, "help")
    await eve.writes(ops, "nobody asked the bot anything here")


async def nothing_amiss(office: Office) -> None:
    """What the conversation does not show."""
    slack = office.slack
    ours = [post for room in office.team.rooms.values() for post in room.posts if post.by_app]
    assert [post for post in ours if post.sight.pings or post.sight.links] == []
    assert (slack.given_up, slack.complaints, slack.unseen) == ([], [], [])
    assert [asked for asked in slack.asked if asked.error == "ratelimited"] == []
    assert [attempt for attempt in slack.attempts if attempt.error or attempt.retry] == []
    assert await office.dead() == 0
    [journal, *_] = [file for post in ours for file in post.files]
    assert journal.text == LONG


def shorten(log: str) -> str:
    """Help has tests of its own."""
    return re.sub(r"((?:^- .*\n){2})(?:^- .*\n){3,}", r"\1- ...\n", log, flags=re.MULTILINE)


def test_a_day(tmp_path: Path) -> None:
    hurry(HASTE, lambda: story(tmp_path))
