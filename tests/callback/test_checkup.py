"""What `python app.py check` says of callbacks, before a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.callback import Options, check, read_subject
from core.errors import SettingsError

HERE = Path("nowhere")


def test_addresses_that_may_be_called_are_named() -> None:
    [finding] = check("callback", Options(allow_hosts=("10.1.0.0/16",)), HERE)
    assert finding.level == "ok"
    assert "10.1.0.0/16" in finding.message


def test_calls_in_the_clear_are_pointed_out() -> None:
    levels = [finding.level for finding in check("callback", Options(http=True), HERE)]
    assert levels == ["ok", "warn"]


@pytest.mark.parametrize(
    "options", [Options(allow_hosts=("10.1.0.0/99",)), Options(ca="/no/such/file")]
)
def test_what_stops_the_start_is_found_before_it(options: Options) -> None:
    with pytest.raises(SettingsError, match=r"\[adapters.callback\]"):
        list(check("callback", options, HERE))


def test_nobody_writes_from_there() -> None:
    assert read_subject("ada@corp.example") is None
