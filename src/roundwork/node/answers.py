"""What a task gets from its node, and what strangers get from a task, when it is not a plain value."""

from typing import Literal

import msgspec


class ServiceError(Exception):
    """What a service tells the task; `kind` is the SDK's exception that it becomes there."""

    def __init__(self, kind: Literal["Unavailable", "Refused", "InvalidSubmission"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


WEB_SECONDS = 30.0
"""How long a task may take to answer a web request."""


class WebAnswer(msgspec.Struct, frozen=True):
    """What the task's routes answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
