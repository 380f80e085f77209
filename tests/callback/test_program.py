"""The whole way: a program names its address at each door, and the running server calls it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.app.program import Program
from tests.callback.receiver import Receiver, receiving
from tests.core.parts import eventually

SETTINGS = {
    "SKADI_DEMO": "off",
    "SKADI_ADAPTERS__CALLBACK__HTTP": "true",
    "SKADI_ADAPTERS__CALLBACK__ALLOW_HOSTS": "127.0.0.1",
}


async def test_a_program_is_called_back_whichever_door_it_came_through(tmp_path: Path) -> None:
    async with receiving() as receiver:
        with Program(tmp_path, SETTINGS) as program:
            await asyncio.to_thread(follow, program, receiver)

            async def all_told() -> bool:
                return sorted(receiver.told) == ["sent"] * 3 + ["succeeded"] * 3

            await eventually(all_told)
            assert await asyncio.to_thread(program.stop) == 0
    assert receiver.forged == 0
    assert {call.target for call in receiver.calls} == {"/api", "/sys", "/agent"}


def follow(program: Program, receiver: Receiver) -> None:
    """Three jobs from three doors, and an agent that does them."""
    program.start().wait_until_ready()
    program.tell("account", "add", "ada")
    agent = program.ask("agent", "add", "ada", "web-1")
    token = program.ask("token", "add", "account", "ada", "ci")["token"]
    receiver.secret = program.ask("account", "callback-secret", "ada")["secret"]
    with httpx.Client(base_url=f"http://127.0.0.1:{program.port}", timeout=30) as client:

        def ask(method: str, path: str, bearer: str, **fields: Any) -> httpx.Response:
            body = orjson.dumps(fields)
            headers = {"authorization": f"Bearer {bearer}"}
            answer = client.request(method, path, content=body, headers=headers)
            assert answer.is_success, answer.text
            return answer

        machine = agent["token"]
        assert ask("GET", "/agent/job", machine).status_code == 204
        named = {"agent_id": agent["id"], "message": "two", "callback": receiver.url("/sys")}
        ask("POST", "/api/jobs", token, agent="web-1", message="one", callback=receiver.url("/api"))
        ask("POST", "/sys/jobs", token, **named)
        later = {"message": "three", "minutes": 0, "callback": receiver.url("/agent")}
        ask("POST", "/agent/job/delayed", machine, **later)
        for _ in range(3):
            job = ask("GET", "/agent/job", machine).json()
            ask("PUT", f"/agent/jobs/{job['id']}/succeed", machine, result=job["message"])
