"""Whatever Slack answers, or does not: what we say arrives, once, in order, and where it belongs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.slack.blocks import LONGEST_OUTPUT
from adapters.slack.calls import is_slacks
from adapters.slack.installations import Installation, Many, One, Sealer
from adapters.slack.pace import Turns
from adapters.slack.post import Post
from core.chat import Action, DeliveryError, Reply, Thread
from core.settings import Secret
from tests.servers import free_port
from tests.slack.fake import Person, Room, Server, Slack, Team, open_slack
from tests.slack.fake import Post as Seen
from tests.slack.fake.files import Files
from tests.slack.fake.slack import Asked, Trouble
from tests.slack.haste import Running, hurry

LONG = "".join(f"line {n}\n" for n in range(1000))
HOUR = 3600.0


@dataclass
class Book:
    """A notebook that lies on the table. `torn`: what was written when it could not be."""

    clock: Callable[[], Any]
    notes: dict[str, tuple[Any, float | None]] = field(default_factory=dict)

    def _now(self) -> float:
        return float(self.clock().timestamp())

    async def get(self, key: str) -> Any | None:
        value, until = self.notes.get(key, (None, None))
        return json.loads(value) if value and (until is None or until > self._now()) else None

    async def put(self, key: str, value: Any, seconds: float | None = None) -> None:
        self.notes[key] = (json.dumps(value), seconds and self._now() + seconds)

    async def add(self, key: str, amount: int, seconds: float) -> int:
        known: int = await self.get(key) or 0
        until = self.notes[key][1] if known else self._now() + seconds
        self.notes[key] = (json.dumps(known + amount), until)
        return known + amount

    async def once(self, key: str, seconds: float) -> bool:
        return await self.add(key, 1, seconds) == 1


@dataclass(frozen=True)
class Address:
    api: str


@dataclass
class Scene:
    """A workspace with a room where Ada and we are, and one where only she is."""

    server: Server
    post: Post
    book: Book
    clock: Running
    team: Team
    ada: Person
    ops: Room
    closed: Room

    @property
    def slack(self) -> Slack:
        return self.server.slack

    def begin(self, room: Room | None = None, *, answered: bool = False) -> Seen:
        """Somebody writes; what follows belongs into its thread."""
        word = self.slack.put(room or self.ops, self.ada, "a word")
        if answered:
            self.slack.put(room or self.ops, self.ada, "another", thread_ts=word.ts)
        return word

    def thread(self, seen: Seen | None = None, room: Room | None = None, **ref: Any) -> Thread:
        told = {"team": self.team.id, "user": self.ada.id, **ref}
        return Thread("slack", (room or self.ops).id, seen.ts if seen else "", told)

    def hooked(self, room: Room | None = None, seen: Seen | None = None) -> dict[str, Any]:
        """What the thread of a slash command or of a click knows besides."""
        url = self.slack.hooks.make(room or self.ops, self.ada, seen)
        until = self.clock() + timedelta(minutes=30)
        return {"response_url": url, "until": until.timestamp()}

    def asked(self, method: str) -> list[Asked]:
        return [each for each in self.slack.asked if each.method == method]

    @property
    def direct(self) -> Room:
        return self.slack.direct(self.ada)

    async def tell(self, reply: Reply, tries: int = 40) -> str | None:
        """As the notifier does: again, when it was asked to wait or Slack was away."""
        for _ in range(tries):
            try:
                return await self.post.send(reply)
            except DeliveryError as error:
                assert not error.permanent, error
                await asyncio.sleep(error.retry_after or 2)
        raise AssertionError("it does not get through")


@asynccontextmanager
async def open_scene() -> AsyncIterator[Scene]:
    clock = Running()
    async with open_slack(Slack(clock)) as server:
        slack = server.slack
        slack.carrier = None
        team = slack.team()
        ada = slack.person(team, "ada")
        book = Book(clock)
        tokens = One(Secret(team.token), book, clock, server.api)
        yield Scene(
            server=server,
            post=Post(Address(server.api), tokens, clock, book),
            book=book,
            clock=clock,
            team=team,
            ada=ada,
            ops=slack.room(team, "ops", ada),
            closed=slack.room(team, "closed", ada, bot=False),
        )


def play(story: Callable[[Scene], Awaitable[None]], haste: float = 20) -> None:
    """Pauses are kept, on a loop on which time runs faster."""

    async def whole() -> None:
        async with open_scene() as scene:
            await story(scene)

    hurry(haste, whole)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_scene() as scene:
        yield scene


async def refusal(scene: Scene, reply: Reply) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await scene.post.send(reply)
    return caught.value


# Posts and edits.


async def test_an_answer_lands_in_the_thread_and_is_kept_true_there(scene: Scene) -> None:
    word = scene.begin()
    thread = scene.thread(word)
    handle = await scene.post.send(Reply(thread, "**Queuing**: `uptime`"))
    [_, post] = scene.ops.thread(word)
    assert handle == f"{scene.ops.id}/{post.ts}"
    ended = Reply(thread, "**Succeeded**", output="up 3 days", replaces=handle)
    again = replace(ended, actions=[Action("Again", "again k3f9")])
    assert await scene.post.send(again) == handle
    assert (post.sight.shown, post.sight.code) == ("Succeeded [Again]", ("up 3 days",))
    assert await scene.post.send(replace(ended, replaces=handle)) == handle
    assert post.buttons == [], "a button that is spent goes"
    assert len(scene.ops.standing) == 2


async def test_a_slash_commands_first_post_begins_the_thread(scene: Scene) -> None:
    handle = await scene.post.send(Reply(scene.thread(**scene.hooked()), "**Queuing**"))
    [post] = scene.ops.standing
    assert (handle, post.thread_ts) == (f"{scene.ops.id}/{post.ts}", "")
    assert handle == replace(scene.thread(), thread_id=post.ts).root


async def test_nothing_is_unfurled_and_no_name_is_looked_for(scene: Scene) -> None:
    await scene.post.send(Reply(scene.thread(), "see https://skadi.example @here"))
    [call] = scene.asked("chat.postMessage")
    wanted = {"unfurl_links": False, "unfurl_media": False, "link_names": False, "parse": "none"}
    assert {name: call.args[name] for name in wanted} == wanted


@pytest.mark.parametrize("how", ["deleted", "somebody else's"])
def test_where_people_deleted_the_post_a_new_one_is_made(how: str) -> None:
    async def story(scene: Scene) -> None:
        word = scene.begin()
        handle = await scene.post.send(Reply(scene.thread(word), "**Queuing**"))
        post = scene.ops.last("Queuing")
        if how == "deleted":
            post.deleted = True
        else:
            post.author = scene.ada
        new = await scene.post.send(Reply(scene.thread(word), "**Succeeded**", replaces=handle))
        last = scene.ops.thread(word)[-1]
        assert (last.text, new) == ("Succeeded", f"{scene.ops.id}/{last.ts}")
        assert new != handle

    play(story, haste=5)


async def test_what_slack_cannot_show_is_said_without_blocks(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    label = Action("", "again k3f9")  # shown as three dots; the style is one Slack does not know
    odd = replace(label, style="loud")  # type: ignore[arg-type]
    handle = await scene.post.send(Reply(scene.thread(), "Done.", output="all", actions=[odd]))
    assert handle
    [post, file] = scene.ops.standing
    assert (post.text, post.blocks) == ("Done.", [])
    assert file.files[0].text == "all"
    assert "invalid_blocks" in caplog.text


# Words for one person.


async def test_a_private_word_is_for_one_pair_of_eyes_in_its_thread(scene: Scene) -> None:
    word = scene.begin(answered=True)
    assert await scene.post.send(Reply(scene.thread(word), "You are Ada.", private=True)) is None
    post = scene.ops.last("Ada")
    assert (post.for_only, post.thread_ts) == (scene.ada, word.ts)


async def test_a_thread_without_an_answer_would_hide_it(scene: Scene) -> None:
    thread = scene.thread(scene.begin(), first=True)
    await scene.post.send(Reply(thread, "You are Ada.", private=True))
    post = scene.ops.last("Ada")
    assert (post.for_only, post.thread_ts) == (scene.ada, "")


async def test_to_a_slash_command_it_comes_by_its_response_url(scene: Scene) -> None:
    thread = scene.thread(room=scene.closed, **scene.hooked(scene.closed))
    await scene.post.send(Reply(thread, "You are Ada.", private=True))
    assert scene.closed.last("Ada").for_only is scene.ada
    assert [each.method for each in scene.slack.asked] == ["response_url"]


async def test_one_that_has_expired_is_not_relied_on(scene: Scene) -> None:
    thread = scene.thread(**scene.hooked())
    scene.clock.move(minutes=31)
    await scene.post.send(Reply(thread, "You are Ada.", private=True))
    assert scene.ops.last("Ada").for_only is scene.ada
    assert scene.asked("response_url") == []


async def test_who_is_not_there_any_more_is_told_directly(scene: Scene) -> None:
    scene.ops.members.discard(scene.ada.id)
    await scene.post.send(Reply(scene.thread(scene.begin()), "Not linked.", private=True))
    assert scene.direct.last("Not linked").text == "Not linked."


async def test_between_two_all_is_private_and_nothing_is_hidden(scene: Scene) -> None:
    word = scene.begin(scene.direct)
    thread = scene.thread(word, scene.direct)
    assert await scene.post.send(Reply(thread, "You are Ada.", private=True))
    post = scene.direct.last("Ada")
    assert (post.for_only, post.thread_ts) == (None, word.ts)


async def test_a_question_that_one_person_sees_is_answered_in_its_place(scene: Scene) -> None:
    asked = scene.begin(answered=True)
    await scene.post.send(Reply(scene.thread(asked), "Which one?", private=True))
    question = scene.ops.last("Which")
    handle = f"{scene.ops.id}/{question.ts}"
    ref = {"alone": handle, **scene.hooked(seen=question)}
    reply = Reply(scene.thread(**ref), "Ada chose `cancel k3f9`.", replaces=handle)
    assert await scene.post.send(reply) is None
    assert question.text == "Ada chose `cancel k3f9`."


async def test_output_that_was_asked_for_there_is_for_all(scene: Scene) -> None:
    asked = scene.begin(answered=True)
    await scene.post.send(Reply(scene.thread(asked), "Which one?", private=True))
    question = scene.ops.last("Which")
    handle = f"{scene.ops.id}/{question.ts}"
    ref = {"alone": handle, **scene.hooked(seen=question)}
    await scene.post.send(Reply(scene.thread(**ref), "Log", output="all", replaces=handle))
    assert question.deleted
    assert scene.ops.last("Log").for_only is None


async def test_a_question_too_old_for_that_is_answered_beside_it(scene: Scene) -> None:
    handle = f"{scene.ops.id}/1.1"
    ref: dict[str, Any] = {"alone": handle, "response_url": "http://127.0.0.1:1/x", "until": 0.0}
    await scene.post.send(Reply(scene.thread(**ref), "Ada chose.", replaces=handle))
    assert scene.ops.last("Ada chose.").for_only is scene.ada


# Doors that are closed.


@pytest.mark.parametrize("why", ["not_in_channel", "channel_not_found", "is_archived"])
async def test_where_we_may_not_speak_the_answer_comes_by_the_response_url(
    scene: Scene, why: str
) -> None:
    room = scene.closed
    room.hidden, room.archived = why == "channel_not_found", why == "is_archived"
    thread = scene.thread(room=room, **scene.hooked(room))
    handle = await scene.post.send(Reply(thread, "**Queuing**"))
    assert [each.error for each in scene.asked("chat.postMessage")] == [why]
    assert room.last("Queuing").for_only is scene.ada
    # One message that is kept true follows where we can edit.
    handle = await scene.post.send(Reply(thread, "**Sent**", replaces=handle))
    assert await scene.post.send(Reply(thread, "**Succeeded**", replaces=handle)) == handle
    [post] = scene.direct.standing
    assert post.text == "Succeeded"
    assert [each.text for each in room.standing] == ["Queuing"]


async def test_without_one_it_goes_to_the_person(scene: Scene) -> None:
    thread = scene.thread(room=scene.closed)
    handle = await scene.post.send(Reply(thread, "**Queuing**"))
    await scene.post.send(Reply(thread, "**Succeeded**", replaces=handle))
    assert [post.text for post in scene.direct.standing] == ["Succeeded"]


async def test_a_file_follows_there_too(scene: Scene) -> None:
    thread = scene.thread(room=scene.closed, **scene.hooked(scene.closed))
    await scene.post.send(Reply(thread, "**Succeeded**", output=LONG))
    post, file = scene.direct.standing
    assert (file.thread_ts, file.files[0].text) == (post.ts, LONG)
    assert scene.closed.standing == []


async def test_where_nobody_can_be_written_to_the_response_url_is_used_to_its_end(
    scene: Scene,
) -> None:
    thread = scene.thread(room=scene.closed, **scene.hooked(scene.closed))
    nobody = replace(thread, ref={**thread.ref, "user": "UGONE"})
    handle = None
    for state in ("Queuing", "Sent", "Running", "Succeeded"):
        output = LONG if state == "Succeeded" else ""
        handle = await scene.post.send(Reply(nobody, state, output=output, replaces=handle))
    seen = [post.text.partition("\n")[0] for post in scene.closed.standing]
    assert seen == ["Queuing", "Sent", "Running", "Succeeded"]
    assert "output.txt" not in scene.closed.standing[-1].text, "none can follow"
    await scene.post.send(Reply(nobody, "five"))
    assert (await refusal(scene, Reply(nobody, "six"))).permanent


@pytest.fixture
def between_two(scene: Scene) -> Room:
    """Ada's conversation with Bob, into which only her slash commands let us see."""
    bob = scene.slack.person(scene.team, "bob")
    room = Room("DADABOB", "ada and bob", scene.team.id, {scene.ada.id, bob.id})
    scene.team.rooms[room.id] = room
    return room


