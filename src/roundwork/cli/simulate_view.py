"""The tables that `roundwork simulate` prints."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..wire import format_count, format_money

NODES_SHOWN = 30
ROUNDS_SHOWN = 30


def compose_tables(facts: dict[str, Any]) -> Iterator[str]:
    """The rounds and the nodes of a simulation, as lines; of many nodes, a line for each role."""
    rounds = facts["rounds"][:ROUNDS_SHOWN]
    missing = ["missing"] if rounds and "missing" in rounds[0] else []
    names = ["round", "status", "submissions", "audits_raised", "convicted", *missing, "paid", "slashed"]
    yield from compose_table(names, rounds, money=("paid", "slashed"))
    if len(facts["rounds"]) > ROUNDS_SHOWN:
        yield f"and {len(facts['rounds']) - ROUNDS_SHOWN} rounds more"
    yield ""
    if len(facts["nodes"]) <= NODES_SHOWN:
        net = ["net"] if facts["nodes"] and "net" in facts["nodes"][0] else []
        names = ["name", "role", "worked", "submitted", "audited", "earned", "slashed", *net, "stake"]
        yield from compose_table(names, facts["nodes"], money=("earned", "slashed", "net", "stake"))
    else:
        names = ["role", "nodes", "submitted", "audited", "earned", "slashed", "stake"]
        yield from compose_table(names, _sum_roles(facts["nodes"]), money=("earned", "slashed", "stake"))
    yield ""
    yield (
        f"{format_count(facts['rounds_settled'], 'round')} settled, {facts['rounds_unpaid']} unpaid, in"
        f" {format_count(facts['slot'], 'slot')} and {format_count(facts['transactions'], 'transaction')};"
        " money in KOII"
    )


def compose_table(
    names: Sequence[str], rows: Sequence[dict[str, Any]], money: Sequence[str] = ()
) -> Iterator[str]:
    """A heading and a line for each row; numbers are on the right."""
    cells = [
        [
            format_money(row[name], "").strip() if name in money else str(row[name])
            for name in names
        ]
        for row in rows
    ]  # fmt: skip
    heads = [name.replace("_", " ") for name in names]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    is_text = [bool(rows) and isinstance(rows[0][name], str) for name in names]
    for line in (heads, *cells):
        yield "  ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(line, widths, is_text, strict=True)
        ).rstrip()


def _sum_roles(nodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes of each role together."""
    sums: dict[str, dict[str, Any]] = {}
    for node in nodes:
        row = sums.setdefault(node["role"], {"role": node["role"], "nodes": 0})
        row["nodes"] += 1
        for name in ("submitted", "audited", "earned", "slashed", "stake"):
            row[name] = row.get(name, 0) + node[name]
    return list(sums.values())
