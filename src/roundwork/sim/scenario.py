"""A scenario: which network a task is simulated on, as data. A world is made from it and a task's folder."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..errors import BadConfig, Malformed
from ..package.fields import to_json
from ..package.folder import Package, check_params, merge_params, pack
from ..package.terms import Terms, fit_long_windows
from ..package.yaml_file import check_numbers, load_yaml
from ..participant.plays import HONEST, LIAR, Play, find_play
from ..protocol.params import KOII_1, ROUNDWORK_1
from ..wire import COIN_DECIMALS, convert, format_money, read_amount
from .faults import Faults
from .network import NetworkModel, check_model
from .shapes import check_shape
from .simulation import WorldSetting
from .world import STAKE_FACTOR, fit_bounty, make_nodes

COSTS = ("work_cost", "audit_cost")
"""The fields of a scenario that may have a fraction."""

LISTED_NODES_MAX = 65_000
"""So many nodes fit into a distribution list of koii-1.

A list has at most 8,192 chunks of 508 bytes (PROTOCOL.md 8.6), and a node takes up to 64 bytes of it.
"""


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network to simulate. Every field has a default; the options of `simulate` have the same names."""

    nodes: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    rounds: Annotated[int, Meta(ge=1, le=10_000)] = 10
    liars: Annotated[int, Meta(ge=0)] = 0
    plays: dict[str, Annotated[int, Meta(ge=0)]] = {}
    """How many nodes play otherwise than honestly, by the way to play."""
    stakes: tuple[str | int, ...] = ()
    """In KOII, taken in turn; empty: ten times the task's minimum."""
    seed: int = 0
    rules: Literal["koii-1", "roundwork-1"] | None = None
    """The rule set; None: the task's own."""
    round_slots: Annotated[int, Meta(ge=20, le=1_000_000)] | None = None
    """Slots of a round; None: the task's own windows."""
    slot_ms: Annotated[int, Meta(ge=10, le=60_000)] = 400
    signatures: bool | None = None
    """Whether nodes sign for real; None: in worlds of at most 100 nodes. Hashes depend on it, and with them
    the draws of roundwork-1."""
    work_cost: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    """Of a round's work, in the reward of an honest node. Only `attack` uses it and the next field."""
    audit_cost: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    params: dict[str, Any] = {}
    network: NetworkModel = NetworkModel()
    faults: Faults = Faults()


def read_scenario(path: Path) -> Scenario:
    """A scenario from a YAML or JSON file; as `read_fields`, with defaults where the file is silent."""
    return Scenario(**read_fields(path))


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a scenario that a YAML or JSON file has.

    Raises BadConfig, which names the file, the field, its value and what it must be.
    """
    raw = load_yaml(path, "nodes: 20")
    try:
        for name, value in raw.items():
            check_numbers(value, str(name))
        fields = _read_whole(raw)
        fields |= {name: float(raw[name]) for name in COSTS if isinstance(raw.get(name), Decimal)}
        check_shape(fields, Scenario)
        if "params" in raw:
            fields["params"] = _read_params(raw["params"])
        scenario: Scenario = convert(fields, Scenario)
        _read_stakes(scenario.stakes)
        for name in scenario.plays:
            find_play(name)
        check_model(scenario.network)
    except (Malformed, ValueError, BadConfig) as error:
        raise BadConfig(f"{path}: {error}") from None
    return {name: getattr(scenario, name) for name in fields}


def _read_params(raw: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for a value that JSON does not have."""
    params = {}
    for name, value in raw.items():
        try:
            params[name] = to_json(value)
        except ValueError as error:
            raise ValueError(f"params: {name}: {error}") from None
    return params


def _read_stakes(given: tuple[str | int, ...]) -> list[int]:
    """The stakes in roe. Raises BadConfig for one that is not an amount."""
    stakes = []
    for position, stake in enumerate(given, 1):
        try:
            stakes.append(read_amount(str(stake), COIN_DECIMALS))
        except ValueError as error:
            raise BadConfig(f"stakes: entry {position}: {error}") from None
    return stakes


def _read_whole(value: Any) -> Any:
    """Numbers of a YAML file as a scenario has them: `4.0` as an integer, `2.5`, of KOII, as text."""
    match value:
        case Decimal():
            return int(value) if value == int(value) else str(value)
        case dict():
            return {name: _read_whole(item) for name, item in value.items()}
        case list():
            return [_read_whole(item) for item in value]
        case _:
            return value


def list_plays(scenario: Scenario) -> list[Play]:
    """The way to play of each node: the honest first, the liars last. Raises BadConfig."""
    dishonest = [find_play(name) for name, count in scenario.plays.items() for _ in range(count)]
    dishonest += [LIAR] * scenario.liars
    if len(dishonest) > scenario.nodes:
        raise BadConfig(
            f"nodes: {scenario.nodes} are too few: liars and plays name {len(dishonest)} of them that do not"
            " play honestly"
        )
    return [HONEST] * (scenario.nodes - len(dishonest)) + dishonest


def compose_setting(
    scenario: Scenario, package: Package, secrets: dict[str, str], files: str
) -> WorldSetting:
    """The setting of a world of this scenario. Raises BadConfig."""
    terms = fit_terms(package, scenario)
    if terms.rules == KOII_1.name and scenario.nodes > LISTED_NODES_MAX:
        raise BadConfig(
            f"nodes {scenario.nodes:,}: a distribution list of koii-1 has room for {LISTED_NODES_MAX:,}"
            " nodes, so a round with more would never be paid"
        )
    content_id, _ = pack(package)
    stakes = _read_stakes(scenario.stakes)
    if len(stakes) > scenario.nodes:
        raise BadConfig(f"stakes: {len(stakes)} are given for {scenario.nodes} nodes; at most one a node")
    if stakes and min(stakes) < terms.minimum_stake:
        least = format_money(terms.minimum_stake)
        raise BadConfig(f"stakes: {format_money(min(stakes))}: the task needs a stake of at least {least}")
    return WorldSetting(
        terms=terms,
        nodes=make_nodes(list_plays(scenario), stakes or [STAKE_FACTOR * terms.minimum_stake]),
        rounds=scenario.rounds,
        seed=scenario.seed,
        slot_ms=scenario.slot_ms,
        content_id=content_id,
        params=merge_given_params(package, scenario.params),
        secrets=secrets,
        files=files,
        network=scenario.network,
        faults=scenario.faults,
        are_signatures_real=scenario.signatures,
    )


def merge_given_params(package: Package, given: Mapping[str, Any]) -> dict[str, Any]:
    """The package's params with those of a scenario: text is read as the package has it. Raises BadConfig."""
    check_params(package, given)
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    return {**merge_params(package, texts), **{n: each for n, each in given.items() if n not in texts}}


def fit_terms(terms: Terms, scenario: Scenario) -> Terms:
    """The terms with the scenario's rules and windows, and a bounty that lasts.

    Windows that are too short for roundwork-1 become as long as it needs.
    """
    rules = scenario.rules or terms.rules
    terms = msgspec.structs.replace(fit_bounty(terms, scenario.rounds), rules=rules)
    if rules == ROUNDWORK_1.name:
        return fit_long_windows(terms, scenario.round_slots)
    if scenario.round_slots is None:
        return terms
    window = scenario.round_slots * 2 // 5
    return msgspec.structs.replace(
        terms, round_time=scenario.round_slots, submission_window=window, audit_window=window
    )