async def test_between_two_others_it_is_told_to_its_end(scene: Scene, between_two: Room) -> None:
    thread = scene.thread(room=between_two, **scene.hooked(between_two))
    handle = await scene.post.send(Reply(thread, "**Queuing**"))
    for n in range(6):
        handle = await scene.post.send(Reply(thread, f"**Running** {n}", replaces=handle))
    scene.clock.move(minutes=31)
    await scene.post.send(Reply(thread, "**Succeeded**", output=LONG, replaces=handle))
    assert [post.text for post in between_two.standing] == ["Queuing"]
    post, file = scene.direct.standing
    assert post.text.startswith("Succeeded")
    assert file.files[0].text == LONG


async def test_between_two_others_a_private_word_is_private(
    scene: Scene, between_two: Room
) -> None:
    thread = scene.thread(room=between_two, **scene.hooked(between_two))
    await scene.post.send(Reply(thread, "You are Ada.", private=True, output=LONG))
    word = between_two.last("Ada")
    assert (word.for_only, "output.txt" in word.text) == (scene.ada, False)
    scene.clock.move(minutes=31)
    await scene.post.send(Reply(thread, "You were Ada.", private=True))
    assert scene.direct.last("Ada").text == "You were Ada."


@pytest.mark.parametrize("im", [True, False])
async def test_which_conversation_is_with_us_may_be_said(scene: Scene, im: bool) -> None:
    thread = scene.thread(scene.begin(scene.direct, answered=True), scene.direct, im=im)
    await scene.post.send(Reply(thread, "You are Ada.", private=True))
    assert scene.direct.last("Ada").for_only is (None if im else scene.ada)


