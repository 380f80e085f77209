"""The journal: on the disk before a job starts, whole after any crash, one agent's alone."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from agent import JournalError
from agent.journal import INTERRUPTED, REMEMBERED, Entry, Journal
from tests.agent.disk import full_disk, room_left


def crash(journal: Journal) -> None:
    """Nothing is written at an end by force; what counts is what lies on the disk by then."""
    journal.close()


def lines(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def ends(journal: Journal) -> list[tuple[str, str, str]]:
    return [(entry.id, entry.verb, entry.result) for entry in journal.unreported()]


def test_a_job_that_had_started_is_interrupted_by_a_restart(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert ends(journal) == [("one", "fail", INTERRUPTED)]
    assert journal.knows("one")
    journal.close()


def test_an_interrupted_job_is_not_said_to_be_over() -> None:
    """Its supervisor sees it to its end, or to its time limit."""
    assert INTERRUPTED.endswith("this may still be running")


@pytest.mark.parametrize("name", ["journal.new", "lock", "contact"])
def test_nothing_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    """Root may be told to keep its journal in a folder that somebody else can write to."""
    victim, state = tmp_path / "victim", tmp_path / "state"
    victim.write_text("mine")
    os.utime(victim, (1, 1))
    state.mkdir()
    (state / name).symlink_to(victim)
    with suppress(JournalError):
        journal = Journal.open(state)
        journal.note_contact()
        journal.start("one", "deploy")
        journal.close()
    assert (victim.read_text(), victim.stat().st_mtime) == ("mine", 1)


def test_a_file_that_a_crash_has_left_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "journal.new").write_text("half of")
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    journal.close()
    assert [line.get("id") for line in lines(tmp_path)] == [None, "one"]


def test_an_end_that_was_not_reported_is_kept_as_it_was(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    journal.end("one", "succeed", "done\n傻瓜\u2028")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert ends(journal) == [("one", "succeed", "done\n傻瓜\u2028")]
    assert journal.holding() == ["one"]
    journal.close()


def test_a_job_that_had_only_been_got_may_still_start(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.receive("one", "deploy")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert journal.waiting() == [Entry("one", "deploy", "got")]
    assert ends(journal) == []
    journal.close()


def test_what_was_reported_is_remembered_but_no_longer_held(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    journal.end("one", "succeed", "done")
    journal.settle("one")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert (journal.holding(), ends(journal)) == ([], [])
    assert journal.knows("one")
    assert journal.verb_reported("one") == "succeed"
    journal.close()


def test_the_last_thousand_ids_are_remembered(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for number in range(REMEMBERED + 5):
        journal.end(f"job{number}", "succeed", "")
        journal.settle(f"job{number}")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert not journal.knows("job4")
    assert journal.knows("job5")
    journal.close()


def test_its_id_stays_the_same_and_another_folder_has_another(tmp_path: Path) -> None:
    ids = []
    for folder in ("a", "a", "b"):
        journal = Journal.open(tmp_path / folder)
        ids.append(journal.id)
        journal.close()
    assert ids[0] == ids[1] != ids[2]
    assert len(str(ids[0])) == 20


def test_each_step_is_on_the_disk_when_the_call_returns(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    assert lines(tmp_path)[-1]["state"] == "started"
    journal.end("one", "fail", "no")
    assert lines(tmp_path)[-1]["state"] == "ended"
    journal.settle("one")
    assert lines(tmp_path)[-1]["state"] == "reported"
    journal.close()


@pytest.mark.parametrize("length", [1, 20, 70])
def test_a_line_torn_by_a_crash_is_left_out(tmp_path: Path, length: int) -> None:
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    crash(journal)
    file = tmp_path / "journal.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + Entry("two", "x" * 70, "started").line().encode()[:length])
    journal = Journal.open(tmp_path)
    assert journal.holding() == ["one"]
    journal.start("three", "after it")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert journal.holding() == ["one", "three"]
    journal.close()


@pytest.mark.parametrize("damage", ["nonsense", '{"id": 1}', "[]", '{"id": "x"}'])
def test_damage_elsewhere_is_not_passed_over(tmp_path: Path, damage: str) -> None:
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    crash(journal)
    file = tmp_path / "journal.jsonl"
    header, rest = file.read_text().split("\n", 1)
    file.write_text(f"{header}\n{damage}\n{rest}")
    for _ in range(2):  # the refusal leaves the lock free
        with pytest.raises(JournalError, match=r"journal\.jsonl:2: this line is damaged"):
            Journal.open(tmp_path)


def test_two_agents_cannot_share_a_folder(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    with pytest.raises(JournalError, match="another agent is at work in the state folder"):
        Journal.open(tmp_path)
    journal.close()
    Journal.open(tmp_path).close()


def test_a_running_command_does_not_keep_the_lock(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        journal.close()
        Journal.open(tmp_path).close()
        child.communicate(b"\n")


def test_it_is_compacted_at_a_start(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    journal.end("one", "succeed", "x" * 10000)
    journal.settle("one")
    journal.start("two", "deploy")
    crash(journal)
    Journal.open(tmp_path).close()
    assert (tmp_path / "journal.jsonl").stat().st_size < 1000
    assert [(line["id"], line["state"]) for line in lines(tmp_path)[1:]] == [
        ("one", "reported"),
        ("two", "ended"),
    ]


def test_it_is_compacted_when_it_has_grown(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.start("kept", "deploy")
    for number in range(12):
        journal.end(f"job{number}", "succeed", "x" * (1 << 20))
        journal.settle(f"job{number}")
    assert (tmp_path / "journal.jsonl").stat().st_size < 6 << 20
    journal.start("last", "deploy")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert set(journal.holding()) == {"kept", "last"}
    journal.close()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "state")
    assert os.stat(tmp_path / "state").st_mode & 0o777 == 0o700
    assert os.stat(tmp_path / "state" / "journal.jsonl").st_mode & 0o777 == 0o600
    journal.close()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"state folder .*file/state cannot be used"):
        Journal.open(tmp_path / "file" / "state")


def test_a_full_disk_starts_nothing_and_keeps_the_result(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    with full_disk(tmp_path / "journal.jsonl"):
        with pytest.raises(JournalError, match="cannot be written: No space left"):
            journal.start("one", "deploy")
        with pytest.raises(JournalError):
            journal.end("two", "succeed", "the result")
    assert not journal.knows("one")
    assert ends(journal) == [("two", "succeed", "the result")]
    journal.start("three", "deploy")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert journal.holding() == ["three"]
    journal.close()


def test_half_a_line_is_taken_back(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.start("one", "deploy")
    file = tmp_path / "journal.jsonl"
    with room_left(file, 10), pytest.raises(JournalError, match="cannot be written: File too"):
        journal.start("two", "deploy")
    journal.start("three", "deploy")
    crash(journal)
    journal = Journal.open(tmp_path)
    assert journal.holding() == ["one", "three"]
    journal.close()


def test_a_journal_without_a_folder_has_no_id() -> None:
    journal = Journal()
    journal.start("one", "deploy")
    journal.end("one", "succeed", "done")
    assert (journal.id, ends(journal)) == (None, [("one", "succeed", "done")])
    journal.settle("one")
    assert (journal.holding(), journal.knows("one")) == ([], True)
