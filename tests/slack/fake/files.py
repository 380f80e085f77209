"""Files come in three steps: a place is asked for, filled, and shown to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.slack.fake.rules import Refused
from tests.slack.fake.world import Shared

if TYPE_CHECKING:
    from tests.slack.fake.slack import Slack


@dataclass
class Upload:
    id: str
    name: str
    length: int
    content: bytes | None = None


class Files:
    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._uploads: dict[str, Upload] = {}

    def begin(self, name: str, length: int) -> dict[str, Any]:
        if length <= 0:
            raise Refused("file_upload_size_restricted")
        id = self._slack.secret("F")
        self._uploads[id] = Upload(id, name, length)
        return {"file_id": id, "upload_url": f"{self._slack.address}/upload/v1/{id}"}

    def fill(self, id: str, content: bytes) -> bool:
        """Whether there was such a place, of that size."""
        upload = self._uploads.get(id)
        if upload is None or upload.length != len(content):
            return False
        upload.content = content
        return True

    def end(self, given: list[dict[str, Any]]) -> list[Shared]:
        """Each file is shown once."""
        files = []
        for each in given:
            upload = self._uploads.get(str(each.get("id")))
            if upload is None or upload.content is None:
                raise Refused("file_not_found")
            files.append(Shared(upload.id, str(each.get("title") or upload.name), upload.content))
        for file in files:
            del self._uploads[file.id]
        return files