async def test_where_no_conversation_may_be_opened_the_response_url_is_used(
    scene: Scene,
) -> None:
    scopes = scene.team.scopes.split(",")
    scene.team.scopes = ",".join(scope for scope in scopes if scope != "im:write")
    thread = scene.thread(room=scene.closed, **scene.hooked(scene.closed))
    handle = None
    for state in ("Queuing", "Running", "Succeeded"):
        handle = await scene.post.send(Reply(thread, state, replaces=handle))
    seen = [post.text for post in scene.closed.standing]
    assert seen == ["Queuing", "Running", "Succeeded"]
    scene.clock.move(minutes=31)
    assert (await refusal(scene, Reply(thread, "Done.", replaces=handle))).permanent


HOOK = "https://hooks.slack.com/commands/T1/1/x"


@pytest.mark.parametrize(
    ("url", "api", "slacks"),
    [
        (HOOK, "https://slack.com/api/", True),
        ("https://files.slack.com/upload/v1/x", "https://slack.com/api/", True),
        ("https://hooks.slack-gov.com/x", "https://slack-gov.com/api/", True),
        ("http://hooks.slack.com/x", "https://slack.com/api/", False),
        ("https://hooks.slack.com:8443/x", "https://slack.com/api/", False),
        ("https://hooks.slack.com.evil.example/x", "https://slack.com/api/", False),
        ("https://evilslack.com/x", "https://slack.com/api/", False),
        ("https://hooks.slack.com@evil.example/x", "https://slack.com/api/", False),
        ("https://evil.example\\@hooks.slack.com/x", "https://slack.com/api/", False),
        ("https://169.254.169.254/x", "https://slack.com/api/", False),
        ("//hooks.slack.com/x", "https://slack.com/api/", False),
        ("", "https://slack.com/api/", False),
        ("http://127.0.0.1:80/x", "http://127.0.0.1/api/", True),
        ("http://127.0.0.1:81/x", "http://127.0.0.1/api/", False),
        (HOOK, "http://127.0.0.1/api/", False),
    ],
)
def test_only_slack_is_told_what_is_for_slack(url: str, api: str, slacks: bool) -> None:
    assert is_slacks(url, api) is slacks


