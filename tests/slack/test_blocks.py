"""What a reply looks like in Slack: nothing in it pings, links or breaks out, and it always fits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.slack.blocks import (
    ACTION_ID,
    HEAD,
    LONGEST_OUTPUT,
    MOST_BUTTONS,
    bare,
    beginning,
    clip,
    compose,
    end,
    is_spent,
    size,
)
from core.chat import Action, Reply, Thread
from tests.slack.fake.rules import check
from tests.slack.fake.sight import Sight, look

HERE = Thread("slack", "C1", "1.1")
NASTY = (
    "<!channel> <@U1> <#C1|x> <https://evil.example|click> &lt; ``` `x` *b* :tada: @here http://a.b"
)


def seen(reply: Reply, *, files: bool = True) -> Sight:
    draft = compose(reply, files=files)
    check(draft.text, list(draft.blocks), edit=True)
    return look(draft.text, list(draft.blocks), {})


def said(text: str, output: str = "", *actions: Action) -> Reply:
    return Reply(HERE, text, output=output, actions=actions)


def leaves(blocks: Any) -> list[dict[str, Any]]:
    """Every piece of rich text, whatever it lies in."""
    if isinstance(blocks, list | tuple):
        return [leaf for each in blocks for leaf in leaves(each)]
    if blocks.get("type") in ("text", "link") and "elements" not in blocks:
        return [blocks]
    return leaves(blocks.get("elements", []))


def test_words_are_shown_as_they_are_meant() -> None:
    reply = said(
        "**Succeeded** in 14 s on `web-1`: `a*b_c` (\\*)\n- `one`: x\n- two\n\nSee "
        "[the page](https://skadi.example/x)\n```\nskadi-token\n  two\n```\nbye"
    )
    draft = compose(reply)
    [block] = draft.blocks
    first, bullets, see, code, bye = block["elements"]
    assert first["elements"] == [
        {"type": "text", "text": "Succeeded", "style": {"bold": True}},
        {"type": "text", "text": " in 14 s on "},
        {"type": "text", "text": "web-1", "style": {"code": True}},
        {"type": "text", "text": ": "},
        {"type": "text", "text": "a*b_c", "style": {"code": True}},
        {"type": "text", "text": " ("},
        {"type": "text", "text": "*"},
        {"type": "text", "text": ")"},
    ]
    assert bullets["type"] == "rich_text_list"
    assert [each["elements"][0]["text"] for each in bullets["elements"]] == ["one", "two"]
    link = {"type": "link", "url": "https://skadi.example/x", "text": "the page"}
    assert see["elements"][-1] == link
    assert (code["type"], code["elements"]) == (
        "rich_text_preformatted",
        [{"type": "text", "text": "skadi-token\n  two"}],
    )
    assert bye["elements"] == [{"type": "text", "text": "bye"}]
    assert draft.text.startswith("Succeeded in 14 s on web-1: a*b_c (*)\n")


@pytest.mark.parametrize("place", ["text", "output", "command"])
def test_nothing_in_somebodys_words_pings_links_or_breaks_out(place: str) -> None:
    words = {
        "text": said(NASTY),
        "output": said("Done.", f"one\n{NASTY}\n```\n{NASTY}"),
        "command": said("`" + NASTY.replace("`", "ˋ") + "`"),
    }[place]
    sight = seen(words)
    assert (sight.pings, sight.links) == ((), ())
    note = look(compose(words).text, [], {})
    assert (note.pings, note.links) == ((), ())
    if place == "output":
        assert sight.words == "Done."
        assert sight.code == ("one", NASTY, "```", NASTY)


@settings(deadline=None)
@given(st.text(), st.text())
def test_a_message_of_any_words_is_taken_and_pings_nobody(text: str, output: str) -> None:
    reply = said(text, output)
    sight = seen(reply)
    assert sight.pings == ()
    for leaf in leaves(compose(reply).blocks):
        assert leaf["type"] == "text" or leaf["url"].startswith(("https://", "http://"))
    assert look(bare(reply).text, [], {}).pings == ()


@settings(deadline=None)  # on a busy machine
@given(
    st.text(st.sampled_from("ab\n `*-&<🎉語"), max_size=40).map(lambda piece: piece * 700),
    st.text(st.sampled_from("ab\n <&🎉語"), max_size=40).map(lambda piece: piece * 700),
)
def test_a_message_of_any_length_fits(text: str, output: str) -> None:
    buttons = [Action("x" * 90, f"again {n}" + "y" * 1900) for n in range(9)]
    reply = said(text, output, *buttons)
    seen(reply)
    draft = compose(reply)
    assert sum(size(leaf["text"]) for leaf in leaves(draft.blocks)) <= 12_000
    assert len(draft.text.encode()) <= 4000


def test_short_output_is_shown_whole() -> None:
    output = "x" * 70 + "\n"
    whole = output * (LONGEST_OUTPUT // len(output))
    draft = compose(said("Done.", whole))
    assert draft.file == ""
    assert "\n".join(look("", list(draft.blocks), {}).code) == whole.strip("\n")


def test_of_long_output_the_beginning_and_the_end_are_shown_and_the_whole_is_a_file() -> None:
    lines = [f"line {n} {'.' * 60}" for n in range(1000)]
    output = "\n".join(lines) + "\n"
    draft = compose(said("Done.", output))
    sight = look(draft.text, list(draft.blocks), {})
    assert draft.file == output
    assert (sight.code[0], sight.code[-1]) == (lines[0], lines[-1])
    assert set(sight.code) <= set(lines), "no line is cut"
    shown = "\n".join(sight.code[: len(sight.code)])
    assert len(shown) <= LONGEST_OUTPUT
    [between] = [line for line in sight.words.split("\n") if "…" in line]
    missing = int(between.split()[1].replace(",", ""))
    assert between.endswith("→ output.txt")
    assert missing == len(output.strip("\n")) - len(shown) + 1  # the line end where the cut is


def test_a_very_long_output_costs_no_more() -> None:
    output = "".join(f"line {n}\n" for n in range(1_000_000))
    draft = compose(said("Done.", output))
    sight = look(draft.text, list(draft.blocks), {})
    assert (sight.code[0], sight.code[-1]) == ("line 0", "line 999999")
    [between] = [line for line in sight.words.split("\n") if "…" in line]
    missing = int(between.split()[1].replace(",", ""))
    assert missing == len(output) - len("\n".join(sight.code))
    assert draft.file is output


def test_where_no_file_can_follow_none_is_promised() -> None:
    draft = compose(said("Done.", "x" * 9000), files=False)
    assert draft.file == ""
    assert "output.txt" not in look("", list(draft.blocks), {}).words


def test_output_without_a_line_end_is_cut_between_characters() -> None:
    draft = compose(said("Done.", "🎉" * 5000))
    for leaf in leaves(draft.blocks):
        leaf["text"].encode()
        assert size(leaf["text"]) <= LONGEST_OUTPUT
    head, *_ = look("", list(draft.blocks), {}).code
    assert head == "🎉" * (HEAD // 2)


def test_what_steers_a_terminal_is_left_out() -> None:
    sight = seen(said("Done.", "\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07a\rb\ud800\x00"))
    assert sight.code == ("red a", "b")


@pytest.mark.parametrize(("text", "longest"), [("🎉" * 9, 7), ("a🎉" * 9, 6), ("語" * 9, 5)])
def test_characters_are_counted_as_slack_does(text: str, longest: int) -> None:
    for part in (beginning(text, longest), end(text, longest)):
        assert longest - 1 <= size(part) <= longest
        assert part in text


def test_a_text_is_clipped_at_the_end_of_a_line() -> None:
    assert clip("one\ntwo\nthree", 11) == "one\ntwo\n…"
    assert clip("one\ntwo", 11) == "one\ntwo"


def test_buttons_say_what_they_type_and_whether_they_are_spent_by_a_click() -> None:
    actions = [
        Action("Cancel", "cancel k3f9", "danger"),
        Action("Yes", "agent remove web-1 yes", once=True),
    ]
    *_, block = compose(said("Running.", "", *actions)).blocks
    cancel, yes = block["elements"]
    assert (cancel["value"], cancel["style"]) == ("cancel k3f9", "danger")
    assert yes["text"] == {"type": "plain_text", "text": "Yes", "emoji": False}
    assert "style" not in yes
    assert (is_spent(cancel["action_id"]), is_spent(yes["action_id"])) == (False, True)
    assert all(ACTION_ID.fullmatch(each["action_id"]) for each in (cancel, yes))


def test_a_command_too_long_for_a_button_gets_none() -> None:
    long = Action("Run", "web-1 " + "x" * 2000)
    assert seen(said("Did you mean", "", long)).buttons == ()
    many = [Action(str(n), f"log {n}") for n in range(30)]
    assert len(seen(said("Which?", "", *many)).buttons) == MOST_BUTTONS


def test_a_notification_says_it_in_plain_words() -> None:
    text = compose(said("**Failed** on `web-1`: `a < b && c`")).text
    assert text == "Failed on web-1: a &lt; b &amp;&amp; c"
    assert compose(said("")).text == "…"
    long = compose(said("&" * 5000)).text
    assert len(long.encode()) <= 3500
    assert set(long.split("&amp;")) == {"", "…"}
