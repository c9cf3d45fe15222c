"""The process that verifies signatures: frames of claims come in on stdin, verdicts go out on stdout.

A frame is its length in four bytes and its claims in msgpack. The answer has one byte for each claim: 1 if
all its signatures verify. Before all answers, one byte says that the process is ready.
"""

import signal
import sys
from typing import BinaryIO

import msgspec

from ..protocol.transaction import verify

Claim = tuple[tuple[bytes, ...], tuple[bytes, ...], bytes]
"""The signatures of a transaction, the keys of its signers, its message."""

READY = b"\x01"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Claim])


def encode_frame(claims: list[Claim]) -> bytes:
    """The bytes that carry claims to a worker."""
    body = _encoder.encode(claims)
    return len(body).to_bytes(4, "little") + body


def work(frames: BinaryIO, verdicts: BinaryIO) -> None:
    """Answer frames until the input ends, or ends within a frame."""
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
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            signal_number, signal.SIG_IGN
        )  # terminals and systemd signal all processes; the ledger ends this one
    work(sys.stdin.buffer, sys.stdout.buffer)
