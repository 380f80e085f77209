"""Ids sort by the moment they were made."""

from core.model import is_id, new_id


def test_ids_of_one_process_sort_as_they_were_made_and_are_all_different() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    assert all(map(is_id, ids))


def test_what_a_person_types_of_an_id_tells_neighbours_apart() -> None:
    assert len({new_id()[-4:] for _ in range(50)}) > 45
