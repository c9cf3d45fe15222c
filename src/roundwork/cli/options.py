"""What commands share: options, the kinds of values they take, how they call a ledger and what they print."""

import math
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..shown import SECRETS
from ..wire import format_count as format_count
from ..wire import format_money as format_money
from .client_config import find_client_config, report_choice
from .output import say, say_json

if TYPE_CHECKING:
    from ..client.rpc import Client

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

URL = "http://127.0.0.1:8899"
ROE_MAX = 2**64 - 1


class Address(click.ParamType):  # type: ignore[type-arg] # generic in the newest click only
    """An account's address in base58."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from ..protocol.params import key_of

        try:
            key_of(value)
        except ValueError:
            self.fail(f"{value!r} is not an address: 32 bytes in base58", param, ctx)
        return value


class OutputFile(click.Path):
    """A file that a command writes at its end or row by row: what prevents that is named before the work."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        path = super().convert(value, param, ctx)
        folder = Path(value).absolute().parent
        if not folder.is_dir():
            self.fail(f"{value} cannot be written: there is no folder {folder}", param, ctx)
        if not Path(value).exists() and not os.access(folder, os.W_OK):
            self.fail(f"{value} cannot be written: you may not write into {folder}", param, ctx)
        return path


class Cost(click.FloatRange):
    """A cost or a gain in R, the reward of an honest node: from 0 to a million."""

    def __init__(self) -> None:
        super().__init__(min=0, max=1_000_000)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        cost = super().convert(value, param, ctx)
        if math.isnan(cost):
            self.fail(f"{value!r} is not a number from 0 to 1000000", param, ctx)
        return cost


class Amount(click.IntRange):
    """An amount of a token in its smallest unit: digits."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str):
            try:
                value = self.read(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)

    def read(self, text: str) -> int:
        """The amount in the smallest unit. Raises ValueError, which says how to write it."""
        from ..wire import read_amount

        return read_amount(text, 0)


class Roe(Amount):
    """Native money: digits of roe, or coins with their name, `2.5koii`, exactly."""

    name = "roe"

    def read(self, text: str) -> int:
        """The amount in roe. Raises ValueError, which says how to write it."""
        from ..wire import read_roe

        return read_roe(text)


class ClaimLeast(Roe):
    """The least amount that a node claims by itself; `never` is 0."""

    def read(self, text: str) -> int:
        """The amount in roe. Raises ValueError, which says how to write it."""
        return 0 if text == "never" else super().read(text)


ADDRESS = Address()
AMOUNT = Amount(1, ROE_MAX)
ROE = Roe(1, ROE_MAX)
ROE_OR_NONE = Roe(0, ROE_MAX)
CLAIM_LEAST = ClaimLeast(0, ROE_MAX)


def _choose_url(ctx: click.Context, param: click.Parameter, given: str | None) -> str:
    if given is not None:
        SECRETS.add_url(given)
        return given
    found = find_client_config()
    if found is None or not found.json_rpc_url:
        return URL
    SECRETS.add_url(found.json_rpc_url)
    report_choice(f"ledger {found.json_rpc_url} (json_rpc_url of {found.path})")
    return found.json_rpc_url


url_option = click.option(
    "--url",
    envvar="ROUNDWORK_URL",
    callback=_choose_url,
    help=f"The ledger's RPC; else ROUNDWORK_URL, else the one of Solana's configuration, else {URL}.",
)
_PRIORITY_FEE = "roundwork.priority_fee"


def _keep_priority_fee(ctx: click.Context, param: click.Parameter, given: int | None) -> None:
    ctx.meta[_PRIORITY_FEE] = given or 0


def get_priority_fee() -> int:
    """What each transaction of the running command pays on top of its fee, in roe."""
    fee: int = click.get_current_context().meta.get(_PRIORITY_FEE, 0)
    return fee


priority_option = click.option(
    "--priority-fee",
    type=ROE,
    expose_value=False,
    callback=_keep_priority_fee,
    help="Pay so much on top of each transaction's fee, so that it comes before others.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def combine(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator; help shows them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def call_ledger(url: str, request: "Callable[[Client], Awaitable[T]]") -> T:
    """The response of the ledger to one request. Raises RemoteError if no ledger of ours answers there."""
    from ..client.rpc import Client, Refused
    from ..errors import RemoteError

    priority_fee = get_priority_fee()

    async def run() -> T:
        async with Client(url, priority_fee=priority_fee) as client:
            # A ledger that does not answer at first is an error at once; a later outage is waited for.
            try:
                await client.get_ledger()
            except Refused as error:
                raise RemoteError(f"{url} is not a ledger of roundwork: {error}") from error
            return await request(client)

    import asyncio  # not for commands that ask no ledger

    return asyncio.run(run())


def show(facts: Mapping[str, Any], as_json: bool, write: Callable[[str], None] = say) -> None:
    """Print facts: as an object, or each as a line that `write` prints."""
    if as_json:
        say_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        write(f"{name.replace('_', ' '):<{width}}  {value}")


def read_pairs(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    """NAME=VALUE options as a dictionary. Raises BadParameter for a name that is given twice."""
    read: dict[str, str] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or not name:
            raise click.BadParameter(f"{pair!r} is not of the form NAME=VALUE", param_hint=option)
        if name in read:
            raise click.BadParameter(f"{name} is given twice: name it once", param_hint=option)
        read[name] = value
    return read


def _read_params(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    return read_pairs(given, "--param")


param_option = click.option(
    "--param", "params", multiple=True, callback=_read_params, help="K=V, a param of the task."
)
sandbox_option = click.option(
    "--sandbox", type=click.Choice(["sandlock", "bwrap", "none"]), help="What confines the task."
)
any_machine_option = click.option(
    "--any-machine",
    "is_any_machine",
    is_flag=True,
    help="Run the task although it requires another kind of machine.",
)


def _read_secrets(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    read: dict[str, str] = {}
    for at, pair in enumerate(given, 1):
        name, has_value, value = pair.partition("=")
        if not has_value and name not in os.environ:
            # It may be the secret itself, so it is not quoted.
            raise click.BadParameter(
                f"number {at} is not NAME=VALUE, and the environment has no variable of this name"
            )
        if name in read:
            raise click.BadParameter(f"number {at} has the name of one before it: name it once")
        read[name] = value if has_value else os.environ[name]
        SECRETS.add(name, read[name])
    return read


secret_option = click.option(
    "--secret",
    "secrets",
    multiple=True,
    callback=_read_secrets,
    help="NAME, a variable that the task asks for, from the environment; or NAME=VALUE, which `ps` shows.",
)
