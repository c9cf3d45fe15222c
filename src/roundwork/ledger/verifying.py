"""The process that verifies signatures: frames of claims come in on stdin, verdicts go out on stdout.

A frame is its length in four bytes and its claims in msgpack; the answer has one byte a claim, 1 if all its
signatures verify. The first byte of all says that the process is ready.
"""

import signal
import sys
from typing import BinaryIO

import msgspec

from ..protocol.transaction import verify

Claim = tuple[tuple[bytes, ...], tuple[bytes, ...], bytes]
"""Of a transaction: its signatures, the keys of those who sign, the message."""

READY = b"\x01"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Claim])


def encode_frame(claims: list[Claim]) -> bytes:
    """What a worker is sent."""
    body = _encoder.encode(claims)
    return len(body).to_bytes(4, "little") + body


def work(frames: BinaryIO, verdicts: BinaryIO) -> None:
    """Answer frames until no whole one follows."""
    _say(verdicts, READY)
    while len(header := frames.read(4)) == 4:
        size = int.from_bytes(header, "little")
        body = frames.read(size)
        if len(body) < size:
            return
        _say(verdicts, bytes([verify(*claim) for claim in _decoder.decode(body)]))


def _say(verdicts: BinaryIO, answer: bytes) -> None:
    verdicts.write(answer)
    verdicts.flush()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # terminals and systemd tell all at once; the ledger ends us
    work(sys.stdin.buffer, sys.stdout.buffer)
