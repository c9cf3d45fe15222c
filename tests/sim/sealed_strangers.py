"""Random worlds under roundwork-1 with hostile messages, and every invariant checked after each block.

A seed says everything: nodes, strategies, network, faults, messages. `strangers.py` runs them for a time:
python -m tests.sim.strangers --rules roundwork-1
"""

from collections.abc import Sequence
from functools import partial
from random import Random

import msgspec

from roundwork.package.content import compute_content_id
from roundwork.protocol.params import NodeKey
from roundwork.protocol.tasks import instructions
from roundwork.protocol.tasks.commitments import PIECE_BYTES, PIECES_MAX, SealKind, compute_commitment
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.instructions import CHUNK_BYTES
from roundwork.protocol.tasks.round import WINDOWS, Activity
from roundwork.sealed_strategies import ROLES, STRATEGIES, SealedMember, SealedStrategy
from roundwork.sim.faults import Faults, LedgerOutage, NodeCrash
from roundwork.sim.ledger import make_keypair
from roundwork.sim.network import NetworkModel
from roundwork.sim.sealed import SealedNode, SealedWorld
from roundwork.sim.sealed_attack import make_trial_task
from roundwork.sim.sealed_laws import RULES, SealedLaws
from roundwork.sim.simulation import NodeSetting, WorldSetting
from roundwork.sim.world import fit_bounty

from .sealed_village import STAKE, TERMS
from .strangers import MESSAGES, Message, draw_more_faults, live_with

PLAYED = {**{name: play for name, play in STRATEGIES.items() if not play.is_split}, **ROLES}
"""The strategies of a world's nodes. Some nodes are of a coalition."""

TAKEN = (
    *(Activity.COMMIT, Activity.REVEAL, Activity.CHALLENGE, Activity.ANSWER, Activity.CHECK, Activity.ACCUSE),
    *(
        Activity.JUDGE,
        Activity.DISCLOSE,
        Activity.LIST,
        Activity.ACCUSE_LIST,
        Activity.VOTE_LIST,
        Activity.PAY,
    ),
)
"""The activities whose windows take messages."""

TIMELY_CHANCE = 0.8
"""How often a message is for a window that is open."""

FITTING_CHANCE = 0.7
"""How often a message is about a node for which it has a meaning."""

NOWHERE = compute_content_id(b"a proof that no node has")
CONTENT_ID_BYTES = len(NOWHERE)

ROUNDS_BACK, ATTEMPTS_MAX = 5, 3
HONEST_CHANCE = 0.5
LATEST_SLOT = 240


def draw_setting(seed: int) -> WorldSetting:
    """The setting of a random world."""
    random = Random(f"sealed/{seed}")
    rounds = random.randint(1, 3)
    names = [f"node-{at + 1}" for at in range(random.randint(2, 8))]
    cheat = random.choice(sorted(PLAYED))
    members = tuple(name for name in names if random.random() > HONEST_CHANCE)
    nodes = tuple(
        NodeSetting(
            name=name,
            role=cheat if name in members else "honest",
            stake=random.choice((STAKE, STAKE, 10 * STAKE)),
            coalition=members if name in members else (),
        )
        for name in names
    )
    terms = msgspec.structs.replace(
        fit_bounty(TERMS, rounds),
        allowed_failed_distributions=random.randint(0, 2),
        is_split_by_stake=random.random() < 0.5,
        slash_percent=random.choice((10, 70, 100)),
    )
    if random.random() < 0.2:  # a bounty that ends
        terms = msgspec.structs.replace(terms, total_bounty=terms.bounty_per_round * rounds)
    network = NetworkModel()
    if random.random() < 0.5:
        network = NetworkModel(
            delay_slots_max=random.randint(1, 4),
            loss_percent=random.choice((0, 20)),
            duplicate_percent=random.choice((0, 20)),
        )
    crash = NodeCrash(
        random.choice(names), random.randint(2, LATEST_SLOT), random.randint(1, 60), random.random() < 0.5
    )
    outage = LedgerOutage(random.randint(2, LATEST_SLOT), random.randint(1, 30))
    faults = Faults(
        crashes=(crash,) if random.random() < 0.5 else (),
        outages=(outage,) if random.random() < 0.3 else (),
        **draw_more_faults(seed, names),
    )
    return WorldSetting(
        terms=terms,
        nodes=nodes,
        rounds=rounds,
        seed=seed,
        network=network,
        faults=faults,
        are_signatures_real=False,
    )


