"""Whole conversations, from what is typed to what is read."""

from tests.bots.office import Machine, Office, Person


async def test_a_job_is_told_in_one_message_kept_up_to_date(ada: Person, web: Machine) -> None:
    assert await ada.says("web-1 deploy 1.4") is None
    tag = (await ada.office.newest()).tag
    assert await ada.reads() == [f"**Queuing**: `deploy 1.4` waits for `web-1` (`{tag}`)"]
    assert await web.poll() == "deploy 1.4"
    assert await ada.reads() == [f"**Sent** to `web-1`: `deploy 1.4` (`{tag}`)"]
    ada.office.clock.move(seconds=12)
    await web.report(await ada.office.newest(), "running", "unpacking")
    assert await ada.reads() == [f"**Running** 12 s on `web-1`: `deploy 1.4` (`{tag}`)"]
    ada.office.clock.move(seconds=2)
    await web.report(await ada.office.newest(), "succeed", "done\n")
    [post] = await ada.sees()
    assert post.text == f"**Succeeded** in 14 s on `web-1`: `deploy 1.4` (`{tag}`)"
    assert post.output == "done\n"


async def test_where_nothing_can_be_edited_there_is_one_acceptance_and_one_end(
    ben: Person, web: Machine
) -> None:
    await ben.says("web-1 uptime")
    await web.work("fail", "no such host")
    tag = (await ben.office.newest()).tag
    assert await ben.reads() == [
        f"**Queuing**: `uptime` waits for `web-1` (`{tag}`)",
        f"**Failed** after 14 s on `web-1`: `uptime` (`{tag}`)",
    ]


async def test_a_mail_is_answered_by_the_end_alone_when_it_comes_soon(office: Office) -> None:
    dan = await office.link(office.person("Dan", "mail"))
    web = await office.enrol()
    assert await dan.says("web-1 uptime") is None
    assert await dan.reads() == []
    await web.work(seconds=5)
    tag = (await office.newest()).tag
    assert await dan.reads() == [f"**Succeeded** in 5 s on `web-1`: `uptime` (`{tag}`)"]


async def test_a_question_by_mail_is_answered_by_a_mail(office: Office) -> None:
    dan = await office.link(office.person("Dan", "mail"))
    assert await dan.says("agent", remarks=("rest", "attachments")) is None
    assert await dan.says("wbe-1 uptime") is None
    first, second = await dan.reads()
    assert first.startswith("You have no agents yet.")
    assert first.endswith(
        "\nOnly the command was read; the rest of your message was ignored."
        "\nAttachments were ignored."
    )
    assert second.startswith("I know no agent and no verb called `wbe-1`.")


async def test_the_agent_gets_the_command_untouched(ada: Person, web: Machine) -> None:
    for command in ("echo  'a  b' “c” —d", "cat <<X\n  one\n\n two\nX", "ｅｃｈｏ　全角。"):
        await ada.says(f" WEB-1 {command}\n".replace("WEB", "web"))
        assert await web.work() == command


async def test_the_name_of_an_agent_survives_the_keyboard(ada: Person, web: Machine) -> None:
    for word in ("web–1", "“web-1”", "ｗｅｂ－１", "web-1:", "\u200bweb-1"):
        await ada.says(f"{word} uptime —now")
        assert await web.work() == "uptime —now"


async def test_a_verb_without_a_blank_is_understood_as_a_slip(ben: Person, web: Machine) -> None:
    assert "Did you mean `状态 web-1`?" in await ben.hears("状态web-1")


async def test_an_alias_does_as_well(ada: Person, office: Office) -> None:
    web = await office.enrol("web-1", alias="官网")
    await ada.says("官网 uptime")
    assert await web.work() == "uptime"


async def test_an_unknown_word_is_answered_by_the_nearest(ada: Person, web: Machine) -> None:
    assert await ada.hears("wbe-1 uptime") == (
        "I know no agent and no verb called `wbe-1`. Did you mean `web-1`?"
    )
    assert "Did you mean `web-1`?" in await ada.hears("Web-1 uptime")
    assert "Did you mean `status`" in await ada.hears("satus")
    assert await ada.hears("xyzzy") == (
        "I know no agent and no verb called `xyzzy`. `help` lists what I understand, `agent` your"
        " agents."
    )
    assert await ada.office.count_jobs() == 0


