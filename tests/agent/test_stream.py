"""A job's output in chunks: whole characters, offsets that fit, nothing sent twice unasked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.stream import BACKLOG, CHUNK, KEPT, Stream


def take(stream: Stream) -> tuple[int, str]:
    """The next chunk, taken by a server that has all before it."""
    offset, text = stream.chunk()
    assert stream.settle(offset + len(text.encode()))
    return offset, text


def test_chunks_follow_each_other_without_a_gap() -> None:
    stream = Stream()
    stream.add("é\n".encode())
    assert take(stream) == (0, "é\n")
    stream.add(b"on")
    assert take(stream) == (3, "on")
    assert not stream.waiting


@given(st.text(max_size=300), st.lists(st.integers(1, 7), min_size=1))
def test_however_text_is_torn_it_comes_together_again(text: str, sizes: list[int]) -> None:
    stream, data, said = Stream(), text.replace("\0", "").encode(), ""
    wanted = data.decode()
    while data:
        for size in sizes:
            stream.add(data[:size])
            data = data[size:]
            if stream.waiting:
                offset, chunk = take(stream)
                assert offset == len(said.encode())
                said += chunk
    assert said == wanted


def test_half_a_character_is_held_back() -> None:
    stream = Stream()
    stream.add("€".encode()[:2])
    assert not stream.waiting
    stream.add("€".encode()[2:])
    assert take(stream) == (0, "€")


def test_broken_text_and_nuls_are_replaced() -> None:
    stream = Stream()
    stream.add(b"a\xff\0b")
    assert take(stream) == (0, "a\ufffd\ufffdb")


def test_a_chunk_is_bounded_and_ends_with_a_whole_character() -> None:
    stream = Stream()
    stream.add(b"x" + "€".encode() * (CHUNK // 3 + 10))
    offset, text = take(stream)
    assert CHUNK - 3 < len(text.encode()) <= CHUNK
    assert take(stream)[0] == offset + len(text.encode())


def test_a_chunk_that_is_not_settled_comes_again_as_it_was() -> None:
    stream = Stream()
    stream.add(b"one ")
    first = stream.chunk()
    stream.add(b"two")
    assert stream.chunk() == first
    assert stream.settle(4)
    assert stream.chunk() == (4, "two")


def test_a_server_that_has_less_is_sent_it_again() -> None:
    stream = Stream()
    stream.add(b"abcdef")
    take(stream)
    stream.add(b"gh")
    stream.chunk()
    assert stream.settle(2)
    assert take(stream) == (2, "cdefgh")


def test_an_end_within_a_character_goes_back_to_its_beginning() -> None:
    stream = Stream()
    stream.add("a€b".encode())
    stream.chunk()
    assert stream.settle(2)
    assert stream.chunk() == (1, "€b")


@pytest.mark.parametrize("have", [7, 10_000])
def test_a_server_that_has_more_than_there_was_is_not_sent_more(have: int) -> None:
    stream = Stream()
    stream.add(b"abcdef")
    stream.chunk()
    assert not stream.settle(have)


def test_a_server_that_lost_what_is_no_longer_kept_is_not_sent_more() -> None:
    stream = Stream()
    for _ in range(2 * KEPT // CHUNK):
        stream.add(b"x" * CHUNK)
        take(stream)
    assert not stream.settle(0)
    assert stream.settle(2 * KEPT - CHUNK)


def test_of_a_flood_the_newest_is_shown_and_how_much_is_missing() -> None:
    stream = Stream()
    stream.add(b"begun\n")
    said = take(stream)[1]
    stream.add(b"".join(b"%07d\n" % n for n in range(100_000)))
    stream.add(b"the end\n")
    while stream.waiting:
        offset, text = take(stream)
        assert offset == len(said.encode())
        said += text
    lost = int(said.partition("[... ")[2].split()[0])
    assert said.startswith(f"begun\n\n[... {lost} bytes left out ...]\n")
    assert said.endswith("0099999\nthe end\n")
    assert lost == 800_008 - BACKLOG
