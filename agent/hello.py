"""What an agent says of itself when it meets the server: who it is, and what it can run."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from .client import VERSION
from .job import clean

MOST, LONGEST_NAME, LONGEST_HELP, MOST_PARAMS = 200, 100, 200, 20
LONGEST_HOST = 255


@dataclass(frozen=True)
class Offer:
    """One thing that can be run: the words it begins with, and the names of those that follow."""

    name: str
    help: str = ""
    params: tuple[str, ...] = ()


def hello(offers: Iterable[Offer], shell: bool = False) -> dict[str, object]:
    """`shell`: the agent runs whatever it is sent, beside the offers."""
    commands = [bounded(offer) for offer in offers if 0 < len(offer.name) <= LONGEST_NAME]
    said: dict[str, object] = {
        "version": VERSION,
        "hostname": host_name(),
        "commands": [asdict(offer) for offer in commands[:MOST]],
    }
    return {**said, "shell": True} if shell else said


def bounded(offer: Offer) -> Offer:
    """A name that is cut would be a wrong one; a help that is cut is still a help."""
    params = offer.params[:MOST_PARAMS]
    return Offer(
        clean(offer.name),
        clean(offer.help)[:LONGEST_HELP],
        tuple(clean(param)[:LONGEST_NAME] for param in params),
    )


def host_name() -> str:
    return clean(socket.gethostname())[:LONGEST_HOST]