async def test_an_agent_without_a_command_is_asked_for_one(ada: Person, web: Machine) -> None:
    assert await ada.hears("web-1") == ("What should `web-1` run? For example `web-1 uptime`")


async def test_an_offline_agent_is_given_nothing(ada: Person, web: Machine) -> None:
    ada.office.clock.move(minutes=12)
    refused = await ada.says("web-1 deploy 1.4")
    assert refused is not None
    assert refused.text == (
        "`web-1` is offline, last seen 12 min ago. Nothing was started. See that its agent runs on"
        " that server, then try again."
    )
    assert (refused.level, refused.private) == ("warning", True)
    assert await ada.office.count_jobs() == 0


async def test_a_switched_off_agent_is_given_nothing(ada: Person, web: Machine) -> None:
    await ada.office.agents.switch(ada.office.account.id, web.agent.id, False)
    assert await ada.hears("web-1 uptime") == (
        "`web-1` is switched off. Nothing was started. The operator can switch it on."
    )


async def test_a_command_that_is_too_long_is_refused(ada: Person, web: Machine) -> None:
    assert "4,096 characters are the most" in await ada.hears("web-1 " + "x" * 4097)


# The same message again.


async def test_a_repeated_submit_is_one_job(ben: Person, web: Machine) -> None:
    first = await ben.hears("web-1 uptime", key="once")
    assert await ben.hears("web-1 uptime", key="once") == first
    assert await ben.office.count_jobs() == 1


async def test_a_repeated_question_gets_the_answer_that_was_given(
    ada: Person, web: Machine
) -> None:
    first = await ada.hears("agent remove web-1 yes", key="once")
    assert await ada.hears("agent remove web-1 yes", key="once") == first


async def test_the_same_key_of_another_sender_is_another_message(
    ada: Person, ben: Person, web: Machine
) -> None:
    await ada.says("web-1 uptime", key="once")
    await ben.says("web-1 uptime", key="once")
    assert await ada.office.count_jobs() == 2


# delay


async def test_a_delayed_job_says_when_and_can_be_taken_back(ada: Person, web: Machine) -> None:
    assert await ada.says("delay 20m web-1 reboot  now") is None
    job = await ada.office.newest()
    assert job.command == "reboot  now"
    [post] = await ada.sees()
    assert post.text == (
        f"**Delayed**: `reboot now` starts on `web-1` in 20 min, at 09:20 UTC (`{job.tag}`)"
    )
    [button] = post.actions
    await ada.says(button.command)
    assert (await ada.reads())[0] == (
        f"**Canceled**: `reboot now` did not run on `web-1` (`{job.tag}`)"
    )


async def test_a_delay_is_understood_in_chinese(ben: Person, web: Machine) -> None:
    await ben.office.house.accounts.set_language(ben.office.account.id, "zh")
    assert (await ben.hears("延时 半小时 web-1 重启")).startswith(
        "**已延时**：30 分钟后（09:30 UTC）"
    )
    assert (await ben.office.newest()).command == "重启"


async def test_a_delay_that_makes_no_sense_is_asked_for_again(ada: Person, web: Machine) -> None:
    assert await ada.hears("delay") == (
        "Say it like this: `delay 20m AGENT COMMAND`\nFor example: `delay 1h30m web-1 reboot`"
    )
    assert await ada.hears("delay 20m") == await ada.hears("delay")
    assert (await ada.hears("delay soon web-1 reboot")).startswith(
        "`soon` is not a duration I understand."
    )
    assert (await ada.hears("delay 20 web-1 reboot")).startswith("`20` is not a duration")
    assert (await ada.hears("delay 9999w web-1 reboot")).startswith("That is no delay I can keep.")
    assert (await ada.hears("delay 20m web-1")).startswith("What should `web-1` run?")
    assert (await ada.hears("delay 20m wbe-1 reboot")).startswith(
        "You have no agent called `wbe-1`."
    )
    assert await ada.office.count_jobs() == 0


async def test_nothing_can_be_put_off_into_the_past(ada: Person, web: Machine) -> None:
    for given in ("-5m", "—5m", "-1h30m"):
        refused = await ada.hears(f"delay {given} web-1 reboot")
        assert refused.startswith(f"`{given}` is not a duration")
    assert await ada.office.count_jobs() == 0


