"""The money of a round under roundwork-1: bonds, fines, slashes, shares, held-back rewards, and nets.

Every change of a node's money goes through `move`, which keeps the node's net in the round.
Source: docs/PROTOCOL.md 15.
"""

import msgspec

from ...errors import InsufficientFunds
from ..clock import REVIEW
from ..params import MONEY_MAX, NodeKey, base58_of
from ..records import Bond, Held, Net, Payment, Task
from ..rules import rule
from ..state import Table
from .configuration import compute_terms
from .cursor import RoundCursor
from .events import Event, Fined, Shared, Slashed
from .life import get_rules
from .round import WINDOWS, Activity, Step, StepKind
from .stakes import add_to, get_stake

NET_MIN = -MONEY_MAX - 1
"""The least net that a leaf can hold."""

# Amounts


def compute_duty(task: Task) -> int:
    """The fine for a duty that was not done."""
    return task.minimum_stake // 100


def compute_duties_max(stake: int) -> int:
    """The most that all duties of a node in a round cost together."""
    return stake // 10


def compute_lapse(task: Task) -> int:
    """The fine for a lapse."""
    return task.minimum_stake // 10


def compute_bond(task: Task, stake: int) -> int:
    """The bond for the accusation of a submission whose node has this stake."""
    return min(max(stake // 10, task.minimum_stake // 10), task.minimum_stake // 2)


def compute_list_bond(task: Task) -> int:
    """The bond for the accusation of a list."""
    return task.minimum_stake // 10


def compute_slash(task: Task, stake: int) -> int:
    """What a convicted node with this stake loses of it."""
    return stake * compute_terms(task.locals).slash_percent // 100


# Changes


def move(cursor: RoundCursor, node: NodeKey, amount: int = 0, available: int = 0) -> None:
    """Move a node's stake and available balance by these amounts; both count in its net of the round."""
    if amount or available:
        add_to(cursor.state, cursor.task_key, node, amount, available)
    count(cursor, node, amount + available)


def count(cursor: RoundCursor, node: NodeKey, amount: int) -> None:
    """Count what the round gives a node (below 0: takes from it), within the range of 64 signed bits.

    Tokens reach 2^64 - 1 and no leaf could hold such a net; without the bounds one task could end the chain.
    """
    if not amount:
        return
    before = cursor.nets.rows.get(node)
    net = (before.amount if before else 0) + amount
    cursor.state.put(cursor.nets, node, Net(min(max(net, NET_MIN), MONEY_MAX)))


def add_bounty(cursor: RoundCursor, amount: int) -> None:
    """Add money that no node gets to the task's bounty."""
    task = cursor.task
    new = msgspec.structs.replace(task, bounty=task.bounty + amount)
    cursor.state.put(cursor.state.tasks, cursor.task_key, new)


def set_bond(cursor: RoundCursor, key: bytes, node: NodeKey, amount: int) -> None:
    """Set a bond aside from a node's stake, which holds it."""
    move(cursor, node, -amount)
    cursor.state.put(cursor.bonds, key, Bond(node, amount))


def return_bond(cursor: RoundCursor, key: bytes) -> None:
    """Give a bond back to the stake that it came from."""
    bond = cursor.bonds.rows[key]
    cursor.state.remove(cursor.bonds, key)
    move(cursor, bond.node, bond.amount)


def take_bond(cursor: RoundCursor, key: bytes) -> int:
    """Take a bond that is lost; returns the amount that can be given away."""
    bond = cursor.bonds.rows[key]
    cursor.state.remove(cursor.bonds, key)
    return bond.amount


def fine(cursor: RoundCursor, node: NodeKey, amount: int, events: list[Event]) -> None:
    """Take a fine, as far as there is money: held-back rewards first, the oldest first, then the stake."""
    left = amount
    for table in list_held(cursor):
        if left and (held := table.rows.get(node)) is not None:
            taken = min(left, held.amount)
            left -= taken
            _set_held(cursor, table, node, held.amount - taken)
    count(cursor, node, left - amount)
    from_stake = min(left, get_stake(cursor.state, cursor.task_key, node).amount)
    move(cursor, node, -from_stake)
    taken = amount - left + from_stake
    add_bounty(cursor, taken)
    if taken:
        events.append(Fined(cursor.task_key, cursor.round_number, node, taken))


def slash(cursor: RoundCursor, node: NodeKey, amount: int, events: list[Event]) -> int:
    """Take up to this much of a stake, and all held-back rewards, which go to the bounty.

    Returns the amount that it took from the stake: the caller gives it away.
    """
    forfeited = 0
    for table in list_held(cursor):
        if (held := table.rows.get(node)) is not None:
            forfeited += held.amount
            _set_held(cursor, table, node, 0)
    task_key, round_number = cursor.task_key, cursor.round_number
    if forfeited:
        count(cursor, node, -forfeited)
        add_bounty(cursor, forfeited)
        events.append(Fined(task_key, round_number, node, forfeited))
    taken = min(amount, get_stake(cursor.state, task_key, node).amount)
    move(cursor, node, -taken)
    note_payment(cursor, node, slash=taken)
    events.append(Slashed(task_key, round_number, node, taken))
    return taken


def note_payment(cursor: RoundCursor, node: NodeKey, reward: int = 0, slash: int = 0) -> None:
    """Record, for readers, a reward or a slash of the round; it is added to what the round did before."""
    before = cursor.payments.rows.get(node, Payment(0, 0))
    after = Payment(before.reward + reward, before.slash + slash)
    cursor.state.put(cursor.payments, node, after)


def share(cursor: RoundCursor, shares: dict[NodeKey, int], pool: int, events: list[Event]) -> int:
    """Divide a pool among nodes in proportion to their shares; returns the rest."""
    total, left = sum(shares.values()), pool
    for node, part in sorted(shares.items()):
        amount = pool * part // total
        if amount:
            move(cursor, node, available=amount)
            events.append(Shared(cursor.task_key, cursor.round_number, node, amount))
            left -= amount
    return left


# Rewards that are held back


def hold(cursor: RoundCursor, node: NodeKey, amount: int) -> None:
    """Hold a reward back until the release of the ledger round that its list belongs to.

    If the payout comes after that release, the reward is available at once.
    """
    paid = compute_paid_round(cursor)
    count(cursor, node, amount)
    note_payment(cursor, node, reward=amount)
    if build_release(cursor, paid).encode() not in cursor.state.due.rows:
        add_to(cursor.state, cursor.task_key, node, 0, amount)
        return
    table = cursor.get_held(paid)
    before = table.rows.get(node)
    cursor.state.put(table, node, Held((before.amount if before else 0) + amount))


def compute_paid_round(cursor: RoundCursor) -> int:
    """The ledger round in which the round's current attempt is paid."""
    window = WINDOWS[cursor.task.rules][Activity.PAY]
    return window.compute_ledger_round(cursor.round_number, cursor.opened.attempt)


def build_release(cursor: RoundCursor, paid: int) -> Step:
    """The step that releases what was paid in a ledger round."""
    task = cursor.task
    last = paid + get_rules(task).held_rounds
    slot = WINDOWS[task.rules][Activity.AUDIT].compute_end(task.timetable, last - REVIEW)
    return Step(slot, cursor.task_key, StepKind.RELEASE, paid)


def release(cursor: RoundCursor) -> None:
    """Make the rewards that were paid in this cursor's ledger round available."""
    held = cursor.find_held(cursor.round_number)
    if held is not None:
        for node, reward in sorted(held.rows.items()):
            add_to(cursor.state, cursor.task_key, node, 0, reward.amount)
        cursor.state.drop(held)


def list_held(cursor: RoundCursor) -> list[Table[NodeKey, Held]]:
    """The tables of rewards that are held back, those of the oldest payments first."""
    ledger_round = cursor.task.timetable.compute_round(cursor.state.head.slot)
    tables = [cursor.find_held(paid) for paid in range(ledger_round - 5, ledger_round + 3)]
    return [table for table in tables if table is not None]


def _set_held(cursor: RoundCursor, table: Table[NodeKey, Held], node: NodeKey, amount: int) -> None:
    if amount:
        cursor.state.put(table, node, Held(amount))
    else:
        cursor.state.remove(table, node)


# Checks


@rule("18.3")
def check_bond(cursor: RoundCursor, node: NodeKey, bond: int) -> None:
    """The accuser's stake covers the whole bond."""
    stake = get_stake(cursor.state, cursor.task_key, node).amount
    if stake < bond:
        raise InsufficientFunds(f"{base58_of(node)} has a stake of {stake} roe; the bond is {bond}")
