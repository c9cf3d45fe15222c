"""What a terminal or a log may see: texts of strangers without control characters, and no secrets.

Strangers write names, descriptions, endpoints, errors of other processes, tracebacks and what a task prints.
`plain` is the only way from such a text to a line of a terminal or a log, and `hide` blacks out what this
process keeps secret. `--json` output is not changed: JSON has escapes of its own.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

LINE_CHARACTERS_MAX = 4096
LINES_MAX = 200
CONTINUED = "  | "
"""Begins each further line of a text of several lines, so that none looks like a line of its own."""

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    chr(code) for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
)  # fmt: skip
"""Characters that Unicode calls printable although nothing is seen of them."""

SECRET_CHARACTERS_MIN = 4
"""A shorter text, such as "1" or "on", is no secret: it would be blacked out everywhere."""

PART_CHARACTERS = 8
"""So many characters of a secret in a row are blacked out although others are missing."""

HIDDEN = "[hidden]"
_SECRET_NAMES = "key|token|secret|pass|pwd|auth|sig|credential|session|code|jwt"
_USER = re.compile(r"(://)[^/\s@'\"<>]+@")
_QUERY = re.compile(rf"([?&;](?=[\w.%-]*(?:{_SECRET_NAMES}))[\w.%-]+=)[^&;\s'\"<>#]+", re.IGNORECASE)
"""Strangers choose the texts: each pattern reads every character a bounded number of times."""
_HEADER = re.compile(r"(\bauthorization\W{1,4}(?:[a-z]+\s+)?|\bbearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_TOKEN = re.compile(r"(?=.*\d)[\w.~-]{16,}")
"""A part of a path that is the key of a provider: long, with a digit."""


def plain(text: str) -> str:
    """A text as one line of at most LINE_CHARACTERS_MAX characters, of characters that are seen as they are.

    Control characters, also those of a terminal, line ends, marks that turn the direction of writing and
    characters without width become escapes such as `\\x1b`; every kind of space becomes a space.
    """
    if len(text) > LINE_CHARACTERS_MAX:
        more = len(text) - LINE_CHARACTERS_MAX
        text = f"{text[:LINE_CHARACTERS_MAX]}… ({more} more characters)"
    if text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text)):
        return text
    return "".join(map(_show_character, text))


def plain_lines(text: str) -> str:
    """A text of several lines: each of them plain, all but the first after CONTINUED."""
    lines = text.rstrip().split("\n")
    shown = [plain(line.rstrip("\r")) for line in lines[:LINES_MAX]]
    if len(lines) > LINES_MAX:
        shown.append(f"({len(lines) - LINES_MAX} more lines)")
    return f"\n{CONTINUED}".join(shown)


def _show_character(char: str) -> str:
    if char.isprintable() and char not in _INVISIBLE:
        return char
    if char == "\t" or (char.isspace() and char > "\x85" and char not in "\u2028\u2029"):
        return " "
    return char.encode("unicode_escape").decode()


class Blackout:
    """Secrets by name, and texts without them: each place where one stands shows `[its name]`.

    A secret is found as it is, as JSON, Python, URLs, base64 and hex write it, over several lines, and in
    parts of at least PART_CHARACTERS characters. What a task does on purpose, such as printing it backwards,
    is not found.
    """

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._wholes: dict[str, str] = {}
        self._parts: dict[str, str] = {}
        for name, secret in (secrets or {}).items():
            self.add(name, secret)

    def add(self, name: str, secret: str) -> None:
        """Hide a secret from now on."""
        for form in _write_forms(secret):
            if len(form) >= SECRET_CHARACTERS_MIN:
                self._wholes.setdefault(form, f"[{name}]")
            for part in _cut(form):
                self._parts.setdefault(part, f"[{name}]")
        self._wholes = dict(sorted(self._wholes.items(), key=lambda item: -len(item[0])))

    def add_url(self, url: str) -> None:
        """Hide the user, the password, the values of the query and the long parts of the path of a URL."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return
        user, _, _ = parts.netloc.rpartition("@")
        values = [value for _, value in parse_qsl(parts.query)]
        tokens = [part for part in parts.path.split("/") if _TOKEN.fullmatch(part)]
        for secret in (*user.split(":", 1), *values, *tokens):
            self.add("hidden", secret)
            self.add("hidden", unquote(secret))

    def hide(self, text: str) -> str:
        """The text without secrets. Keys in URLs and headers are hidden also if they were not added."""
        for whole, shown in self._wholes.items():
            text = text.replace(whole, shown)
        if self._parts:
            text = "".join(self._hide_parts(text))
        for pattern, shown in ((_USER, rf"\1{HIDDEN}@"), (_QUERY, rf"\1{HIDDEN}"), (_HEADER, rf"\1{HIDDEN}")):
            text = pattern.sub(shown, text)
        return text

    def _hide_parts(self, text: str) -> Iterator[str]:
        """The text in pieces, each run of parts as one name."""
        written = at = 0
        while at + PART_CHARACTERS <= len(text):
            shown = self._parts.get(text[at : at + PART_CHARACTERS])
            if shown is None:
                at += 1
                continue
            yield text[written:at]
            while text[at : at + PART_CHARACTERS] in self._parts:
                at += 1
            written = at = at + PART_CHARACTERS - 1
            yield shown
        yield text[written:]


SECRETS = Blackout()
"""What this process keeps secret. Its logs, its errors and what it prints for people pass through it."""


def hide(text: str) -> str:
    """The text without the secrets of this process."""
    return SECRETS.hide(text)


def _write_forms(secret: str) -> set[str]:
    """A secret as programs write it; of several lines, also each by itself."""
    raw = secret.encode("utf-8", "surrogatepass")
    forms = {secret, raw.hex(), raw.hex().upper(), repr(raw)[2:-1]}
    for written in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)):
        forms |= {written[1:-1], json.dumps(written[1:-1])[1:-1]}
    forms |= {quote(raw), quote(raw, safe=""), quote_plus(raw)}
    for shift in range(3):
        # The characters at both ends also hold bits of what stands before and behind the secret.
        for encode in (b64encode, urlsafe_b64encode):
            forms.add(encode(bytes(shift) + raw).decode()[(0, 2, 3)[shift] :].rstrip("=")[:-1])
    return forms | _split_lines(forms)


def _split_lines(forms: Iterable[str]) -> set[str]:
    return {line.strip() for form in forms for line in form.splitlines()}


def _cut(form: str) -> Iterator[str]:
    """The parts by which a cut secret is found; common ones, such as those of "https://", are left out."""
    for at in range(len(form) - PART_CHARACTERS + 1):
        part = form[at : at + PART_CHARACTERS]
        if "://" not in part and len({char for char in part if char.isalnum()}) > PART_CHARACTERS // 2:
            yield part