async def test_an_address_elsewhere_is_told_nothing(scene: Scene) -> None:
    async with open_slack(Slack(scene.clock)) as elsewhere:
        address = f"{elsewhere.slack.address}/hooks/x"
        ref = {**scene.hooked(scene.closed), "response_url": address}
        await scene.post.send(Reply(scene.thread(room=scene.closed, **ref), "for Ada"))
        assert elsewhere.slack.asked == []
    assert scene.direct.last("for Ada")


async def test_with_nobody_to_turn_to_it_is_given_up(scene: Scene) -> None:
    nowhere = Thread("slack", "CGONE", "", {"team": "T1"})
    error = await refusal(scene, Reply(nowhere, "web-1 went offline."))
    assert (error.permanent, str(error)) == (True, "Slack said channel_not_found.")


# Files.


async def test_long_output_is_a_file_in_the_thread_once(scene: Scene) -> None:
    word = scene.begin()
    thread = scene.thread(word)
    handle = await scene.post.send(Reply(thread, "**Running**"))
    ended = Reply(thread, "**Succeeded**", output=LONG, replaces=handle, subject="make all")
    for _ in range(3):
        assert await scene.post.send(ended) == handle
    _, post, file = scene.ops.thread(word)
    assert len("\n".join(post.sight.code)) <= LONGEST_OUTPUT
    assert (post.sight.code[0], post.sight.code[-1]) == ("line 0", "line 999")
    assert (file.files[0].name, file.files[0].text) == ("make all", LONG)


