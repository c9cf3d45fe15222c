"""Each code of JSON-RPC has one class and one file."""

import re
from pathlib import Path

from roundwork.errors import PoolFull
from roundwork.ledger.rpc import errors
from roundwork.ledger.rpc.errors import RpcError, TooManyCalls, describe_cause

ROOT = Path(__file__).parents[3]
FILE = Path(errors.__file__)


def test_each_code_has_one_class_and_a_line_in_the_documentation() -> None:
    codes = [kind.code for kind in RpcError.__subclasses__()]

    assert len(codes) == len(set(codes))
    text = (ROOT / "docs" / "RPC.md").read_text()
    assert [] == [code for code in codes if str(code) not in text]


def test_no_other_file_writes_a_code() -> None:
    files = (ROOT / "src" / "roundwork").rglob("*.py")

    found = [
        path.name
        for path in files
        if re.search(r"-32[07]\d\d\b|-326\d\d\b", path.read_text()) and path != FILE
    ]

    assert [] == found


def test_an_error_of_ours_travels_with_its_name_and_its_text() -> None:
    assert {"roundwork": {"name": "PoolFull", "text": "send later"}} == describe_cause(PoolFull("send later"))


def test_too_many_calls_have_the_code_of_a_ledger_that_has_too_much_to_do() -> None:
    assert -32005 == TooManyCalls("1.2.3.4", 5).code