class SealedStrangers:
    """Sends random instructions in the name of nodes and of a stranger. The law must refuse most of them."""

    def __init__(self, world: SealedWorld, seed: int) -> None:
        self._random = Random(f"sealed strangers/{seed}")
        self._world = world
        self.sent: list[Message] = []
        self._sealed: dict[tuple[str, int, int], tuple[bytes, bytes]] = {}
        """The salts and payloads that were committed here, by sender, round and kind."""
        # The producer has money for fees, and no stake.
        keypair = make_keypair(world.setting.seed, "producer")
        address = str(keypair.pubkey())
        self._stranger = SealedNode(
            NodeSetting(name="stranger", stake=0),
            keypair,
            address,
            world.nodes[0].functions,
            SealedMember(address, (), seed),
            STRATEGIES["honest"](),
        )

    def send(self, count: int) -> None:
        """Send so many messages, and note them."""
        for _ in range(count):
            sender = self._random.choice([*self._world.nodes, self._stranger])
            for instruction in self._draw(sender):
                self._inject(sender, instruction)

    def repeat(self, messages: Sequence[Message]) -> None:
        """Send those of the messages that belong to the present slot."""
        senders = {node.name: node for node in (*self._world.nodes, self._stranger)}
        for message in messages:
            if message.slot == self._world.slot and message.sender in senders:
                self._world.inject(senders[message.sender], message.instruction)

    def _inject(self, sender: SealedNode, instruction: instructions.Instruction) -> None:
        self.sent.append(Message(self._world.slot, sender.name, instruction))
        self._world.inject(sender, instruction)

    def _draw_round(self) -> int:
        """A round that is under way, or was a little before."""
        ledger_round = self._world.timetable.compute_round(self._world.slot)
        return max(ledger_round - self._random.choice((0, 1, 1, 1, 2, 2, 3, 4)), 0)

    def _draw(self, sender: SealedNode) -> list[instructions.Instruction]:
        """Mostly what a window that is open takes; sometimes anything."""
        open_ = self._list_open()
        if open_ and self._random.random() < TIMELY_CHANCE:
            return self._draw_for(sender, *self._random.choice(open_))
        activity = self._random.choice((*TAKEN, None))
        return self._draw_for(sender, activity, self._draw_round())

    def _list_open(self) -> list[tuple[Activity, int]]:
        """What rounds take in the next slot."""
        world = self._world
        newest = world.timetable.compute_round(world.slot)
        return [
            (activity, round_number)
            for round_number in range(max(newest - ROUNDS_BACK, 0), newest + 1)
            for activity in TAKEN
            for attempt in range(ATTEMPTS_MAX)
            if WINDOWS[RULES][activity].is_open(world.timetable, world.slot + 1, round_number, attempt)
        ]

    def _draw_for(
        self, sender: SealedNode, activity: Activity | None, round_number: int
    ) -> list[instructions.Instruction]:
        """Something that a window of a round takes; without a window, what the other rule set has."""
        random, task, node = self._random, self._world.task, sender.key
        candidate = self._draw_candidate(sender, activity, round_number)
        match activity:
            case Activity.COMMIT:
                return [self._draw_commitment(sender, SealKind.SUBMISSION, round_number)]
            case Activity.CHECK:
                return [self._draw_commitment(sender, SealKind.RECEIPT, round_number)]
            case Activity.JUDGE:
                return [self._draw_commitment(sender, SealKind.VOTES, round_number)]
            case Activity.REVEAL:
                return [self._draw_reveal(sender, SealKind.SUBMISSION, round_number)]
            case Activity.DISCLOSE:
                kind = random.choice((SealKind.RECEIPT, SealKind.VOTES))
                return [self._draw_reveal(sender, kind, round_number)]
            case Activity.CHALLENGE:
                return [instructions.Challenge(task, node, candidate, round_number)]
            case Activity.ANSWER:
                return self._draw_answers(node, candidate, round_number)
            case Activity.ACCUSE:
                return self._draw_accusations(node, candidate, round_number)
            case Activity.LIST:
                return self._draw_list(node, round_number)
            case Activity.ACCUSE_LIST | Activity.VOTE_LIST:
                is_valid = random.randint(0, 1)
                return [instructions.AuditDistribution(task, node, candidate, is_valid, round_number)]
            case Activity.PAY:
                return [self._draw_of_money(node)]
            case _:
                value = random.choice((b"x", b"", b"y" * 512))
                other = instructions.AuditSubmission(task, node, candidate, 0, round_number)
                unknown = instructions.Commit(task, node, max(SealKind) + 1, round_number, bytes(32))
                submit = instructions.SubmitTask(task, node, value, round_number)
                return [random.choice((submit, other, unknown))]

    def _draw_reveal(self, sender: SealedNode, kind: SealKind, round_number: int) -> instructions.Reveal:
        salt, payload = self._sealed.get((sender.name, round_number, kind), (bytes(32), b"x"))
        payload = self._random.choice((payload, payload, payload, payload + b"\0", b""))
        return instructions.Reveal(self._world.task, sender.key, kind, round_number, salt, payload)

    def _look(self, round_number: int) -> RoundCursor:
        return RoundCursor(self._world.ledger.state, self._world.task, round_number)

    def _draw_candidate(self, sender: SealedNode, activity: Activity | None, round_number: int) -> NodeKey:
        """Of opinions of a list mostly the node that handed it in; of a posted proof often a missing one."""
        random, cursor = self._random, self._look(round_number)
        fitting: list[NodeKey] = []
        if activity in (Activity.ACCUSE_LIST, Activity.VOTE_LIST):
            fitting = [listed.submitter for listed in cursor.lists.rows.values()]
        elif activity is Activity.ACCUSE:
            fitting = sorted(cursor.verdicts.rows)
        if fitting and random.random() < FITTING_CHANCE:
            return random.choice(fitting)
        nodes = [node.key for node in self._world.nodes]
        return random.choice((*nodes, sender.key, NodeKey(random.randbytes(32))))

    def _draw_commitment(self, sender: SealedNode, kind: SealKind, round_number: int) -> instructions.Commit:
        random, world = self._random, self._world
        named = random.choice(["garbage", NOWHERE, *sorted(world.commons.blobs)])
        payload = named.encode() if kind == SealKind.SUBMISSION else bytes([random.randrange(256)])
        salt = random.randbytes(32)
        self._sealed.setdefault((sender.name, round_number, kind), (salt, payload))
        genesis_hash = world.ledger.state.genesis_hash
        digest = compute_commitment(genesis_hash, world.task, round_number, kind, sender.key, salt, payload)
        return instructions.Commit(world.task, sender.key, kind, round_number, digest)

    def _draw_answers(
        self, node: NodeKey, candidate: NodeKey, round_number: int
    ) -> list[instructions.Instruction]:
        """Pieces of a proof that there is, or of none; one of them may be wrong or lacking."""
        random, blobs = self._random, self._world.commons.blobs
        proof = random.choice([b"garbage", *(blobs[name] for name in sorted(blobs))])
        pieces = [proof[at : at + PIECE_BYTES] for at in range(0, len(proof), PIECE_BYTES)]
        chunks = list(enumerate(pieces))
        if random.random() < 0.3:
            chunks = [
                (random.choice((0, 1, PIECES_MAX, 2**16 - 1)), random.choice((b"", b"z" * PIECE_BYTES)))
            ]
        random.shuffle(chunks)
        return [
            instructions.Answer(self._world.task, node, candidate, round_number, chunk, data)
            for chunk, data in chunks
        ]

    def _draw_accusations(
        self, node: NodeKey, candidate: NodeKey, round_number: int
    ) -> list[instructions.Instruction]:
        """An accusation, pieces of a proof, or all proofs with an accusation of each submission."""
        task, cursor = self._world.task, self._look(round_number)
        match self._random.randrange(3):
            case 0:
                return [instructions.Accuse(task, node, candidate, round_number)]
            case 1:
                return self._draw_answers(node, candidate, round_number)
            case _:
                sent: list[instructions.Instruction] = []
                for accused, submission in sorted(cursor.submissions.rows.items()):
                    proof = self._world.commons.blobs.get(submission.value[:CONTENT_ID_BYTES].decode(), b"")
                    if proof:
                        sent += [instructions.Answer(task, node, accused, round_number, 0, proof)]
                    sent += [instructions.Accuse(task, node, accused, round_number)]
                return sent

    def _draw_amounts(self, round_number: int) -> list[int]:
        """The amounts of a list: as they should be, or in another way."""
        random, world, cursor = self._random, self._world, self._look(round_number)
        bounty, nodes = world.setting.terms.bounty_per_round, sorted(cursor.submissions.rows)
        match random.randrange(4):
            case 0 | 1:
                bad = {node for node, each in cursor.verdicts.rows.items() if each.votes <= 0}
                return [0 if node in bad else bounty // len(nodes) for node in nodes]
            case 2:
                return [1] * len(nodes)
            case _:
                count = random.choice((len(nodes), len(nodes), 0, 1, 63))
                return [random.choice((0, 1, bounty // 4, bounty, 2**64 - 1)) for _ in range(count)]

    def _draw_list(self, node: NodeKey, round_number: int) -> list[instructions.Instruction]:
        random, world = self._random, self._world
        amounts = self._draw_amounts(round_number)
        data = b"".join(amount.to_bytes(8, "little") for amount in amounts)
        chunk = random.choice((0, 0, 0, 1, 9000))
        upload = instructions.UploadDistributionList(
            world.task, node, chunk, len(data), data.ljust(CHUNK_BYTES, b"\0"), round_number
        )
        return [upload, instructions.SubmitDistributionList(world.task, node, node, round_number)]

    def _draw_of_money(self, node: NodeKey) -> instructions.Instruction:
        random, world = self._random, self._world
        task, pot = world.task, world.ledger.state.tasks.rows[world.task].pot
        return random.choice(
            (
                instructions.Withdraw(task, node),
                instructions.Claim(task, node, pot, node),
                instructions.Stake(task, node, pot, random.choice((0, 1, STAKE))),
                instructions.FundTask(task, node, pot, random.choice((0, 1))),
                instructions.Payout(task, self._draw_round()),
            )
        )


def live(
    setting: WorldSetting, messages: Sequence[Message] | None = None
) -> tuple[str | None, list[Message]]:
    """Live a world; what it breaks, None if all holds, and the messages of strangers.

    Without `messages`, some are drawn in each slot.
    """
    strategies: dict[str, SealedStrategy] = {node.name: PLAYED[node.role]() for node in setting.nodes}
    make_world = partial(SealedWorld, setting, make_trial_task(), strategies=strategies)
    return live_with(make_world, SealedLaws, SealedStrangers, messages, MESSAGES)
