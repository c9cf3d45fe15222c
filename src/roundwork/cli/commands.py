"""The commands by name, with what `roundwork --help` says of each."""

COMMANDS = {
    "up": "Run a ledger and several nodes on this machine, and a task on them.",
    "new": "Make a task folder from a few answers.",
    "try": "Run one node's round of a task in this process, in a second.",
    "check": "Try a task's functions, and say what it costs, before it is deployed.",
    "replay": "Say what changed code would have decided in recorded rounds.",
    "simulate": "Simulate a task on a network in this process, on a virtual clock.",
    "attack": "Play strategies that cheat against the rules, and say who wins.",
    "advise": "Say by how much cheating loses in a task, and where that breaks.",
    "ledger": "Run, inspect and verify a settlement ledger.",
    "node": "Run a node; stake, withdraw, claim.",
    "task": "Deploy, fund and look after tasks.",
    "receipt": "Write what a node got in a round, to be checked without a ledger.",
    "verify-receipt": "Check a receipt from leaf, path and head, without a ledger.",
    "token": "Make a token and move it, for tasks that pay in a token.",
    "keygen": "Make a keypair.",
    "address": "Print the address of a keypair file.",
    "balance": "Show what an address holds.",
    "airdrop": "Get money from a development ledger's faucet.",
    "transfer": "Send money.",
}
"""Each command with its line of help, because help must not load the commands."""

MODULES = {"try": "try_round", "verify-receipt": "verify_receipt"}
"""Where the name of a command cannot be that of its module."""


def compose_help() -> str:
    """The help of `roundwork` itself."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        (
            "Usage: roundwork [OPTIONS] COMMAND [ARGS]...",
            "",
            "  Gradual consensus: real work in timed rounds, audited by peers, paid by a ledger.",
            "",
            "Options:",
            "  --version   Show the version and exit.",
            "  -h, --help  Show this message and exit; after a command, that of the command.",
            "",
            "Commands:",
            *(f"  {name:<{width}}  {line}" for name, line in COMMANDS.items()),
        )
    )
