"""`roundwork receipt`: write what a node got in a round, in a form that can be checked without a ledger."""

from pathlib import Path

import click

from .options import ADDRESS, OutputFile, call_ledger, json_option, url_option
from .output import say_either


@click.command()
@click.argument("task", type=ADDRESS)
@click.argument("round_number", metavar="ROUND", type=click.IntRange(0, 2**63 - 1))
@click.argument("node", type=ADDRESS)
@click.option(
    "--file",
    "path",
    type=OutputFile(),
    help="The file to write; else receipt-ROUND-NODE.json here.",
)
@url_option
@json_option
def command(task: str, round_number: int, node: str, path: Path | None, url: str, as_json: bool) -> None:
    """Write the receipt of NODE in ROUND of TASK, a round under roundwork-1 that is over.

    `roundwork verify-receipt` checks the file without a ledger.
    """
    import msgspec

    from ..client.receipts import encode_receipt, fetch_receipt
    from ..host.files import replace_file

    receipt = call_ledger(url, lambda client: fetch_receipt(client, task, round_number, node))
    path = path or Path(f"receipt-{round_number}-{node}.json")
    replace_file(path, encode_receipt(receipt))
    say_either({"file": str(path), **msgspec.to_builtins(receipt)}, f"wrote {path}", as_json)
