"""Where nodes say they are: who is believed, for how long, and what never gets in."""

import json
from typing import Any

import msgspec
import pytest
from solders.keypair import Keypair

from roundwork.node.peers import registrations as module
from roundwork.node.peers.payload import sign_payload
from roundwork.node.peers.registrations import (
    AHEAD_MS,
    LIFE_MS,
    REGISTRATION_BYTES_MAX,
    BadRegistration,
    Registrations,
    find_fault,
)
from roundwork.purposes import PAYLOAD, REGISTRATION, Purpose
from roundwork.views import StakeView, TaskView

TASK = str(Keypair.from_seed(bytes([1]) * 32).pubkey())
OTHER = str(Keypair.from_seed(bytes([2]) * 32).pubkey())
NODE, SILENT, STRANGER = (Keypair.from_seed(bytes([n]) * 32) for n in (3, 4, 5))
NOW = 1_800_000_000_000
URL = "https://node.example.org:8443"
SILENT_URL = "http://silent.example.org"


def make_task(stakes: list[StakeView]) -> TaskView:
    fields: dict[str, Any] = dict.fromkeys(TaskView.__struct_fields__, 0)
    return TaskView(**{**fields, "address": TASK, "stakes": stakes})


class Room:
    """A registry with two stakers, and a clock that is set by hand."""

    def __init__(self, is_development: bool = False) -> None:
        self.now = NOW
        self.stakes = [
            StakeView(str(NODE.pubkey()), 5, 0, ""),
            StakeView(str(SILENT.pubkey()), 5, 0, SILENT_URL),
        ]
        self.known = Registrations(lambda: make_task(self.stakes), is_development, lambda: self.now)

    def refuse(self, body: bytes) -> str:
        """Why a registration is not taken; nothing changes."""
        before = self.known.list_nodes()
        with pytest.raises(BadRegistration) as refused:
            self.known.add(body)
        assert before == self.known.list_nodes()
        return str(refused.value)


def sign(
    pair: Keypair = NODE, claimed: Keypair | None = None, purpose: Purpose = REGISTRATION, **data: Any
) -> bytes:
    """A registration; `claimed` is whom it says it is of."""
    data = {"url": URL, "timestamp": NOW, "taskId": TASK, **data}
    node = str((claimed or pair).pubkey())
    return json.dumps(
        {"data": data, "signature": sign_payload(pair, data, purpose), "owner": node, "submitterPubkey": node}
    ).encode()


def test_a_node_is_where_it_has_signed_that_it_is_and_others_where_the_ledger_says() -> None:
    room = Room()

    room.known.add(room.known.sign(NODE, URL))

    assert {str(NODE.pubkey()): URL, str(SILENT.pubkey()): SILENT_URL} == room.known.get_endpoints()


def test_the_list_has_the_shape_that_existing_clients_read_and_can_be_handed_on() -> None:
    room, next_room = Room(), Room()
    room.known.add(sign())

    by_node = {one["submitterPubkey"]: one for one in room.known.list_nodes()}

    mine = by_node[str(NODE.pubkey())]
    assert {"url": URL, "timestamp": NOW, "taskId": TASK} == mine["data"]
    assert str(NODE.pubkey()) == mine["owner"]
    next_room.known.add(msgspec.json.encode(mine))
    assert URL == next_room.known.get_endpoints()[str(NODE.pubkey())]
    from_ledger = by_node[str(SILENT.pubkey())]
    assert ("", SILENT_URL) == (from_ledger["signature"], from_ledger["data"]["url"])
    assert "forged" in next_room.refuse(msgspec.json.encode({**from_ledger, "data": mine["data"]}))


def test_the_newer_registration_counts_and_the_older_one_is_stale() -> None:
    room = Room()
    room.known.add(sign())

    assert "stale" in room.refuse(sign(url="https://old.example.org", timestamp=NOW - 1))
    assert "stale" in room.refuse(sign(url="https://same-moment.example.org"))
    room.known.add(sign())  # the same again is no contradiction
    room.known.add(sign(url="https://new.example.org", timestamp=NOW + 1))

    assert "https://new.example.org" == room.known.get_endpoints()[str(NODE.pubkey())]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a registration"),
        (b"[" * 4000, "not a registration"),
        (b'{"data": 5}', "not a registration"),
        (sign(timestamp="now"), "not a registration"),
        (sign(url=5), "not a registration"),
        (b"x" * (REGISTRATION_BYTES_MAX + 1), f"at most {REGISTRATION_BYTES_MAX} are allowed"),
        (sign(STRANGER), "has no stake"),
        (sign(STRANGER, claimed=NODE), "forged"),
        (sign().replace(b"node.example", b"evil.example"), "forged: the signature is for other data"),
        (sign(taskId=OTHER), f"signed for task {OTHER}"),
        (sign(taskId=None), "not a registration"),
        (sign(purpose=PAYLOAD), "forged"),
        (sign(timestamp=NOW - LIFE_MS - 1), "stale"),
        (sign(timestamp=NOW + AHEAD_MS + 1), "stale"),
        (sign(timestamp=-1), "stale"),
        (sign(url="http://127.0.0.1:80"), "is a private address"),
        (sign(url="ftp://example.org"), "http:// or https://"),
    ],
)
def test_what_is_forged_stale_oversized_or_no_registration_is_refused(body: bytes, reason: str) -> None:
    assert reason in Room().refuse(body)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://localhost:80",
            "http://x.localhost",
            "http://printer.local",
            "http://10.0.0.1",
            "http://[::1]",
        ),
        *("http://192.168.1.5:8080/x", "http://169.254.169.254", "http://[fe80::1]", "http://0.0.0.0"),
        *("http://[::ffff:127.0.0.1]", "http://100.64.0.1", "http://224.0.0.1", "http://node.internal."),
    ],
)
def test_private_addresses_are_for_development_networks(url: str) -> None:
    assert "is a private address" in str(find_fault(url, is_development=False))
    assert find_fault(url, is_development=True) is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "http://", "http://x:99999", "http://[", "http://user@example.org"),
        *("http://example.org?x", "http://example.org#x", "javascript:x", "http://" + "x" * 300),
    ],
)
def test_what_is_no_url_of_a_node_is_refused_everywhere(url: str) -> None:
    assert find_fault(url, is_development=True)
    assert find_fault(url, is_development=False)


def test_who_withdraws_is_forgotten_and_so_is_who_does_not_renew() -> None:
    room = Room()
    room.known.add(sign())
    room.stakes[0] = StakeView(str(NODE.pubkey()), 0, 5, "")

    assert [SILENT_URL] == list(room.known.get_endpoints().values())

    room = Room()
    room.known.add(sign())
    room.now += LIFE_MS + 1
    assert [SILENT_URL] == list(room.known.get_endpoints().values())


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REGISTRATIONS_MAX", 2)
    room = Room()
    pairs = [Keypair() for _ in range(4)]
    room.stakes = [StakeView(str(pair.pubkey()), 5, 0, "") for pair in pairs]

    for pair in pairs:
        room.known.add(sign(pair))
    room.known.add(sign(pairs[0], url="https://moved.example.org", timestamp=NOW + 1))

    assert {str(pair.pubkey()) for pair in pairs[:2]} == room.known.get_endpoints().keys()
    assert "https://moved.example.org" in room.known.get_endpoints().values()
