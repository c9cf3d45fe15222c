"""Subscriptions to whole blocks."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from ...protocol.params import Key
from .blocks import DETAILS, compose_block
from .budget import Budget
from .commitments import Commitment
from .errors import InvalidParams, UnsupportedTransactionVersion
from .feeds import KINDS as OTHER_KINDS
from .feeds import Changed, Step, Subject, UnmadeRead, encode_result
from .ledger import Ledger
from .params import Params, choice, field, read_key, show
from .transactions import TRANSACTION_OPTIONS, check_transaction_options


def about_block(ledger: Ledger, params: Params) -> Subject:
    """Every slot is a block. With an address, only blocks with transactions that name it are notified."""
    wanted = params.values[0] if params.values else None
    config = params.config(1, *TRANSACTION_OPTIONS, "transactionDetails", "showRewards")
    if ledger.commitment == Commitment.PROCESSED:
        raise InvalidParams("Method does not support commitment below `confirmed`")
    mentioned: Key | None = None
    match wanted:
        case "all":
            pass
        case {"mentionsAccountOrProgram": address, **others} if not others:
            mentioned = read_key(address, "mentionsAccountOrProgram")
        case _:
            raise InvalidParams(
                f'Invalid params: {show(wanted)}; "all" or {{"mentionsAccountOrProgram": address}}'
            )
    detail = choice(config, "transactionDetails", DETAILS, "full")
    check_transaction_options(config)
    shown = {"encoding": "base64", **config, "rewards": field(config, "showRewards", bool, False)}

    async def make(slot: int, made: list[msgspec.Raw]) -> None:
        budget = Budget("", ledger.limits)
        made.append(
            await ledger.read_encoded(budget, _compose, ledger, slot, detail, shown, mentioned, budget)
        )

    def report(changed: Changed) -> Iterator[Step]:
        for slot in changed.slots:
            made: list[msgspec.Raw] = []
            yield UnmadeRead(partial(make, slot, made))
            yield from [each for each in made if bytes(each) != b"null"]

    details = (detail, mentioned, msgspec.json.encode(shown, order="sorted"))
    return Subject(("block", b""), details, report, commitment=ledger.commitment)


def _compose(
    ledger: Ledger, slot: int, detail: str, shown: Any, mentioned: Key | None, budget: Budget
) -> msgspec.Raw | None:
    """The JSON of a notification; None if no transaction of the block names the address."""
    try:
        block = compose_block(ledger, slot, detail, shown, budget, mentioned)
    except UnsupportedTransactionVersion as error:
        failure = {"UnsupportedTransactionVersion": error.version}
        return encode_result(ledger, {"slot": slot, "block": None, "err": failure}, slot)
    if block is None:
        return None
    return encode_result(ledger, {"slot": slot, "block": block, "err": None}, slot)


KINDS: dict[str, Callable[[Ledger, Params], Subject | Awaitable[Subject]]] = {
    **OTHER_KINDS,
    "block": about_block,
}
"""Makes a subject from parameters. Raises RpcError."""