async def test_a_file_hangs_on_the_post_that_began_the_thread(scene: Scene) -> None:
    handle = await scene.post.send(Reply(scene.thread(), "**Succeeded**", output=LONG))
    post, file = scene.ops.standing
    assert handle == f"{scene.ops.id}/{post.ts}"
    assert file.thread_ts == post.ts


@pytest.mark.parametrize("method", ["getUploadURL", "upload", "completeUpload"])
@pytest.mark.parametrize("trouble", ["html", "cut", "lost", "half", "fatal", "busy"])
@pytest.mark.parametrize("edit", [False, True])
def test_whatever_happens_on_the_way_there_is_one_message_and_one_file(
    method: str, trouble: Trouble, edit: bool
) -> None:
    async def story(scene: Scene) -> None:
        word = scene.begin()
        thread = scene.thread(word)
        handle = await scene.post.send(Reply(thread, "**Running**")) if edit else None
        before = ["message", "getUploadURL", "upload", "completeUpload"].index(method)
        fine: list[Trouble] = [""] * before
        scene.slack.troubles.extend([*fine, trouble])
        await scene.tell(Reply(thread, "**Succeeded**", output=LONG, replaces=handle))
        _, post, *files = scene.ops.thread(word)
        assert post.sight.words.startswith("Succeeded")
        assert [file.files[0].text for file in files] == [LONG]

    play(story)


