"""config-task.yml: every published field, and ours under `roundwork:`, each with its rule in one table."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from .errors import BadConfig
from .protocol.params import KOII, RULE_SETS

CONFIG_BYTES_MAX = 256 * 1024
NETWORKS = ("DEVELOPMENT", "ARWEAVE", "IPFS")
TASK_TYPES = ("KOII", "KPL")
ENVIRONMENTS = ("TEST", "PRODUCTION")
REQUIREMENT_TYPES = (
    *("GLOBAL_VARIABLE", "TASK_VARIABLE", "CPU", "RAM", "STORAGE"),
    *("NETWORK", "ARCHITECTURE", "OS", "ADDON"),
)
TAGS = (
    *("Data Gathering", "Hosting", "Storage", "Bandwidth", "Social Posting"),
    *("Witness", "Web Crawling", "Database", "AI", "DeFi"),
)
OLDER_FIELDS = frozenset(("secret_web3_storage_key", "task_audit_program_id", "human_readable_name"))
"""Fields of older files that mean nothing any more."""

MIB = 1024 * 1024
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|[KMGT]i?B)", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Parse = Callable[[Any], Any]
"""A value as it is used. Raises ValueError that says what is allowed: "must be …"."""


class Field(NamedTuple):
    """One field: how it is read, and what it is if the file does not have it (... = it must)."""

    parse: Parse
    default: Any = ...


def read_config(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The fields of a config-task.yml, `roundwork` among them, and warnings about ones nobody knows.

    Raises BadConfig that names the file, the field, the value and what is allowed.
    """
    raw = _load(path)
    warnings = _warn_of_unknown(path, raw, [*FIELDS, "roundwork", *OLDER_FIELDS])
    ours = raw.get("roundwork") or {}
    if not isinstance(ours, dict):
        raise BadConfig(f"{path}: roundwork: {ours!r} must be fields: {', '.join(OUR_FIELDS)}")
    unknown = _warn_of_unknown(path, ours, list(OUR_FIELDS))
    if unknown:
        # A field of ours that is misspelt would silently permit, or forbid, something.
        raise BadConfig(unknown[0])
    config = _parse_fields(path, "", FIELDS, raw)
    config["roundwork"] = _parse_fields(path, "roundwork.", OUR_FIELDS, ours)
    _check_together(path, config)
    return config, warnings