# Which job


async def test_a_job_canceled_by_mail_says_so_in_one_mail(office: Office) -> None:
    dan = await office.link(office.person("Dan", "mail"))
    await office.enrol()
    await dan.says("web-1 uptime")
    job = await office.newest()
    assert await dan.says(f"cancel {job.tag}", key="once") is None
    assert await dan.says(f"cancel {job.tag}", key="once") is None
    said = f"**Canceled**: `uptime` did not run on `web-1` (`{job.tag}`)"
    assert await dan.reads() == [said]
    assert await dan.says(f"cancel {job.tag}") is None
    assert await dan.reads() == [said, f"`{job.tag}` has already ended: canceled."]


async def test_who_cancels_somebody_elses_job_by_mail_is_told_too(office: Office) -> None:
    dan, eva = [await office.link(office.person(name, "mail")) for name in ("Dan", "Eva")]
    await office.enrol()
    await dan.says("web-1 uptime")
    job = await office.newest()
    assert await eva.says(f"cancel {job.tag}") is None
    said = f"**Canceled**: `uptime` did not run on `web-1` (`{job.tag}`)"
    assert (await dan.reads(), await eva.reads()) == ([said], [said])


async def test_in_a_jobs_thread_no_id_is_needed(ada: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    job = await ada.office.newest()
    assert await ada.hears("status") == f"**Queuing**: `uptime` waits for `web-1` (`{job.tag}`)"
    assert (
        await ada.hears("cancel") == f"**Canceled**: `uptime` did not run on `web-1` (`{job.tag}`)"
    )
    await ada.says("again")
    again = await ada.office.newest()
    assert (again.id != job.id, again.command) == (True, "uptime")
    await web.work(result="up 3 days")
    reply = await ada.says(f"log {again.tag}")
    assert reply is not None
    assert reply.output == "up 3 days"


async def test_the_verb_takes_the_job_that_it_fits(ada: Person, web: Machine) -> None:
    await ada.says("web-1 one")
    await web.work()
    await ada.says("web-1 two")
    job = await ada.office.newest()
    assert await ada.hears("cancel") == f"**Canceled**: `two` did not run on `web-1` (`{job.tag}`)"


async def test_when_two_jobs_fit_it_asks_which(ada: Person, web: Machine) -> None:
    await ada.says("web-1 one")
    one = await ada.office.newest()
    await ada.says("web-1 two")
    two = await ada.office.newest()
    question = await ada.says("cancel")
    assert question is not None
    assert question.text == (
        "Which one? Say `cancel` with one of these:\n"
        f"- `{two.tag}` `web-1` `two`: queuing\n"
        f"- `{one.tag}` `web-1` `one`: queuing"
    )
    assert [action.command for action in question.actions] == [
        f"cancel {two.id}",
        f"cancel {one.id}",
    ]
    await ada.says(question.actions[1].command)
    assert (await ada.hears("cancel")).startswith("**Canceled**: `two`")
    assert await ada.hears("status") == (
        f"- `{two.tag}` `web-1` `two`: canceled 1 s ago\n"
        f"- `{one.tag}` `web-1` `one`: canceled 1 s ago"
    )


async def test_elsewhere_the_end_of_an_id_is_enough(ada: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    job = await ada.office.newest()
    there = ada.elsewhere("C2", "2.2")
    assert await there.hears("cancel") == (
        "No job was started here. Name one: `cancel k3f9`\n`status` lists the latest."
    )
    assert await there.hears("cancel k3") == (
        "`k3` is too short: I need the last four characters of a job's id at least."
    )
    assert (await there.hears(f"status `{job.tag.upper()}`")).startswith("**Queuing**")
    assert (await there.hears(f"cancel {job.id}")).startswith("**Canceled**")
    assert await there.hears(f"cancel #{job.tag}") == f"`{job.tag}` has already ended: canceled."


async def test_a_job_nobody_knows_is_said_to_be_unknown(ada: Person, web: Machine) -> None:
    assert (
        await ada.hears("log zzzz") == "No job of yours ends in `zzzz`. `status` lists the latest."
    )
    assert await ada.hears("status zzzz") == (
        "You have no agent called `zzzz` and no job that ends in it. `status` alone lists both."
    )


async def test_a_job_that_runs_cannot_be_taken_back(ada: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    await web.poll()
    tag = (await ada.office.newest()).tag
    assert await ada.hears("cancel") == (
        f"`{tag}` is with `web-1` already and cannot be interrupted. Its end will be told."
    )
    assert await ada.hears("again") == f"`{tag}` has not ended yet: sent."
    assert (await ada.hears("log")).endswith("\nNo output yet.")


async def test_in_a_chat_without_threads_log_is_about_the_newest(ben: Person, web: Machine) -> None:
    for result in ("one", "two"):
        await ben.says("web-1 uptime")
        await web.work(result=result)
    reply = await ben.says("log")
    assert reply is not None
    assert reply.output == "two"
    assert (await ben.hears("again")).startswith("Which one?")


async def test_nobody_else_can_see_or_touch_a_job(ada: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    job = await ada.office.newest()
    office = ada.office
    other = await office.house.accounts.add("Mallory's")
    mallory = office.person("Mallory").elsewhere("C1", "1.1")
    await office.house.accounts.add_identity(other.id, "slack", mallory.sender_id, "Mallory")
    for text in ("cancel", "again", "log"):
        assert "No job was started here." in await mallory.hears(text)
        assert "No job of yours" in await mallory.hears(f"{text} {job.id}")
    assert "no agent called `web-1`" in await mallory.hears("status web-1")
    assert "no agents yet" in await mallory.hears("status")
    assert (await office.newest()).status == "queuing"


# status


async def test_status_shows_agents_and_jobs(ada: Person, web: Machine) -> None:
    await ada.office.agents.enrol(ada.office.account.id, "db-1", remark="in Oslo")
    there = ada.elsewhere("C2", "2.2")
    assert await there.hears("status") == (
        "**Agents**\n- `db-1`: never seen yet (in Oslo)\n- `web-1`: online\n"
        "No jobs yet. `db-1 uptime` starts one."
    )
    await ada.says("web-1 uptime")
    await web.work()
    tag = (await ada.office.newest()).tag
    assert (await there.hears("status")).endswith(
        f"\n**Jobs**\n- `{tag}` `web-1` `uptime`: succeeded 1 s ago"
    )
    assert await there.hears("status web-1") == (
        f"- `web-1`: online\n- `{tag}` `web-1` `uptime`: succeeded 1 s ago"
    )


# Help, and words that are kept.


async def test_help_says_what_can_be_done_here(ada: Person, ben: Person, web: Machine) -> None:
    reply = await ada.says("help")
    assert reply is not None
    assert reply.private
    lines = reply.text.splitlines()
    assert lines[1] == "- `AGENT COMMAND`: run the command there"
    assert "- `status [AGENT or JOB]`: how your agents and jobs are" in lines
    assert "link" not in {line.split("`")[1].split()[0] for line in lines[1:-2]}
    assert lines[-2] == "Your agents: `web-1`. `help web-1` shows what can be run there."
    assert await ada.hears("") == reply.text
    assert "`link CODE`" in await ben.hears("帮助")


async def test_help_tells_more_about_a_verb(ada: Person) -> None:
    assert await ada.hears("help delay") == (
        "- `delay 20m AGENT COMMAND`: run it later\n"
        "A delay is written `90s`, `20m`, `1h30m` or `2d`. Until it starts, `cancel` takes the job"
        " back.\n"
        "For example: `delay 1h30m web-1 reboot`"
    )
    assert "Only in a private conversation." in await ada.hears("help link")
    assert await ada.hears("help dleay") == "I know no verb called `dleay`. Did you mean `delay`?"
    assert "is not there yet" in await ada.hears("help plan")


async def test_help_in_chinese_offers_chinese_verbs(ben: Person) -> None:
    await ben.office.house.accounts.set_language(ben.office.account.id, "zh")
    text = await ben.hears("帮助 状态")
    assert "例如：`状态 web-1`" in text
    assert "也可以说：`status`" in text


async def test_a_word_kept_for_later_says_so(ada: Person) -> None:
    assert await ada.hears("plan every night") == (
        "`plan` is not there yet; I keep the word for it. `help` lists what I can do."
    )