def test_the_same_may_be_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    async def story(scene: Scene) -> None:
        word = scene.begin()
        log = Reply(scene.thread(word), "**Succeeded**", output=LONG)
        first = await scene.tell(log)
        scene.clock.move(seconds=2)
        assert await scene.tell(log) != first
        assert len(scene.ops.thread(word)) == 5

    play(story)


async def test_where_we_may_upload_nothing_the_message_promises_no_file(scene: Scene) -> None:
    scene.team.scopes = scene.team.scopes.replace("files:write", "files:read")
    word = scene.begin()
    handle = await scene.post.send(Reply(scene.thread(word), "**Succeeded**", output=LONG))
    _, post = scene.ops.thread(word)
    assert handle == f"{scene.ops.id}/{post.ts}"
    assert "output.txt" not in post.text
    assert "…" in post.text


class Full(Files):
    """A place that takes no file."""

    def fill(self, id: str, content: bytes) -> bool:
        return False


@pytest.mark.parametrize("edit", [False, True])
async def test_where_a_file_is_refused_the_message_comes_without_it(
    scene: Scene, edit: bool
) -> None:
    scene.server.files = Full(scene.slack)
    thread = scene.thread(scene.begin())
    handle = await scene.post.send(Reply(thread, "**Running**")) if edit else None
    await scene.post.send(Reply(thread, "**Succeeded**", output=LONG, replaces=handle))
    _, post = scene.ops.standing
    assert post.sight.words.startswith("Succeeded")
    assert "output.txt" not in post.text


@pytest.mark.parametrize("edit", [False, True])
def test_a_message_does_not_wait_for_ever_for_its_file(edit: bool) -> None:
    async def story(scene: Scene) -> None:
        thread = scene.thread(scene.begin())
        handle = await scene.post.send(Reply(thread, "**Running**")) if edit else None
        for minute in range(3):
            # The message, the place of the file, and its content.
            scene.slack.troubles.extend(["", "", "html"] if edit or not minute else ["", "html"])
            reply = Reply(
                *(thread, f"**Succeeded** {minute} min ago"),
                output=LONG,
                replaces=handle,
                actions=[Action("Again", "again k3f9")],
            )
            if minute < 2:
                assert not (await refusal(scene, reply)).permanent
                await asyncio.sleep(2)
        await scene.post.send(reply)
        _, post = scene.ops.standing
        assert post.sight.words.startswith("Succeeded")
        assert "output.txt" not in post.text

    play(story, haste=5)


