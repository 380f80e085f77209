"""docs/callbacks.md tells of every setting, and its example is genuine."""

import json
import re
from dataclasses import fields
from pathlib import Path

from adapters.callback import Options
from adapters.callback.signature import sign

PAGE = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text()


def test_every_setting_is_described() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert described == {field.name for field in fields(Options)} | {"enabled"}


def test_the_example_is_signed_with_the_secret_that_is_shown() -> None:
    [example] = re.findall(r"```http\n(.*?)\n```", PAGE, re.DOTALL)
    head, _, folded = example.partition("\n\n")
    body = folded.replace("\n ", "")
    given = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    [secret] = re.findall(r"^  (whsec_\S+)$", PAGE, re.MULTILINE)
    signature = sign(secret, given["Webhook-Id"], int(given["Webhook-Timestamp"]), body)
    assert given["Webhook-Signature"] == signature
    assert int(given["Content-Length"]) == len(body.encode())
    assert json.loads(body)["event_id"] == given["Webhook-Id"]
