"""What docs/mail.md tells people to paste does what it says."""

import asyncio
import re
import subprocess
from pathlib import Path

from tests.mail.office import Office

DOCS = (Path(__file__).parents[2] / "docs" / "mail.md").read_text()


async def test_the_mail_that_is_pasted_again_is_another_command(office: Office) -> None:
    printed = re.search(r"^\$ (printf .*?) \|\n +curl ", DOCS, re.MULTILINE)
    assert printed
    for _ in range(2):
        made = await asyncio.to_thread(subprocess.check_output, ["sh", "-c", printed[1]])
        assert await office.post(made.replace(b"\n", b"\r\n")) == (250, "2.0.0 Accepted")
    first, second = office.inbox.messages
    assert (first.text, second.text) == ("demo hello", "demo hello")
    assert first.key != second.key