# Slack in trouble.


@pytest.mark.parametrize("trouble", ["html", "cut", "fatal", "half", "lost"])
async def test_when_slack_is_in_trouble_it_is_tried_again(scene: Scene, trouble: Trouble) -> None:
    scene.slack.trouble = trouble
    error = await refusal(scene, Reply(scene.thread(), "Done."))
    assert not error.permanent
    calls = len(scene.asked("chat.postMessage"))
    assert calls <= 1, "nothing is sent a second time behind our back"


def test_an_answer_that_never_comes_is_not_waited_for() -> None:
    async def story(scene: Scene) -> None:
        scene.slack.trouble = "hang"
        begun = asyncio.get_running_loop().time()
        error = await refusal(scene, Reply(scene.thread(), "Done."))
        assert not error.permanent
        assert asyncio.get_running_loop().time() - begun < 20

    play(story)


async def test_while_nobody_is_there_it_is_tried_again(scene: Scene) -> None:
    await scene.server.go_away()
    assert not (await refusal(scene, Reply(scene.thread(), "Done."))).permanent
    await scene.server.come_back()
    assert await scene.post.send(Reply(scene.thread(), "Done."))


def test_slack_says_how_long_to_wait_and_we_do() -> None:
    async def story(scene: Scene) -> None:
        scene.slack.troubles.append("busy")
        error = await refusal(scene, Reply(scene.thread(), "one"))
        assert (error.permanent, error.retry_after) == (False, 7)
        asked = len(scene.slack.asked)
        error = await refusal(scene, Reply(scene.thread(), "two"))
        assert error.retry_after is not None
        assert 6 < error.retry_after <= 8
        assert len(scene.slack.asked) == asked, "and do not ask meanwhile"
        other = scene.slack.room(scene.team, "other", scene.ada)
        assert await scene.post.send(Reply(scene.thread(room=other), "elsewhere"))
        await asyncio.sleep(7.5)
        assert await scene.post.send(Reply(scene.thread(), "one"))

    play(story)


async def test_a_word_of_slacks_that_we_do_not_know_is_not_the_end(scene: Scene) -> None:
    scene.team.scopes = "users:read"
    error = await refusal(scene, Reply(scene.thread(), "Done."))
    assert (error.permanent, str(error)) == (False, "Slack said missing_scope.")