def _load(path: Path) -> dict[Any, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > CONFIG_BYTES_MAX:
        raise BadConfig(f"{path} has {len(text)} bytes; a config-task.yml has at most {CONFIG_BYTES_MAX}")
    try:
        raw = yaml.load(text, _Loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadConfig(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise BadConfig(f"{path} must be fields, `task_name: …` and so on")
    return raw


class _Loader(yaml.SafeLoader):
    """Numbers with a point stay exact, and no part may stand for another (a few lines would be gigabytes)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)


def _construct_decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal | float:
    text = loader.construct_scalar(node)
    try:
        return Decimal(text.replace("_", ""))
    except ArithmeticError:
        return loader.construct_yaml_float(node)


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_decimal)


def _warn_of_unknown(path: Path, raw: Mapping[Any, Any], known: list[str]) -> list[str]:
    warnings = []
    for name in raw:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            warnings.append(f"{path}: {name}: no such field{hint}")
    return warnings


def _parse_fields(
    path: Path, prefix: str, fields: Mapping[str, Field], raw: Mapping[str, Any]
) -> dict[str, Any]:
    parsed = {}
    for name, field in fields.items():
        value = raw.get(name)
        # Templates leave fields that do not apply as empty text.
        if value is None or value == "":
            if field.default is ...:
                raise BadConfig(f"{path}: {prefix}{name} is missing: {_describe(field)}")
            parsed[name] = field.default
            continue
        try:
            parsed[name] = field.parse(value)
        except ValueError as error:
            raise BadConfig(f"{path}: {prefix}{name}: {value!r} {error}") from error
    return parsed


def _describe(field: Field) -> str:
    """What a field must be, in the words of its own refusal."""
    try:
        field.parse(object())
    except ValueError as error:
        return f"it {error}"
    return "it must be given"


def _check_together(path: Path, config: dict[str, Any]) -> None:
    """What no field can be asked alone."""
    windows = config["submission_window"] + config["audit_window"]
    if config["round_time"] < windows:
        raise BadConfig(
            f"{path}: round_time: {config['round_time']} must be at least {windows} slots,"
            " submission_window and audit_window together"
        )
    if config["bounty_amount_per_round"] > config["total_bounty_amount"]:
        raise BadConfig(
            f"{path}: bounty_amount_per_round: {config['bounty_amount_per_round'] / KOII:g} must be at most"
            f" total_bounty_amount, {config['total_bounty_amount'] / KOII:g}"
        )
    if config["task_type"] == "KPL" and not config["token_type"]:
        raise BadConfig(f"{path}: token_type is missing: it must be the token's mint for task_type KPL")
    if not config["description"] and not config["markdownDescriptionPath"]:
        raise BadConfig(f"{path}: description is missing: it must be given, or markdownDescriptionPath")


def parse_size(value: Any) -> int:
    """Bytes of a size, "512 MB" or an integer. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a size, "512 MB" or "2 GB"')
    return int(Decimal(match[1]) * _UNITS[match[2].lower().replace("i", "")])


def _text(bytes_max: int, allowed: str = "text") -> Parse:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value.encode()) <= bytes_max:
            raise ValueError(f"must be {allowed} of 1 to {bytes_max} bytes")
        return value

    return parse


def _integer(least: int, most: int = 2**63 - 1, unit: str = "") -> Parse:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            bound = f"of at least {least}" if most == 2**63 - 1 else f"from {least} to {most}"
            raise ValueError(f"must be an integer {bound}{unit}")
        return value

    return parse


def _money(least: Decimal, allowed: str) -> Parse:
    """KOII in the file, roe in memory, exactly."""

    def parse(value: Any) -> int:
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        roe = Decimal(value) * KOII if is_number else None
        if roe is None or roe != roe.to_integral_value() or value < least or roe >= 2**63:
            raise ValueError(f"must be a number of KOII, {allowed}, with at most 9 decimals")
        return int(roe)

    return parse


def _number(least: str, most: str, unit: str) -> Parse:
    def parse(value: Any) -> Decimal:
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        if not is_number or not Decimal(least) <= value <= Decimal(most):
            raise ValueError(f"must be a number from {least} to {most} {unit}")
        return Decimal(value)

    return parse


def _choice(*allowed: str) -> Parse:
    def parse(value: Any) -> str:
        if value not in allowed or not isinstance(value, str):
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return parse


def _url(value: Any) -> str:
    if not isinstance(value, str) or urlsplit(value).scheme not in ("http", "https") or " " in value:
        raise ValueError("must be a URL, https://…")
    return value


def _list_of(parse: Parse, what: str) -> Parse:
    def parse_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list of {what}")
        return tuple(parse(item) for item in value)

    return parse_list


def _requirement(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or value.get("type") not in REQUIREMENT_TYPES:
        raise ValueError(f"must have entries with a type among {', '.join(REQUIREMENT_TYPES)}")
    requirement = {name: str(value.get(name) or "") for name in ("type", "value", "description")}
    kind = requirement["type"]
    if kind.endswith("_VARIABLE") and not _NAME.fullmatch(requirement["value"]):
        raise ValueError(f"must have, for {kind}, a variable's name as value: letters, digits, _")
    if kind in ("RAM", "STORAGE"):
        try:
            parse_size(requirement["value"])
        except ValueError as error:
            raise ValueError(f"has a value for {kind} that {error}") from error
    return requirement


def _host(value: Any) -> str:
    pattern = r"\$[A-Za-z_]\w*|(\*\.)?[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?"
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValueError("must have hosts: example.org, *.example.org, example.org:8080 or $param")
    return value


def _variable(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("must have names of letters, digits and _")
    return value


def _params(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be fields, `name: value`")
    return {name: _to_json(item) for name, item in value.items()}


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _to_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"must have values that JSON has: text, numbers, lists, fields; not {value!r}")


def _limits(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or not value.keys() <= LIMITS.keys():
        raise ValueError(f"must have fields among {', '.join(LIMITS)}")
    limits = {}
    for name, amount in value.items():
        key, parse, least, most = LIMITS[name]
        try:
            number = parse(amount)
        except ValueError as error:
            raise ValueError(f"has {name} {amount!r}, which {error}") from error
        if not least <= number <= most:
            raise ValueError(f"has {name} {amount!r}, which must lie between {least} and {most}")
        limits[key] = number
    return limits


def _demo(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != {"command", "params"}:
        raise ValueError("must have the fields command and params")
    command = _list_of(_text(1000), "words")(value["command"])
    params = _params(value["params"])
    if not command or not all(isinstance(item, str) for item in params.values()):
        raise ValueError("must have a command of one word or more, and params that are text")
    return {"command": command, "params": params}


_count = _integer(1)
_slots = _integer(1, unit=" slots")
_positive = _money(Decimal("1e-9"), "more than 0")

LIMITS: dict[str, tuple[str, Parse, int, int]] = {
    "memory": ("memory_bytes", parse_size, 64 * MIB, 2**40),
    "disk": ("disk_bytes", parse_size, MIB, 2**44),
    "processes": ("processes", _count, 1, 256),
    "open_files": ("open_files", _count, 16, 65_536),
    "cpu_percent": ("cpu_percent", _count, 1, 100),
}
"""Fields of roundwork.limits: what each is called in node.sandbox.Limits, how it is read, its bounds."""

FIELDS: dict[str, Field] = {
    "task_name": Field(_text(24)),
    "author": Field(_text(200), ""),
    "description": Field(_text(100_000), ""),
    "markdownDescriptionPath": Field(_text(1000, "a path"), ""),
    "repositoryUrl": Field(_url),
    "imageUrl": Field(_text(2000), ""),
    "infoUrl": Field(_text(2000), ""),
    "task_executable_network": Field(_choice(*NETWORKS), "DEVELOPMENT"),
    "task_audit_program": Field(_text(1000, "a path"), ""),
    "round_time": Field(_slots),
    "audit_window": Field(_slots),
    "submission_window": Field(_slots),
    "minimum_stake_amount": Field(_positive),
    "task_type": Field(_choice(*TASK_TYPES), "KOII"),
    "token_type": Field(_text(44), ""),
    "total_bounty_amount": Field(_money(Decimal(10), "at least 10")),
    "bounty_amount_per_round": Field(_positive),
    "allowed_failed_distributions": Field(_integer(0), 3),
    "space": Field(_number("0.1", "50", "MB"), Decimal("0.1")),
    "requirementsTags": Field(_list_of(_requirement, "requirements"), ()),
    "tags": Field(_list_of(_choice(*TAGS), "tags"), ()),
    "environment": Field(_choice(*ENVIRONMENTS), "TEST"),
    "task_id": Field(_text(44), ""),
    "migrationDescription": Field(_text(2000), ""),
}

OUR_FIELDS: dict[str, Field] = {
    "params": Field(_params, {}),
    "hosts": Field(_list_of(_host, "hosts"), ()),
    "limits": Field(_limits, {}),
    "secrets": Field(_list_of(_variable, "names"), ()),
    "rules": Field(_choice(*RULE_SETS), "koii-1"),
    "requires_python": Field(_text(100), None),
    "demo": Field(_demo, None),
}
