"""Random worlds in which strangers found, change and end tasks, and every invariant checked after each block.

A seed says everything. `strangers.py` runs them for a time: python -m tests.sim.strangers --rules life
"""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

import msgspec

from roundwork.protocol.params import SYSTEM_PROGRAM, TASK_PROGRAM, TOKEN_PROGRAM, Key, NodeKey, TaskKey
from roundwork.protocol.tasks import instructions
from roundwork.sim.ledger import make_keypair
from roundwork.sim.life_laws import LifeLaws
from roundwork.sim.simulation import WorldSetting
from roundwork.sim.world import SimulatedNode, World

from . import strangers
from .strangers import Account, Message, Strangers, live_with
from .village import make_task

MESSAGES = 4
"""Messages about the life of tasks in each slot."""

WRONG_CHANCE = 0.6
"""How often the terms of a task are wrong in one place."""

UNPAID_CHANCE = 0.3
"""How often a successor pays nothing in a round, so that a task without money can have it."""

FOUNDING_CHANCE = 0.4
"""How often an account that pays founds a task."""

MAIN_END_CHANCE = 0.02
"""How often a message that may end a task is about the task whose rounds the nodes play."""

BOUNTY, MONEY = 5000, 10_000
"""Of the tasks that strangers found, and of the accounts that they create, in roe."""

TERMS: dict[str, Any] = {
    **dict.fromkeys(("name", "description", "audit_program", "executable_network", "metadata"), b"text"),
    "bounty_per_round": 1000,
    "round_time": 20,
    "submission_window": 8,
    "audit_window": 8,
    "minimum_stake": 1000,
    "locals": b"",
    "allowed_failed_distributions": 100,
}
SEALED_TERMS: dict[str, Any] = {
    **TERMS,
    "round_time": 60,
    "submission_window": 11,
    "audit_window": 48,
    "minimum_stake": 5_000_000,
    "locals": b"rules:roundwork-1",
    "allowed_failed_distributions": 3,
}

WRONG: tuple[dict[str, Any], ...] = (
    *({name: 0} for name in ("round_time", "submission_window", "audit_window", "minimum_stake")),
    *({name: 2**32 + 1} for name in ("round_time", "submission_window", "audit_window")),
    *({"round_time": 15}, {"bounty_per_round": BOUNTY + 1}, {"bounty_per_round": 2**62}),
    *({"minimum_stake": 999}, {"allowed_failed_distributions": 101}),
    *({"locals": text} for text in (b"rules:", b"rules:moon-1", b"rules:koii-10", b"\xff")),
    *({name: b"\xff"} for name in ("name", "description", "audit_program", "executable_network", "metadata")),
)
"""What is wrong in one place, as changes to terms of either rule set."""

WRONG_SEALED: tuple[dict[str, Any], ...] = (
    *({"submission_window": 10, "round_time": 100}, {"audit_window": 47}, {"round_time": 59}),
    *({"minimum_stake": 4_999_999}, {"allowed_failed_distributions": 4}),
    *(
        {"locals": b"rules:roundwork-1" + text}
        for text in (b" slash:9", b" slash:101", b" slash:010", b" split:stake slash:70", b"  ", b" split")
    ),
)
"""The same for `roundwork-1` alone."""


def draw_setting(seed: int) -> WorldSetting:
    """The setting of a random world: that of `strangers`, in which a block may pay few entries."""
    random = Random(f"life/{seed}")
    setting = strangers.draw_setting(seed)
    return msgspec.structs.replace(setting, settle_records_max=random.choice((1, 1, 20_000)))


