"""Outside development networks a node connects to public hosts only, and to the address that was checked."""

import asyncio
import ipaddress
import json
import shutil
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundwork.node.answers import ServiceError
from roundwork.node.peers.addresses import is_public
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.registrations import find_fault

from .features import require

PUBLIC = ["1.1.1.1", "93.184.216.34", "192.0.1.1", "100.63.255.255", "100.128.0.0", "223.255.255.255"]
PUBLIC += [
    "2606:2800:220:1::1",
    "2a00::1",
    "2001:200::",
    "2001:4860:4860::8888",
    "2620:4f:8000::1",
    "3ffe::1",
]

NOT_PUBLIC = {
    "this network": ["0.0.0.0", "0.1.2.3", "::"],
    "loopback": ["127.0.0.1", "127.255.255.255", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.255.255"],
    "shared": ["100.64.0.0", "100.127.255.255"],
    "link-local": ["169.254.169.254", "169.254.0.1", "fe80::1", "febf::1"],
    "protocol assignments": ["192.0.0.1", "192.0.0.170", "192.0.0.255", "2001::1", "2001:1ff:ffff::"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff::1"],
    "6to4": ["192.88.99.1", "2002:7f00:1::", "2002:c000:204::1", "2002::"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0::"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::5db8:d822", "64:ff9b:1::1", "64:ff9b:1:ffff::a00:1"],
    "benchmarks": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "ORCHID": ["2001:10::1", "2001:20::1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.254", "255.255.255.255", "4000::1", "e000::1", "100::1", "200::1"],
    "site-local": ["fec0::1", "feff::1"],
    "unique local": ["fc00::1", "fdff::1"],
    "segment routing": ["5f00::1"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:93.184.216.34", "::ffff:0:7f00:1"],
    "IPv4-compatible": ["::127.0.0.1", "::5db8:d822"],
    "with a zone": ["fe80::1%eth0", "ff02::1%1"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("kind", NOT_PUBLIC)
def test_an_address_of_another_kind_is_not(kind: str) -> None:
    assert [] == [address for address in NOT_PUBLIC[kind] if is_public(address)]


@given(st.ip_addresses())
def test_what_python_calls_private_or_special_is_not_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Python's own tables differ between its versions; ours are at least as strict as this version's."""
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_loopback:
        assert not is_public(str(address))


async def fetch(url: str, hosts: list[str] | None = None) -> str:
    """What a fetch outside development networks is refused with."""
    fetcher = Fetcher(is_development=False)
    try:
        await fetcher.fetch("GET", url, hosts=hosts, timeout_seconds=20)
    except ServiceError as error:
        return f"{error.kind}: {error}"
    finally:
        await fetcher.close()
    return "fetched"


FORMS = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "localhost", "LOCALHOST."]
FORMS += [
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[::127.0.0.1]",
]
FORMS += [
    "[fe80::1%25lo]",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "[fec0::1]",
    "[ff02::1]",
]


@pytest.mark.parametrize("host", FORMS)
def test_no_form_of_an_address_that_is_not_public_is_connected_to(host: str) -> None:
    answer = asyncio.run(fetch(f"http://{host}:9/"))

    assert answer.startswith("Refused: ") or "is not known" in answer


LITERALS = [form for form in FORMS if form[0] == "[" or (form.count(".") == 3 and form[0] == "1")]


@pytest.mark.parametrize("host", LITERALS)
def test_no_such_address_is_announced(host: str) -> None:
    assert "is a private address" in (find_fault(f"http://{host}:9", is_development=False) or "")


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What `rebinding.py` saw in a network of its own."""
    namespace = ["unshare", "--map-root-user", "--net", "--mount"]
    require(
        "user namespaces with a network",
        shutil.which("unshare") is not None
        and not subprocess.run([*namespace, "true"], capture_output=True).returncode,
    )
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.hostile.rebinding"], capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(answers: dict[str, Any]) -> None:
    """The name server's first answer is public, all later ones are loopback."""
    assert ["public host saw rebind.example", 1] == [answers["rebind"], answers["lookups of rebind.example"]]


def test_a_name_is_checked_again_when_it_is_connected_to_again(answers: dict[str, Any]) -> None:
    assert answers["again"].startswith("Refused: flip.example is at a private address")


@pytest.mark.parametrize("name", ["private", "mixed", "moved", "mapped"])
def test_a_name_of_an_address_that_is_not_public_is_refused(answers: dict[str, Any], name: str) -> None:
    """`mixed` has a public address beside it, `moved` is public and redirects there."""
    assert answers[name].startswith("Refused: ")
    assert "is at a private address" in answers[name]


def test_no_request_reached_loopback(answers: dict[str, Any]) -> None:
    assert [] == answers["requests at loopback"]


def test_tls_asks_for_the_name_and_not_for_the_address(answers: dict[str, Any]) -> None:
    assert answers["tls"].startswith("Unavailable: ")
    assert answers["name in TLS"]
