"""Outside bytes are decoded in wire.py. ruff bans the decoders of libraries elsewhere; this is the rest."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "roundwork"

OWN_ENCODERS = {"b64encode", "b32encode", "b58encode", "b2a_base64", "encode"}
"""What these return is ASCII or UTF-8 of our own."""

NEVER_FAIL = {"latin-1"}

ALLOWED = {
    "protocol": "the law decodes by its own rules and raises its own errors",
    "sdk": "the stranger's own process, standard library only",
    "wire.py": "the decoders",
}
ALLOWED_CALLS = {
    ("ledger/rpc/instruction_forms.py", "decode"): "inside what turns ValueError into the unparsed form",
    ("ledger/rpc/subscriptions.py", "decode"): "JSON that this process has just encoded",
    ("cli/ledger.py", "decode"): "JSON that this process has just encoded",
    ("ledger/verifying.py", "decode"): "MessagePack from the process that started this",
    ("node/confinement/order.py", "decode"): "an order from the node, a report from its guard",
    ("node/peers/gateway.py", "decode"): "checked to be ASCII just before",
}


def find_bare_decodes(path: Path) -> list[str]:
    """Calls of `.decode()` and `.read_text()` that can raise UnicodeDecodeError for outside bytes."""
    found = []
    for call in ast.walk(ast.parse(path.read_text())):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        name, receiver = call.func.attr, call.func.value
        if name not in ("decode", "read_text"):
            continue
        words = {each.value for each in call.args if isinstance(each, ast.Constant)}
        is_lenient = len(call.args) > 1 or any(keyword.arg == "errors" for keyword in call.keywords)
        is_own = (
            isinstance(receiver, ast.Call)
            and isinstance(receiver.func, ast.Attribute | ast.Name)
            and getattr(receiver.func, "attr", getattr(receiver.func, "id", "")) in OWN_ENCODERS
        )
        if not (is_lenient or is_own or words & NEVER_FAIL):
            found.append(name)
    return found


def test_no_bytes_become_text_outside_of_the_decoders() -> None:
    bare = set()
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE)
        if name.parts[0] not in ALLOWED:
            bare |= {(str(name), call) for call in find_bare_decodes(path)}

    assert set(ALLOWED_CALLS) == bare


def test_the_rule_finds_what_it_forbids(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "raw.decode()\nraw.decode('ascii')\nplace.read_text()\nraw.decode(errors='replace')\n"
        "b64encode(raw).decode()\nraw.decode('utf-8', 'replace')\nraw.decode('latin-1')\n"
    )

    assert ["decode", "decode", "read_text"] == find_bare_decodes(path)