class LifeStrangers(Strangers):
    """Sends messages about the life of tasks beside those about rounds. The law must refuse most of them."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(world, seed)
        self._life = Random(f"life strangers/{seed}")
        self._accounts = ["task"]
        """The names of the accounts that were created, or are tasks."""

    def send(self, count: int) -> None:
        """Send so many instructions about rounds, and others about the life of tasks."""
        super().send(count)
        if self._world.ledger.state.tasks.rows[self._world.task].settling:
            self._take_out()
        for _ in range(MESSAGES):
            sender = self._life.choice((*self._world.nodes, self._manager))
            match self._life.randrange(8):
                case 0 | 1:
                    self._found(sender)
                case 2:
                    self._update()
                case 3:
                    self._pay_from_account(sender)
                case 4:
                    self._end()
                case _:
                    self._inject(sender, self._draw_of_life(sender))

    def _note(self, sender: SimulatedNode, instruction: instructions.Instruction, *accounts: Account) -> None:
        self.sent.append(Message(self._world.slot, sender.name, instruction, "", accounts))
        self._inject_with(sender, instruction, accounts)

    # Founding

    def _draw_place(self) -> Account:
        """An account for a task: mostly a new one of the task program, sometimes another or a used one."""
        random, name = self._life, f"account-{len(self._accounts)}"
        kind = random.randrange(10)
        if kind == 0:
            return Account(name)
        if kind in (1, 2):
            return Account(random.choice(self._accounts))
        owner = random.choice((SYSTEM_PROGRAM, TOKEN_PROGRAM)) if kind == 3 else TASK_PROGRAM
        self._accounts.append(name)
        return Account(name, owner, random.choice((0, MONEY)))

    def _draw_terms(self) -> dict[str, Any]:
        """Terms of either rule set; mostly they are wrong in one place."""
        random = self._life
        terms, wrong = random.choice(((TERMS, WRONG), (SEALED_TERMS, (*WRONG, *WRONG_SEALED))))
        changes = random.choice(wrong) if random.random() < WRONG_CHANCE else {}
        return {**terms, **changes}

    def _found(self, sender: SimulatedNode, payer: Account | None = None) -> None:
        """Found a task, at the expense of the sender or of an account."""
        place = self._draw_place()
        create = instructions.CreateTask(
            payer=self._get_key(payer.name) if payer else bytes(sender.key),
            task=TaskKey(self._get_key(place.name)),
            pot=self._life.randbytes(32),
            total_bounty=2**60 if self._life.random() < 0.1 else BOUNTY,
            **self._draw_terms(),
        )
        signers = (place, payer) if payer and payer.name != place.name else (place,)
        self._note(sender, create, *signers)

    def _update(self) -> None:
        """Update a task, mostly in the name of its manager."""
        task, manager = self._draw_task_to_end()
        place, terms = self._draw_place(), self._draw_terms()
        if self._life.random() < UNPAID_CHANCE:
            terms["bounty_per_round"] = 0
        update = instructions.UpdateTask(
            payer=bytes(manager.key),
            task=task,
            pot=self._life.randbytes(32),
            successor=TaskKey(self._get_key(place.name)),
            successor_pot=self._life.randbytes(32),
            **terms,
        )
        self._note(manager, update, place)

    # Money and ends

    def _pay_from_account(self, sender: SimulatedNode) -> None:
        """Let an account pay that is a task, or of a program, or not a task yet."""
        account = Account(self._life.choice(self._accounts))
        if self._life.random() < FOUNDING_CHANCE:
            self._found(sender, account)
            return
        key, task = self._get_key(account.name), self._draw_task()
        amount = self._life.choice((0, 1, MONEY))
        pays: tuple[instructions.Instruction, ...] = (
            instructions.FundTask(task, key, bytes(32), amount),
            instructions.Stake(task, NodeKey(key), bytes(32), amount),
        )
        self._note(sender, self._life.choice(pays), account)

    def _take_out(self) -> None:
        """Take a stake and an available balance out, while a payout is worked off."""
        task, sender = self._world.task, self._life.choice((*self._world.nodes, self._manager))
        node = NodeKey(sender.key)
        self._inject(sender, instructions.Withdraw(task, node))
        self._inject(sender, instructions.Claim(task, node, bytes(32), node))

    def _end(self) -> None:
        """Close or switch a task, mostly in the name of its manager."""
        task, manager = self._draw_task_to_end()
        key = bytes(manager.key)
        ends: tuple[instructions.Instruction, ...] = (
            instructions.CloseTask(task, key, bytes(32)),
            instructions.SetActive(task, key, self._life.randint(0, 1)),
        )
        self._inject(manager, self._life.choice(ends))

    def _draw_task_to_end(self) -> tuple[TaskKey, SimulatedNode]:
        """A task and who is to end it. That of the nodes is ended seldom, or while it may not be."""
        random, rows, main = self._life, self._world.ledger.state.tasks.rows, self._world.task
        senders = {bytes(node.key): node for node in (*self._world.nodes, self._manager)}
        if rows[main].open_rounds and random.random() < 0.2:
            return main, self._manager
        others = [key for key in rows if key != main]
        if not others or random.random() < MAIN_END_CHANCE:
            return main, random.choice(list(senders.values()))
        task = random.choice(others)
        manager = senders.get(rows[task].manager, self._manager)
        return task, manager if random.random() < 0.7 else random.choice(list(senders.values()))

    def _draw_of_life(self, sender: SimulatedNode) -> instructions.Instruction:
        """A stake, a contribution or another message to a task, or to none."""
        random, node, task = self._life, NodeKey(sender.key), self._draw_task()
        round_number = self._draw_round()
        minimum = SEALED_TERMS["minimum_stake"]
        match random.randrange(8):
            case 0 | 1:
                amount = random.choice((0, 1, 1000, minimum - 1, minimum, 2**60))
                return instructions.Stake(task, node, bytes(32), amount)
            case 2:
                return instructions.FundTask(task, node, bytes(32), random.choice((0, 1, 2**60)))
            case 3:
                return instructions.Withdraw(task, node)
            case 4:
                return instructions.Claim(task, node, bytes(32), node)
            case 5:
                return instructions.Whitelist(task, node, random.randint(0, 1))
            case 6:
                return instructions.SubmitTask(task, node, b"x", round_number)
            case _:
                return self._draw_sealed(task, node, round_number)

    def _draw_sealed(self, task: TaskKey, node: NodeKey, round_number: int) -> instructions.Instruction:
        """An instruction that only `roundwork-1` has."""
        random = self._life
        return random.choice(
            (
                instructions.Commit(task, node, 0, round_number, bytes(32)),
                instructions.Reveal(task, node, 0, round_number, bytes(32), b"x"),
                instructions.Accuse(task, node, node, round_number),
                instructions.Challenge(task, node, node, round_number),
                instructions.Answer(task, node, node, round_number, 0, b"x"),
            )
        )

    def _draw_task(self) -> TaskKey:
        """A task, often that of the nodes, sometimes none."""
        random = self._life
        kind = random.randrange(10)
        if kind == 0:
            return TaskKey(random.randbytes(32))
        return self._world.task if kind < 4 else random.choice(list(self._world.ledger.state.tasks.rows))

    def _get_key(self, name: str) -> Key:
        return bytes(make_keypair(self._world.setting.seed, name).pubkey())


def live(
    setting: WorldSetting, messages: Sequence[Message] | None = None
) -> tuple[str | None, list[Message]]:
    """Live a world; what it breaks, None if all holds, and the messages of strangers.

    Without `messages`, some are drawn in each slot.
    """
    return live_with(partial(World, setting, make_task()), LifeLaws, LifeStrangers, messages, 1)
