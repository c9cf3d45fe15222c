"""Outside bytes: whatever they are, the decoders answer with a value that can be used, or a named error."""

import json
import math
from contextlib import suppress
from typing import Annotated, Any

import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roundwork.errors import Malformed, WrongShape
from roundwork.wire import (
    BASE58_CHARACTERS_MAX,
    CONTAINERS_MAX,
    DEPTH_MAX,
    base58_decode,
    base58_encode,
    convert,
    decode_json,
    decode_msgpack,
    decode_text,
    decode_toml,
    decode_yaml,
    format_count,
    make_msgpack_decoder,
    split_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)
PIECES = [
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b":",
    b",",
    b"\\",
    b"\\u",
    b"d800",
    b"\xff",
    b"\xed\xa0\x80",
    b"1",
    b"e9",
]
PIECES += [b"-", b"null", b"true", b" ", b"a", b"\0", b"\xc3", b"\xa9", b"9" * 30, b"NaN", b"[" * 200]
NOISE = st.lists(st.sampled_from(PIECES)).map(b"".join) | st.binary()


class Frame(msgspec.Struct):
    id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    text: str | None = None
    raw: msgspec.Raw = msgspec.Raw(b"null")


@given(JSON)
def test_all_json_is_read(value: Any) -> None:
    assert value == decode_json(json.dumps(value))
    assert value == decode_json(json.dumps(value, ensure_ascii=False).encode())


@given(NOISE, st.sampled_from([Any, Frame, list[Frame], dict[str, int], list[msgspec.Raw], str, bytes, int]))
def test_whatever_json_is_not_is_one_named_error(raw: bytes, kind: Any) -> None:
    try:
        value = decode_json(raw, kind)
    except Malformed:
        return
    msgspec.json.encode(value)
    repr(value).encode()


@given(JSON, st.data())
def test_json_that_is_cut_or_changed_is_one_named_error_or_usable(value: Any, data: st.DataObject) -> None:
    raw = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(at, len(raw))) :]
    with suppress(Malformed):
        msgspec.json.encode(decode_json(bytes(raw)))


@given(st.integers(1, 3 * DEPTH_MAX), st.lists(st.sampled_from(["[", '{"]}[{":'])), JSON)
def test_depth_is_bounded_and_counted_without_what_stands_in_texts(
    depth: int, kinds: list[str], inner: str
) -> None:
    openings = [kinds[at % len(kinds)] if kinds else "[" for at in range(depth)]
    closings = ["]" if opening == "[" else "}" for opening in reversed(openings)]
    text = "".join(openings) + json.dumps("[{" * 300 + '\\"[') + "".join(closings)
    try:
        decode_json(text)
    except Malformed:
        assert depth > DEPTH_MAX
    else:
        assert depth <= DEPTH_MAX


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1",
        b"nul",
        b"NaN",
        b"1 2",
        b'"\xff"',
        b'{"\xff": 1}',
        b'{"skipped": "\xff"}',
        b'{"raw": "\xff"}',
        b'{"text": "\xed\xa0\x80"}',
        rb'"\ud800"',
        rb'{"text": "\udc00"}',
        rb'{"skipped": "\ud800x"}',
        b"[" * 129 + b"]" * 129,
        b'{"skipped":' * 500 + b"1" + b"}" * 500,
        b'{"raw":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"]" * 200 + b"[" * 200,
        b"1e999",
        b"9" * 5000,
        b"\xef\xbb\xbf{}",
        "\ud800",
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_what_cannot_be_decoded_is_malformed(raw: bytes | str) -> None:
    with pytest.raises(Malformed):
        decode_json(raw, Frame)


@pytest.mark.parametrize(
    "raw", [b"[]", b"null", b'{"id": "1"}', b'{"id": -1}', b'{"id": 9223372036854775808}', b'{"id": 1.5}']
)
def test_another_shape_or_range_says_so(raw: bytes) -> None:
    with pytest.raises(WrongShape):
        decode_json(raw, Frame)
    with pytest.raises(WrongShape):
        convert(decode_json(raw), Frame)


def test_json_is_bounded_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roundwork.wire.JSON_BYTES_MAX", 10)

    assert "ccccccc" == decode_json(b'"ccccccc"')
    with pytest.raises(Malformed, match="11 bytes are too many; 10 are allowed"):
        decode_json(b'"ccccccccc"')


def test_json_is_bounded_by_its_arrays_and_objects() -> None:
    many = b"[" + b"[]," * (CONTAINERS_MAX - 2) + b"[]]"

    assert CONTAINERS_MAX - 1 == len(decode_json(many))
    with pytest.raises(Malformed, match="1000001 arrays and objects are too many"):
        decode_json(b"[" + many[1:-1] + b",{}]")


def test_of_a_name_given_twice_the_last_value_counts() -> None:
    assert {"a": 2} == decode_json(b'{"a": 1, "a": 2}')


@given(st.binary())
def test_messagepack_is_read_or_malformed(raw: bytes) -> None:
    for kind in (Any, list[int], Frame):
        with suppress(Malformed):
            decode_msgpack(raw, kind)


