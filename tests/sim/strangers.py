"""Random worlds with every invariant checked after each block, and the shrinking of what breaks one.

A seed says everything: nodes, ways to play, network, faults, messages. Run: python -m tests.sim.strangers
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from roundwork.client.messages import make_account
from roundwork.participant.plays import HONEST, PLAYS
from roundwork.protocol.execute import Outcome
from roundwork.protocol.params import KOII_1, ROUNDWORK_1, Key, NodeKey, base58_of
from roundwork.protocol.tasks import instructions
from roundwork.sim.faults import ClockSkew, Faults, LedgerOutage, LedgerRestart, NodeCrash, SlowDisk
from roundwork.sim.laws import CHUNK_BYTES, LawBroken, Laws
from roundwork.sim.ledger import MANAGER, make_keypair
from roundwork.sim.network import NetworkModel, Partition
from roundwork.sim.simulation import NodeSetting, Simulation, WorldSetting
from roundwork.sim.world import SimulatedNode, World, fit_bounty, make_nodes
from roundwork.strategies import Member

from .village import PACKAGE, STAKE, make_task

LIFE = "life"
"""The worlds of `life_strangers.py`, in which strangers found, change and end tasks."""

MESSAGES = 3
"""Messages of strangers in each slot."""

SWITCH_CHANCE = 0.02
"""How often in a slot the manager switches the task."""

LONG_CHANCE, LONG_CHUNKS = 0.03, 7
"""How often in a slot a node hands in a list that is too long, and of how many chunks."""

WINDOWS = ((20, 8, 8), (12, 4, 4), (16, 6, 10))
"""Round time, submission window, audit window: short rounds, and one without a SETTLE."""


def draw_setting(seed: int) -> WorldSetting:
    """The setting of a random world."""
    random = Random(seed)
    count, rounds = random.randint(2, 6), random.randint(1, 3)
    plays = [random.choice((HONEST, HONEST, *PLAYS.values())) for _ in range(count)]
    round_time, submission_window, audit_window = random.choice(WINDOWS)
    terms = msgspec.structs.replace(
        fit_bounty(PACKAGE, rounds),
        round_time=round_time,
        submission_window=submission_window,
        audit_window=audit_window,
        allowed_failed_distributions=random.randint(0, 2),
    )
    if random.random() < 0.2:  # a bounty that ends
        terms = msgspec.structs.replace(terms, total_bounty=terms.bounty_per_round * rounds)
    names = [f"node-{at + 1}" for at in range(count)]
    network = NetworkModel()
    if random.random() < 0.5:
        first = random.randint(1, 60)
        network = NetworkModel(
            delay_slots_max=random.randint(1, 4),
            loss_percent=random.choice((0, 20)),
            duplicate_percent=random.choice((0, 20)),
            partitions=(Partition((random.choice(names),), first, first + random.randint(1, 20)),),
        )
    crash = NodeCrash(random.choice(names), random.randint(2, 60), random.randint(1, 30))
    outage = LedgerOutage(random.randint(2, 60), random.randint(1, 30))
    crashes = (crash,) if random.random() < 0.5 else ()
    outages = (outage,) if random.random() < 0.3 else ()
    return WorldSetting(
        terms=terms,
        nodes=make_nodes(plays, [STAKE, random.choice((STAKE, STAKE // 10))]),
        rounds=rounds,
        seed=seed,
        network=network,
        faults=Faults(crashes=crashes, outages=outages, **draw_more_faults(seed, names)),
        are_signatures_real=False,
    )


def draw_more_faults(seed: int, names: Sequence[str]) -> dict[str, Any]:
    """Restarts of the ledger, slow disks and wrong clocks."""
    random = Random(f"faults/{seed}")
    restart = LedgerRestart(random.randint(2, 60), random.randint(1, 10), is_torn=random.random() < 0.7)
    disk = SlowDisk(random.choice(names), random.randint(1, 6))
    skew = ClockSkew(random.choice(names), random.choice((-20, -3, -1, 1, 3, 20)))
    return {
        "restarts": (restart,) if random.random() < 0.2 else (),
        "slow_disks": (disk,) if random.random() < 0.2 else (),
        "skews": (skew,) if random.random() < 0.2 else (),
    }


class Account(NamedTuple):
    """An account that signs a message beside its sender: what becomes a task, or what pays."""

    name: str
    """Its keypair is that of this name."""
    owner: Key | None = None
    """The program for which the message creates the account first; None if it does not."""
    money: int = 0
    """With what it creates it, in roe."""


class Message(NamedTuple):
    """An instruction that a stranger sent after the block of a slot."""

    slot: int
    sender: str
    instruction: instructions.Instruction
    payer: str = ""
    """Who pays the fee, if another node does."""
    accounts: tuple[Account, ...] = ()


W = TypeVar("W", bound=Simulation[Any])


class Senders(Protocol):
    """Sends messages of strangers into a world, and notes them."""

    sent: list[Message]

    def send(self, count: int) -> None:
        """Draw so many messages and send them."""

    def repeat(self, messages: Sequence[Message]) -> None:
        """Send those of these messages that belong to this slot."""


class Strangers:
    """Sends random instructions, most of which the law must refuse."""

    def __init__(self, world: World, seed: int) -> None:
        self._random = Random(f"strangers/{seed}")
        self._long = Random(f"long/{seed}")
        """Draws who uploads a list that is too long, and when."""
        self._world = world
        self.sent: list[Message] = []
        keypair = make_keypair(world.setting.seed, "producer")  # it has fees, and no stake
        setting = NodeSetting(name="stranger", stake=0)
        address = str(keypair.pubkey())
        member = Member(address, (), seed)
        functions = world.nodes[0].functions
        self._stranger = SimulatedNode(setting, keypair, address, functions, member)
        manager = NodeSetting(name=MANAGER, stake=0)
        keypair, address = world.ledger.keypairs[MANAGER], world.ledger.addresses[MANAGER]
        self._manager = SimulatedNode(manager, keypair, address, functions, member)

    def send(self, count: int) -> None:
        """Send some instructions of random nodes, and note them."""
        for _ in range(count):
            sender = self._random.choice([*self._world.nodes, self._stranger])
            drawn = self._draw(sender)
            self._inject(sender, drawn)
            if isinstance(drawn, instructions.UploadDistributionList):
                number = self._draw_round() if drawn.round == instructions.NO_ROUND else drawn.round
                self._hand_in(sender, number)
        if self._long.random() < LONG_CHANCE:
            self._hand_in_much(self._long.choice(self._world.nodes))
        if self._random.random() < SWITCH_CHANCE:
            is_active = self._random.choice((0, 1, 1))
            manager = bytes(self._manager.key)
            self._inject(self._manager, instructions.SetActive(self._world.task, manager, is_active))

    def _hand_in(self, node: SimulatedNode, number: int) -> None:
        """Let the node hand in what it has uploaded, often twice: the second time at another's expense."""
        submit = instructions.SubmitDistributionList(self._world.task, node.key, node.key, number)
        self._inject(node, submit)
        if node is not self._stranger and self._random.random() < 0.5:
            self._inject(node, submit, payer=self._stranger)

    def _hand_in_much(self, node: SimulatedNode) -> None:
        """Let the node upload and hand in a list that is longer than lists may be."""
        ledger_round = self._world.timetable.compute_round(self._world.slot)
        for number in range(max(ledger_round - 3, 0), ledger_round):
            for chunk in range(LONG_CHUNKS):
                text = b" " * CHUNK_BYTES
                self._inject(
                    node,
                    instructions.UploadDistributionList(
                        self._world.task, node.key, chunk, len(text), text, number
                    ),
                )
            self._inject(
                node, instructions.SubmitDistributionList(self._world.task, node.key, node.key, number)
            )

    def _inject(
        self, sender: SimulatedNode, instruction: instructions.Instruction, payer: SimulatedNode | None = None
    ) -> None:
        self.sent.append(Message(self._world.slot, sender.name, instruction, payer.name if payer else ""))
        self._world.inject(sender, instruction, payer)

    def repeat(self, messages: Sequence[Message]) -> None:
        """Send the messages of the present slot."""
        senders = {node.name: node for node in (*self._world.nodes, self._stranger, self._manager)}
        for message in messages:
            if message.slot != self._world.slot or message.sender not in senders:
                continue
            sender, payer = senders[message.sender], senders.get(message.payer)
            if message.accounts:
                self._inject_with(sender, message.instruction, message.accounts)
            else:
                self._world.inject(sender, message.instruction, payer)

    def _inject_with(
        self, sender: SimulatedNode, instruction: instructions.Instruction, accounts: Sequence[Account]
    ) -> None:
        keypairs = [make_keypair(self._world.setting.seed, account.name) for account in accounts]
        first = [
            make_account(sender.keypair, keypair, account.money, 0, account.owner)
            for account, keypair in zip(accounts, keypairs, strict=True)
            if account.owner is not None
        ]
        self._world.inject_with(sender, instruction, keypairs, first)

    def _draw(self, sender: SimulatedNode) -> instructions.Instruction:
        random, world = self._random, self._world
        task, node = world.task, sender.key
        number = self._draw_round()
        other = NodeKey(random.choice(world.nodes).key)
        is_valid = random.randint(0, 1)
        stranger = NodeKey(random.randbytes(32))
        candidate = random.choice((other, other, node, stranger))
        match random.randrange(10):
            case 0:
                value = random.choice((b"x", b"", b"\xff", b"y" * 512, random.randbytes(4).hex().encode()))
                return instructions.SubmitTask(task, node, value, number)
            case 1 | 2:
                return instructions.AuditSubmission(task, node, candidate, is_valid, number)
            case 3:
                return instructions.AuditDistribution(task, node, candidate, is_valid, number)
            case 4 | 5:
                text = msgspec.json.encode(self._draw_list(number))[:508]
                chunk = random.choice((0, 0, 0, 0, 9000))
                of = random.choice((number, number, instructions.NO_ROUND))
                return instructions.UploadDistributionList(task, node, chunk, len(text), text, of)
            case 6:
                return instructions.SubmitDistributionList(task, node, node, number)
            case 7:
                return instructions.Withdraw(task, node)
            case 8:
                return instructions.Payout(task, number)
            case _:
                manager = bytes(sender.keypair.pubkey())
                pot = world.ledger.state.tasks.rows[task].pot
                return random.choice(
                    (
                        instructions.SetActive(task, manager, random.randint(0, 1)),
                        instructions.CloseTask(task, manager, pot),
                        instructions.Claim(task, node, pot, node),
                        instructions.Stake(task, node, pot, random.choice((0, 1, STAKE))),
                        instructions.FundTask(task, node, pot, random.choice((0, 1))),
                    )
                )

    def _draw_round(self) -> int:
        """A round that is under way, or was a little before."""
        ledger_round = self._world.timetable.compute_round(self._world.slot)
        return max(ledger_round - self._random.choice((0, 1, 2, 2, 2, 3, 4)), 0)

    def _draw_list(self, number: int) -> dict[str, int]:
        random, world = self._random, self._world
        bounty = world.setting.terms.bounty_per_round
        names = [node.address for node in world.nodes]
        names = random.sample(names, random.randint(0, min(len(names), 4)))
        if random.random() < 0.1:
            names.append(base58_of(random.randbytes(32)))
        return {name: random.choice((1, bounty // 4, bounty, -1, -STAKE)) for name in names}


def live(
    setting: WorldSetting, messages: Sequence[Message] | None = None
) -> tuple[str | None, list[Message]]:
    """Live a world; what it breaks, None if all holds, and the messages of strangers.

    Without `messages`, three are drawn in each slot.
    """
    return live_with(partial(World, setting, make_task()), Laws, Strangers, messages, MESSAGES)


def live_with(
    make_world: Callable[..., W],
    laws: type[Laws],
    strangers: Callable[[W, int], Senders],
    messages: Sequence[Message] | None,
    by_slot: int,
) -> tuple[str | None, list[Message]]:
    """The same in a world that `make_world` makes with the watch that it is given, under these invariants.

    Without `messages`, the strangers draw `by_slot` of them in each slot.
    """
    known: list[Laws] = []

    def watch(world: W, outcome: Outcome) -> None:
        check(known[0], world, outcome)

    try:
        world = make_world(watch=watch)
    except Exception as error:  # noqa: BLE001 -- a law that cannot open a task has failed
        return f"before slot 1: {type(error).__name__}: {error}", []
    known.append(laws(world.ledger.state, world.task))
    senders = strangers(world, world.setting.seed)
    limit = world.timetable.compute_start(world.setting.rounds + 8)
    try:
        while not world.is_over() and world.slot < limit:
            if messages is None:
                senders.send(by_slot)
            else:
                senders.repeat(messages)
            world.advance()
    except LawBroken as error:
        return str(error), senders.sent
    except Exception as error:  # noqa: BLE001 -- whatever it is, the law has failed
        return f"after slot {world.slot}: {type(error).__name__}: {error}", senders.sent
    return None, senders.sent


def check(laws: Laws, world: Simulation[Any], outcome: Outcome) -> None:
    """Check all that holds after a block. Raises LawBroken."""
    sent = [each.instruction for each in world.arrived]
    laws.check(outcome, list(zip(sent, outcome.receipts, strict=True)))


Live = Callable[[WorldSetting, Sequence[Message] | None], tuple[str | None, list[Message]]]
"""Lives a world with these messages, or with random ones: `live` of a rule set."""


def find(setting: WorldSetting) -> str | None:
    """What a random world breaks; None if all holds."""
    return live(setting)[0]


def shrink(setting: WorldSetting, live: Live = live) -> tuple[WorldSetting, list[Message], str]:
    """A world that still breaks something, without the nodes, faults and messages that it does not need.

    A node that is absent leaves the chain, the keys and the messages of the others as they are.
    """
    text, messages = live(setting, None)
    assert text is not None
    setting = _leave_out_parts(setting, messages, live)  # first, because a smaller world is lived sooner
    messages = _leave_out_messages(setting, messages, live)
    setting = _leave_out_parts(setting, messages, live)
    return setting, messages, live(setting, messages)[0] or text


def _leave_out_messages(setting: WorldSetting, messages: list[Message], live: Live) -> list[Message]:
    """The messages without those that the fault does not need: halves of them, then smaller runs."""
    size = max(len(messages) // 2, 1)
    while size:
        at, before = 0, len(messages)
        while at < len(messages):
            fewer = messages[:at] + messages[at + size :]
            if live(setting, fewer)[0] is not None:
                messages = fewer
            else:
                at += size
        if size > 1 or len(messages) == before:
            size //= 2
    return messages


def _leave_out_parts(setting: WorldSetting, messages: list[Message], live: Live) -> WorldSetting:
    """The world without nodes, faults and rounds that the fault does not need."""
    before = None
    while before != setting:
        before = setting
        for smaller in _list_smaller(setting):
            found = (each for each in smaller(setting) if each != setting)
            setting = next((each for each in found if live(each, messages)[0] is not None), setting)
    return setting


def _list_smaller(setting: WorldSetting) -> list[Callable[[WorldSetting], list[WorldSetting]]]:
    """What to take away, in turn."""
    replace = msgspec.structs.replace

    def leave_out(name: str) -> Callable[[WorldSetting], list[WorldSetting]]:
        def without(given: WorldSetting) -> list[WorldSetting]:
            nodes = tuple(
                replace(
                    node,
                    coalition=tuple(member for member in node.coalition if member != name),
                    is_absent=node.is_absent or node.name == name,
                )
                for node in given.nodes
            )
            faults = replace(
                given.faults,
                crashes=tuple(crash for crash in given.faults.crashes if crash.node != name),
                slow_disks=tuple(disk for disk in given.faults.slow_disks if disk.node != name),
                skews=tuple(skew for skew in given.faults.skews if skew.node != name),
            )
            parts = tuple(part for part in given.network.partitions if name not in part.nodes)
            network = replace(given.network, partitions=parts)
            return [replace(given, nodes=nodes, faults=faults, network=network)]

        return without

    def spare(kind: str) -> Callable[[WorldSetting], list[WorldSetting]]:
        return lambda given: [replace(given, faults=replace(given.faults, **{kind: ()}))]

    return [
        lambda given: [replace(given, network=NetworkModel(), faults=Faults())],
        lambda given: [replace(given, network=NetworkModel())],
        lambda given: [replace(given, faults=Faults())],
        *(spare(kind) for kind in Faults.__struct_fields__),
        *(leave_out(node.name) for node in setting.nodes[1:]),
        lambda given: [replace(given, rounds=1)],
    ]


def main() -> None:
    """Live random worlds for a time; the first that breaks an invariant is shrunk and shown."""
    from . import life_strangers, sealed_strangers

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, help="so many worlds, in place of a time")
    parser.add_argument(
        "--rules", choices=(KOII_1.name, ROUNDWORK_1.name, LIFE), help="all in turn without it"
    )
    options = parser.parse_args()
    kinds: dict[str, tuple[Callable[[int], WorldSetting], Live]] = {
        KOII_1.name: (draw_setting, live),
        ROUNDWORK_1.name: (sealed_strangers.draw_setting, sealed_strangers.live),
        LIFE: (life_strangers.draw_setting, life_strangers.live),
    }
    chosen = [options.rules] if options.rules else list(kinds)
    end, seed = time.monotonic() + options.seconds, options.seed
    while seed - options.seed < options.count if options.count else time.monotonic() < end:
        for rules in chosen:
            draw, lived = kinds[rules]
            if (text := lived(draw(seed), None)[0]) is not None:
                _show_broken(rules, draw(seed), lived, text)
                sys.exit(1)
        seed += 1
        if sys.stderr.isatty():
            print(f"\r{seed - options.seed} worlds", end="", file=sys.stderr)
    worlds = f"{seed - options.seed} worlds of {' and '.join(chosen)}"
    print(f"all invariants held in {worlds}, seeds {options.seed} to {seed - 1}")


def _show_broken(rules: str, setting: WorldSetting, live: Live, text: str) -> None:
    """What a world breaks, what is left of it when it is shrunk, and how to live it again."""
    small, messages, shrunk = shrink(setting, live)
    print(f"seed {setting.seed} under {rules}: {text}")
    roles = ", ".join(f"{node.name} ({node.role})" for node in small.list_present())
    print(f"shrunk to {roles}, {small.rounds} rounds, {len(messages)} messages: {shrunk}")
    for message in messages:
        print(f"  after slot {message.slot}, {message.sender}: {message.instruction}")
    print(f"again: python -m tests.sim.strangers --rules {rules} --seed {setting.seed} --count 1")


if __name__ == "__main__":
    main()
