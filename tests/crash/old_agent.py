"""The agents that exist, as a process: one poll at a time, silent at work, each report tried once.

    python -m tests.crash.old_agent PORT TOKEN RUNS SECONDS

A message `run 17` leaves a line 17 in the file RUNS; `rest 17 5` takes 5 seconds after that.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

GIVES_UP_AFTER = 3.0
"""Seconds, for any answer; the Go SDK's."""


class OldAgent:
    def __init__(self, port: int, token: str, runs: Path) -> None:
        self._port = port
        self._head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._runs = runs

    def turn(self) -> bool:
        """Ask for a job and, if there is one, do it and report; whether there was one."""
        status, body = self._call("GET", "/agent/job")
        if status == 401:
            sys.exit("invalid token")
        # Of an answer that was cut off within its head there is no body.
        if status != 200 or not body:
            return False
        job = json.loads(body)
        verb, result = self._work(job["message"])
        self._call("PUT", f"/agent/jobs/{job['id']}/{verb}", json.dumps({"result": result}))
        return True

    def _work(self, message: str) -> tuple[str, str]:
        match message.split():
            case ["run", number]:
                mark(self._runs, number)
            case ["rest", number, seconds]:
                mark(self._runs, number)
                time.sleep(float(seconds))
            case _:
                return "fail", f"unsupported command: {message}"
        return "succeed", f"{message}: done"

    def _call(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=GIVES_UP_AFTER)) as line:
            try:
                line.request(method, path, body, self._head)
                answer = line.getresponse()
                return answer.status, answer.read()
            except (OSError, HTTPException):
                return 0, b""


def mark(runs: Path, number: str) -> None:
    """Say that a job was begun, in one write, so that no two of them mix."""
    file = os.open(runs, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, f"{number}\n".encode())
    finally:
        os.close(file)


def main(port: str, token: str, runs: str, seconds: str) -> None:
    agent = OldAgent(int(port), token, Path(runs))
    while True:
        if not agent.turn():
            time.sleep(float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