@given(st.binary())
@example(b"\xd4\x00\x00")  # an extension, whose repr has its address
def test_a_decoder_of_many_values_is_the_same(raw: bytes) -> None:
    for kind in (Any, list[int], Frame):
        outcomes: list[Any] = []
        for decode in (make_msgpack_decoder(kind), lambda raw, kind=kind: decode_msgpack(raw, kind)):
            try:
                outcomes.append(msgspec.msgpack.encode(decode(raw)))
            except Malformed as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]


def test_a_number_in_the_place_of_messagepack_is_malformed() -> None:
    """As a damaged row of a file may have it."""
    for value in (5, None, "text"):
        with pytest.raises(Malformed, match="not MessagePack"):
            make_msgpack_decoder(Any)(value)  # type: ignore[arg-type]


def test_deep_or_foreign_messagepack_is_malformed() -> None:
    for raw in (b"\x91" * 100_000, b"\xa1\xff", b"\xc1", b"\xdb\xff\xff\xff\xff"):
        with pytest.raises(Malformed):
            decode_msgpack(raw, Any)


YAML = [
    b"!!int ''",
    b"!!bool x",
    b"!!timestamp x",
    b"!!float ''",
    b"!!null x",
    b"a: *b",
    b"{{a: 1}: 2}",
    b"2001-99-99",
]
YAML += [
    b'"\\ud800"',
    b"[" * 2000,
    b"a: \xff",
    b"- " * 5000,
    b"\0",
    b"!!python/object:os.system x",
    b"0b",
    b"&a [*a]",
]
YAML += [
    b"? [a]\n: b",
    b"!!binary \xc3\xa9",
    b"!!set {[a]}",
    b"!!omap [1]",
    b"!!pairs [1]",
    b"=",
    b"<<: 1",
    b"9" * 5000,
]


@settings(deadline=None)  # PyYAML takes a second for a thousand brackets
@given(st.sampled_from(YAML) | st.lists(st.sampled_from(YAML + PIECES)).map(b" ".join) | st.binary())
def test_yaml_is_read_or_malformed(raw: bytes) -> None:
    with suppress(Malformed):
        decode_yaml(raw, yaml.SafeLoader, 100_000)


@given(
    st.sampled_from([b"a = " + b"[" * 5000, b"a = \xff", b'a = "\\ud800"', b"a = 1979-99-99", b"="])
    | st.binary()
)
def test_toml_is_read_or_malformed(raw: bytes) -> None:
    with suppress(Malformed):
        decode_toml(raw, 100_000)


@pytest.mark.parametrize(
    "raw",
    [b'"\\ud800"', b'a: [{b: "x\\udc00"}]', b'"\\ud800": 1', b'!!set {"\\ud800"}'],
)
def test_yaml_that_makes_half_of_a_surrogate_pair_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed, match="surrogates not allowed"):
        decode_yaml(raw, yaml.SafeLoader, 1000)


def test_yaml_of_anchors_takes_no_longer_than_its_bytes() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 200)]

    assert 200 == len(decode_yaml("\n".join(lines).encode(), yaml.SafeLoader, 100_000))


def test_toml_and_yaml_are_bounded_by_size() -> None:
    assert {"a": 1} == decode_toml(b"a = 1", 5)
    assert {"a": 1} == decode_yaml(b"a: 1", yaml.SafeLoader, 4)
    with pytest.raises(Malformed, match="5 bytes are too many"):
        decode_toml(b"a = 1", 4)
    with pytest.raises(Malformed, match="4 bytes are too many"):
        decode_yaml(b"a: 1", yaml.SafeLoader, 3)


@given(st.binary())
def test_text_is_utf8(raw: bytes) -> None:
    with suppress(Malformed):
        assert raw == decode_text(raw).encode()


@given(st.text())
def test_base58_of_any_text_is_bytes_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert text == base58_encode(base58_decode(text))


def test_base58_is_bounded_because_its_time_is_quadratic() -> None:
    base58_decode("z" * BASE58_CHARACTERS_MAX)
    with pytest.raises(ValueError, match="too many"):
        base58_decode("z" * (BASE58_CHARACTERS_MAX + 1))


def test_numbers_of_any_size_that_are_read_can_be_written() -> None:
    numbers = [0, -(2**70), 10**4000, 1.5, 1e308, 2**64]

    assert numbers == decode_json(msgspec.json.encode(numbers))
    assert math.isfinite(decode_json(b"1e308"))


@pytest.mark.parametrize("raw", [b'[1, {"a": [2]}, "]"]', b"[]", b" [ 1 ] ", b"[" + b"[]," * 500 + b"1]"])
def test_the_values_of_an_array_are_split_without_being_decoded(raw: bytes) -> None:
    assert json.loads(raw) == [decode_json(part) for part in split_json(raw)]


@pytest.mark.parametrize("raw", [b"[" * 10**6, b"[" * 10**6 + b"]" * 10**6, b"[1", b"[\xff]", b"1]", b""])
def test_an_array_that_is_none_or_too_deep_is_malformed_or_its_values_are(raw: bytes) -> None:
    with pytest.raises(Malformed):
        [decode_json(part) for part in split_json(raw)]


@pytest.mark.parametrize(("count", "shown"), [(0, "0 nodes"), (1, "1 node"), (1200, "1,200 nodes")])
def test_a_count_is_followed_by_its_noun_in_the_right_number(count: int, shown: str) -> None:
    assert shown == format_count(count, "node")