async def test_a_proxy_is_asked_unless_the_environment_says_otherwise(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    assert await scene.post.send(Reply(scene.thread(), "Done."))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    assert not (await refusal(scene, Reply(scene.thread(), "Done."))).permanent


async def test_no_secret_is_in_what_goes_wrong(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    thread = scene.thread(room=scene.closed, **scene.hooked(scene.closed))
    await scene.server.go_away()
    for private in (False, True):
        error = await refusal(scene, Reply(thread, "the-words", private=private))
        told = f"{error} {error.__cause__!r} {caplog.text}"
        for secret in (scene.team.token, str(thread.ref["response_url"]), "the-words"):
            assert secret not in told


# Tokens that are none any more.


@pytest.mark.parametrize("how", ["revoked", "uninstalled"])
async def test_a_team_that_is_gone_is_forgotten(scene: Scene, how: str) -> None:
    key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    many = Many(Sealer("slack", key), scene.book, scene.clock)
    await add(many, scene.team)
    post = Post(Address(scene.server.api), many, scene.clock, scene.book)
    assert await post.send(Reply(scene.thread(), "one"))
    if how == "revoked":
        scene.slack.revoked.add(scene.team.token)
    scene.team.installed = False
    scene.clock.move(seconds=1)
    other = scene.slack.room(scene.team, "other", scene.ada)
    reply = Reply(scene.thread(room=other), "two")
    with pytest.raises(DeliveryError) as first:
        await post.send(reply)
    with pytest.raises(DeliveryError) as second:
        await post.send(reply)
    assert (first.value.permanent, second.value.permanent) == (False, True)


async def add(many: Many, team: Team) -> None:
    await many.add(Installation(team.id, Secret(team.token), installed_at=1.0))


async def test_a_token_that_is_not_taken_once_is_kept(scene: Scene) -> None:
    key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    many = Many(Sealer("slack", key), scene.book, scene.clock)
    await many.add(Installation(scene.team.id, Secret("xoxb-nobody"), installed_at=1.0))
    post = Post(Address(scene.server.api), many, scene.clock, scene.book)
    with pytest.raises(DeliveryError, match="invalid_auth") as caught:
        await post.send(Reply(scene.thread(), "one"))
    assert not caught.value.permanent
    assert await many.find(scene.team.id)


async def test_the_token_of_the_settings_may_be_mended(scene: Scene) -> None:
    scene.slack.revoked.add(scene.team.token)
    for _ in range(2):
        error = await refusal(scene, Reply(scene.thread(), "one"))
        assert (error.permanent, "token_revoked" in str(error)) == (False, True)
    scene.slack.revoked.clear()
    assert await scene.post.send(Reply(scene.thread(), "one"))


# The pace.


def test_messages_come_one_a_second_and_in_their_order() -> None:
    async def story(scene: Scene) -> None:
        for n in range(8):
            assert await scene.tell(Reply(scene.thread(), f"message {n}"))
        assert [post.text for post in scene.ops.standing] == [f"message {n}" for n in range(8)]
        assert scene.slack.rates.refused == 0

    play(story, haste=5)


def test_a_crowd_is_told_when_its_turn_comes_and_comes_then() -> None:
    async def story(scene: Scene) -> None:
        words = [scene.begin() for _ in range(12)]
        await asyncio.gather(
            *(scene.tell(Reply(scene.thread(word), f"to {n}")) for n, word in enumerate(words))
        )
        answers = [post.text for post in scene.ops.standing if post.by_app]
        assert answers == [f"to {n}" for n in range(12)]
        assert scene.slack.rates.refused == 0
        tries = len(scene.asked("chat.postMessage"))
        assert tries == 12

    play(story, haste=5)


def test_edits_stay_below_slacks_limit_and_the_last_word_arrives() -> None:
    async def story(scene: Scene) -> None:
        handles = []
        for n in range(30):
            room = scene.slack.room(scene.team, f"room{n}", scene.ada)
            thread = scene.thread(room=room)
            handles.append((thread, await scene.post.send(Reply(thread, "**Queuing**"))))
        for state in ("Running", "Succeeded"):
            edits = (Reply(thread, state, replaces=handle) for thread, handle in handles)
            await asyncio.gather(*map(scene.tell, edits))
        rooms = (room for room in scene.team.rooms.values() if room.name.startswith("#room"))
        assert {post.text for room in rooms for post in room.standing} == {"Succeeded"}
        assert scene.slack.rates.refused == 0

    play(story, haste=100)


async def test_who_comes_late_does_not_crowd_the_next() -> None:
    turns = Turns(0.2)
    loop = asyncio.get_running_loop()
    turns.rest("C1", 2.05)
    with pytest.raises(DeliveryError) as far:
        await turns.take("C1", "late")
    assert far.value.retry_after is not None
    await asyncio.sleep(2.25)
    await turns.take("C1", "late")
    first = loop.time()
    await turns.take("C1", "next")
    assert loop.time() - first >= 0.19


@pytest.mark.parametrize("limit", [1, 3])
async def test_a_silence_lets_a_few_come_at_once(limit: int) -> None:
    turns = Turns(30, limit)
    for n in range(limit):
        await turns.take("T1", n)
    with pytest.raises(DeliveryError):
        await turns.take("T1", "one more")
    await turns.take("T2", "elsewhere")
