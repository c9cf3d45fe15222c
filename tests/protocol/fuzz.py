"""Signed transactions without end: near what would be accepted, then bent; and what holds whatever they are.

`python -m tests.protocol.fuzz --count 1000000 --seed 1` prints how often each instruction was accepted or
refused, and how often each rule refused something. One seed gives one run. Worlds are short, and so is what
leads to a failure.
"""

import argparse
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import msgspec
from solders.keypair import Keypair

from roundwork.errors import Undecodable
from roundwork.protocol.addresses import compute_pot_seed, find_associated, find_authority
from roundwork.protocol.clock import Phase
from roundwork.protocol.execute import HARDENED, Kind, Outcome, execute, next_block
from roundwork.protocol.genesis import create_state
from roundwork.protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    ED25519_PROGRAM,
    KPL_PROGRAM,
    LOOKUP_PROGRAM,
    MEMO_PROGRAMS,
    SYSTEM_PROGRAM,
    SYSVAR_RECENT_BLOCKHASHES,
    SYSVAR_RENT,
    TASK_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_MINT,
    Genesis,
    Grant,
    base58_of,
)
from roundwork.protocol.programs.lookups import ACTIVE, decode_table, find_table
from roundwork.protocol.programs.nonces import get_nonce
from roundwork.protocol.programs.token_records import decode_account, decode_mint, decode_multisig
from roundwork.protocol.rules import RULES
from roundwork.protocol.state import State, TableChange
from roundwork.protocol.table import PROGRAMS
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.ticks import get_newest_tick
from roundwork.protocol.transaction import decode_transaction, is_signed

from .world import check_invariants, compute_phase

Key = Any
"""An address in any role: here a task may stand for a node, and a node for a task."""

WORLD_TRANSACTIONS = 1500
"""Transactions of one world."""

DUE = (b"T", b"R", b"D", b"Q")
"""Tables that what falls due may change without an event: a beacon is fixed, a payout joins the queue."""

FOUNDING_BLOCKS = 6
"""Blocks in which a world gets its mints, tasks and stakes."""

HARDENED_SECTION = 15
"""From this section of the text on the rules are those of roundwork-1."""

EXTREMES = (0, 1, 2, 999, 1000, 5000, 2**32, 2**63 - 1, 2**63, 2**64 - 1)

_INITIALIZING = (0, 1, 2, 16, 18, 19, 20)
"""Instructions of the token program that make a mint, an account or a multisig."""

NUMBER_BYTES = {SYSTEM_PROGRAM: 4, LOOKUP_PROGRAM: 4}

NAMES = {
    SYSTEM_PROGRAM: "system",
    LOOKUP_PROGRAM: "lookup",
    TOKEN_PROGRAM: "token",
    ASSOCIATED_TOKEN_PROGRAM: "associated",
    TASK_PROGRAM: "task",
    KPL_PROGRAM: "KPL",
    ED25519_PROGRAM: "ed25519",
    **dict.fromkeys(MEMO_PROGRAMS, "memo"),
}


class Role(NamedTuple):
    """An account of an instruction."""

    key: Key
    signs: bool = False
    is_writable: bool = True


class Ask(NamedTuple):
    """An instruction before it lies in a message."""

    program: Key
    roles: tuple[Role, ...]
    data: bytes


class Tally:
    """What was seen: instructions accepted and refused, rules that refused, kinds of receipts."""

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.kinds: Counter[int] = Counter()

    def add(self, other: "Tally") -> None:
        self.accepted += other.accepted
        self.refused += other.refused
        self.rules += other.rules
        self.kinds += other.kinds

    @property
    def count(self) -> int:
        return sum(self.kinds.values())


# Which rule refused


def _template(*args: Any, **names: Any) -> Any:
    return __import__("sys").modules["tests.protocol.fuzz"].call_check("NUMBER", args, names)


_originals: dict[str, FunctionType] = {}
_refusals: Counter[str] = Counter()


def call_check(number: str, args: tuple[Any, ...], names: dict[str, Any]) -> Any:
    """The check of a rule; if it refuses, that is counted."""
    try:
        return _originals[number](*args, **names)
    except Exception:
        _refusals[number] += 1
        raise


def count_refusals() -> Counter[str]:
    """From now on count, by rule, what is refused. The counter is cleared."""
    for number, rule in RULES.items():
        check = rule.check
        if number not in _originals:
            assert isinstance(check, FunctionType)
            copy = FunctionType(check.__code__, check.__globals__, check.__name__, check.__defaults__)
            copy.__kwdefaults__ = check.__kwdefaults__
            _originals[number] = copy
        check.__code__ = _name(_template.__code__, number)
    _refusals.clear()
    return _refusals


def stop_counting() -> None:
    """Let the checks be what they were."""
    for number, original in _originals.items():
        RULES[number].check.__code__ = original.__code__


def _name(code: CodeType, number: str) -> CodeType:
    consts = tuple(number if each == "NUMBER" else each for each in code.co_consts)
    return code.replace(co_consts=consts)


# A world


def make_keypair(name: str) -> Keypair:
    return Keypair.from_seed(sha256(name.encode()).digest())


class Fuzz:
    """One world: its state, its people, and what they may say next."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.pairs: dict[Key, Keypair] = {}
        self.people = [self._person(f"person {at}") for at in range(8)]
        self.is_jumpy = self.chance(0.25)
        """Whether this world's time often leaps, so that rounds and tables come to their ends."""
        self.lister = self._person("lister")
        self.producer = self._person("producer")
        self.poor = self._person("poor")
        self.pool = [self._person(f"account {at}") for at in range(70)]
        grants = [Grant(base58_of(key), 10**13) for key in self.people]
        self.genesis = Genesis(
            time_ms=0,
            kind=self.random.choice(("development", "production")),
            fee_per_signature=self.random.choice((0, 7, 5000)),
            settle_records_max=self.random.choice((1, 3, 20_000)),
            list_chunks_max=self.random.choice((3, 8192)),
            gap_slots_max=100 if self.is_jumpy else 2,
            producer=base58_of(self.producer),
            allowlister=base58_of(self.lister),
            accounts=(*grants, Grant(base58_of(self.lister), 10**10), Grant(base58_of(self.poor), 3)),
        )
        self.state = create_state(self.genesis)
        self.supply = sum(grant.balance for grant in self.genesis.accounts)
        self.blocks: list[tuple[Any, list[bool], Outcome]] = []
        self.sent: list[bytes] = []
        self.tasks: dict[Key, Key] = {}
        """Tasks that may be there, with their pots."""
        self.tables: list[Key] = []
        self.seeded: list[tuple[Key, Key, bytes, Key]] = []
        self._fresh = 0
        self._kinds: dict[str, list[Key]] = {}

    def _person(self, name: str) -> Key:
        pair = make_keypair(name)
        key = bytes(pair.pubkey())
        self.pairs[key] = pair
        return key

    # Choosing

    def chance(self, part: float) -> bool:
        return self.random.random() < part

    def number(self, usual: int) -> int:
        """A number: mostly the usual one."""
        return usual if self.chance(0.9) else self.random.choice(EXTREMES)

    def amount(self) -> int:
        return self.number(self.random.choice((1, 50, 1000, 5000, 10**6)))

    def person(self) -> Key:
        return self.random.choice(self.people)

    def vacant(self) -> Key:
        """A key that nothing lies at yet, mostly."""
        key = self.random.choice(self.pool)
        for _ in range(4):
            if key not in self.state.accounts.rows:
                break
            key = self.random.choice(self.pool)
        return key

    def look(self) -> None:
        """Sort what lies in the state, for those who choose from it."""
        kinds: dict[str, list[Key]] = {
            "mint": [], "holder": [], "multisig": [], "blank82": [], "blank165": [], "blank355": [],
            "nonce": [], "blank80": [], "plain": [], "task account": [], "other": [], "frozen": [],
            "native": [],
        }  # fmt: skip
        for key, account in self.state.accounts.rows.items():
            kinds[self._classify(key, account)].append(key)
        self._kinds = kinds

    def _classify(self, key: Key, account: Any) -> str:
        if account.owner == TOKEN_PROGRAM and account.space in (82, 165, 355):
            data = account.data.ljust(account.space, b"\0")
            held = decode_account(data)
            if held is not None:
                return "frozen" if held.is_frozen else "native" if held.reserve is not None else "holder"
            if decode_mint(data):
                return "mint"
            return "multisig" if decode_multisig(data) else f"blank{account.space}"
        if account.owner == SYSTEM_PROGRAM:
            if account.space == 80:
                return "nonce" if account.data else "blank80"
            return "plain" if not account.space else "other"
        return "task account" if account.owner in (TASK_PROGRAM, KPL_PROGRAM) else "other"

    def of(self, *kinds: str) -> Key:
        """An account of one of these kinds; now and then of any."""
        if self.chance(0.06):
            kinds = (self.random.choice(list(self._kinds)),)
        found_keys = [key for kind in kinds for key in self._kinds.get(kind, ())]
        return self.random.choice(found_keys) if found_keys else self.random.choice(self.pool)

    # What may be asked: system

    def ask_system(self) -> Ask:
        number = self.random.choice((0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
        head = number.to_bytes(4, "little")
        act: Callable[[bytes], Ask] = getattr(self, f"_system_{number}")
        return act(head)

    def _system(self, data: bytes, *roles: Role) -> Ask:
        return Ask(SYSTEM_PROGRAM, roles, data)

    def _owner(self) -> Key:
        return self.random.choice(
            (SYSTEM_PROGRAM, TASK_PROGRAM, KPL_PROGRAM, TOKEN_PROGRAM, LOOKUP_PROGRAM, self.person())
        )

    def _space(self) -> int:
        return self.random.choice(
            (0, 80, 82, 165, 355, 10 * 1024 * 1024, 10 * 1024 * 1024 + 1, 60_000_000, 56)
        )

    def _system_0(self, head: bytes) -> Ask:
        size, owner = self.random.choice(
            ((82, TOKEN_PROGRAM), (165, TOKEN_PROGRAM), (165, TOKEN_PROGRAM), (355, TOKEN_PROGRAM),
             (80, SYSTEM_PROGRAM), (1000, TASK_PROGRAM), (1000, KPL_PROGRAM), (self._space(), self._owner()))
        )  # fmt: skip
        data = head + struct.pack("<QQ", self.amount(), size) + owner
        return self._system(data, Role(self.person(), True), Role(self.vacant(), True))

    def _system_1(self, head: bytes) -> Ask:
        key = self.of("plain", "blank80", "other", "nonce")
        return self._system(head + self._owner(), Role(key, self.chance(0.9)))

    def _system_2(self, head: bytes) -> Ask:
        target = self.random.choice(
            (self.person(), self.vacant(), self.of("native", "holder", "task account", "nonce"))
        )
        source = self.person() if self.chance(0.9) else self.of("nonce", "task account", "plain")
        return self._system(head + struct.pack("<Q", self.amount()), Role(source, True), Role(target))

    def _seed(self) -> tuple[Key, bytes, Key, Key]:
        """Base, seed, owner, and the address that follows."""
        if self.seeded and self.chance(0.5):
            address, base, seed, owner = self.random.choice(self.seeded)
            return base, seed, owner, address
        base = self.person()
        seed = bytes(self.random.randrange(97, 123) for _ in range(self.random.choice((1, 5, 32, 33))))
        owner = self._owner() if self.chance(0.9) else bytes(11) + b"ProgramDerivedAddress"
        address = sha256(base + seed + owner).digest()
        self.seeded.append((address, base, seed, owner))
        return base, seed, owner, address if self.chance(0.95) else self.vacant()

    def _system_3(self, head: bytes) -> Ask:
        base, seed, owner, address = self._seed()
        data = head + base + struct.pack("<Q", len(seed)) + seed
        data += struct.pack("<QQ", self.amount(), self.random.choice((0, 0, 80, 165, self._space()))) + owner
        return self._system(data, Role(self.person(), True), Role(address), Role(base, self.chance(0.95)))

    def _authority(self, key: Key) -> Key:
        nonce = get_nonce(self.state, key)
        return nonce.authority if nonce and self.chance(0.9) else self.person()

    def _system_4(self, head: bytes) -> Ask:
        key = self.of("nonce")
        sysvar = SYSVAR_RECENT_BLOCKHASHES if self.chance(0.97) else SYSVAR_RENT
        return self._system(
            head, Role(key), Role(sysvar, False, False), Role(self._authority(key), True, False)
        )

    def _system_5(self, head: bytes) -> Ask:
        key = self.of("nonce", "nonce", "blank80")
        account = self.state.accounts.rows.get(key)
        usual = account.balance if account and self.chance(0.4) else 3
        return self._system(
            head + struct.pack("<Q", self.number(usual)), Role(key, self.chance(0.3)), Role(self.person()),
            Role(SYSVAR_RECENT_BLOCKHASHES, False, False), Role(SYSVAR_RENT, False, False),
            Role(self._authority(key), True),
        )  # fmt: skip

    def _system_6(self, head: bytes) -> Ask:
        return self._system(
            head + self.person(), Role(self.of("blank80")), Role(SYSVAR_RECENT_BLOCKHASHES, False, False),
            Role(SYSVAR_RENT, False, False),
        )  # fmt: skip

    def _system_7(self, head: bytes) -> Ask:
        key = self.of("nonce")
        return self._system(head + self.person(), Role(key), Role(self._authority(key), True))

    def _system_8(self, head: bytes) -> Ask:
        key = self.vacant() if self.chance(0.7) else self.of("plain", "other")
        return self._system(head + struct.pack("<Q", self._space()), Role(key, True))

    def _system_9(self, head: bytes) -> Ask:
        base, seed, owner, address = self._seed()
        data = head + base + struct.pack("<Q", len(seed)) + seed + struct.pack("<Q", self._space()) + owner
        return self._system(data, Role(address), Role(base, self.chance(0.95)))

    def _system_10(self, head: bytes) -> Ask:
        base, seed, owner, address = self._seed()
        data = head + base + struct.pack("<Q", len(seed)) + seed + owner
        return self._system(data, Role(address), Role(base, self.chance(0.95)))

    def _system_11(self, head: bytes) -> Ask:
        base, seed, owner, address = self._seed()
        data = (
            head + struct.pack("<QQ", self.random.choice((0, 1, 3, self.amount())), len(seed)) + seed + owner
        )
        return self._system(data, Role(address), Role(base, self.chance(0.95)), Role(self.person()))

    # Lookup tables

    def ask_lookup(self) -> Ask:
        tables = [key for key in self.tables if key in self.state.accounts.rows]
        number = self.random.choice((0, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4)) if tables else 0
        if number in (1, 3) and len(tables) < 2:
            number = 2
        head = number.to_bytes(4, "little")
        slot = self.state.head.slot
        if number == 0:
            authority = self.person()
            recent = (
                max(0, slot - self.random.choice((0, 1, 2, 5))) if self.chance(0.9) else self.number(slot + 9)
            )
            for bump in range(255, 240, -1):
                key = find_table(authority, recent % 2**64, bump)
                if key is not None:
                    break
            key = key or self.vacant()
            self.tables.append(key)
            data = head + struct.pack("<QB", recent % 2**64, bump)
            roles = (
                Role(key),
                Role(authority),
                Role(self.person(), True),
                Role(SYSTEM_PROGRAM, False, False),
            )
            return Ask(LOOKUP_PROGRAM, roles, data)
        ended = [key for key in tables if not self._is_active(key)]
        if number == 4 and not ended:
            number, head = 3, b"\3\0\0\0"
        others = tables[1:] if number in (1, 3) else tables
        key = self.random.choice(ended if number == 4 and ended else others or tables)
        if number == 2 and self.chance(0.5):
            key = tables[0]  # so that one is filled
        if self.chance(0.06):
            key = self.of("other")
        account = self.state.accounts.rows.get(key)
        table = decode_table(account) if account and account.owner == LOOKUP_PROGRAM else None
        authority = table.authority if table and table.authority and self.chance(0.9) else self.person()
        more: list[Role] = []
        data = head
        if number == 2:  # extend
            count = self.random.choice((1, 2, 20, 24))
            keys = self.random.choices([*self.people, *self.pool, *self.tasks], k=count)
            data += struct.pack("<Q", count) + b"".join(keys)
            if self.chance(0.9):
                more = [Role(self.person(), True), Role(SYSTEM_PROGRAM, False, False)]
        if number == 4:
            more = [Role(self.person() if self.chance(0.7) else key)]
        return Ask(LOOKUP_PROGRAM, (Role(key), Role(authority, True), *more), data)

    def _is_active(self, key: Key) -> bool:
        account = self.state.accounts.rows[key]
        table = decode_table(account) if account.owner == LOOKUP_PROGRAM else None
        return table is None or table.deactivated == ACTIVE

    # Tokens

    def ask_token(self) -> Ask:
        return self._build_token(self.random.choice((*range(25), 0, 3, 7, 9, 12, 18, 18)))

    def _held(self, key: Key) -> Any:
        account = self.state.accounts.rows.get(key)
        if account is None or account.owner != TOKEN_PROGRAM:
            return None
        data = account.data.ljust(min(account.space, 400), b"\0")
        return decode_account(data) or decode_mint(data)

    def _signer(self, authority: Key | None) -> tuple[Role, ...]:
        """Who disposes: the authority, or the signers of a multisig behind it."""
        if authority is None or self.chance(0.08):
            authority = self.person()
        account = self.state.accounts.rows.get(authority)
        multisig = (
            decode_multisig(account.data.ljust(355, b"\0")) if account and account.space == 355 else None
        )
        if multisig is None:
            return (Role(authority, self.chance(0.97), False),)
        some = [key for key in multisig.signers if key in self.pairs][: multisig.needed]
        return (Role(authority, False, False), *(Role(key, True, False) for key in some))

    def _build_token(self, number: int) -> Ask:
        head = bytes([number])
        mint = self.of("mint") if self.chance(0.8) else WRAPPED_MINT
        if number in _INITIALIZING:
            return self._initialize(number, head, mint)
        source = self.of("holder", "holder", "native", "frozen")
        held = self._held(source)
        own_mint = held.mint if held is not None and hasattr(held, "mint") and self.chance(0.95) else mint
        holder: Key | None = getattr(held, "owner", None)
        if held is not None and getattr(held, "delegate", None) and self.chance(0.3):
            holder = held.delegate
        minted = self._held(own_mint)
        decimals = bytes([getattr(minted, "decimals", 2) if self.chance(0.95) else 3])
        amount = struct.pack("<Q", self.random.choice((0, 1, 5, 100, self.amount())))
        target = self._choose_target(own_mint)
        minter = getattr(minted, "authority", None)
        freezing: Key | None = getattr(minted, "freezer", None)
        who = self._signer(holder)
        match number:
            case 3:
                return Ask(TOKEN_PROGRAM, (Role(source), Role(target), *who), head + amount)
            case 4:
                return Ask(TOKEN_PROGRAM, (Role(source), Role(self.person()), *who), head + amount)
            case 5:
                return Ask(TOKEN_PROGRAM, (Role(source), *who), head)
            case 6:
                return self._set_authority(head, source, own_mint, holder, minter, freezing)
            case 7:
                return Ask(
                    TOKEN_PROGRAM, (Role(own_mint), Role(source), *self._signer(minter)), head + amount
                )
            case 8:
                return Ask(TOKEN_PROGRAM, (Role(source), Role(own_mint), *who), head + amount)
            case 9:
                who = self._signer(getattr(held, "closer", None) or holder)
                target = self.person() if self.chance(0.9) else source
                return Ask(TOKEN_PROGRAM, (Role(source), Role(target), *who), head)
            case 10 | 11:
                key = self.of("frozen") if number == 11 and self.chance(0.8) else source
                key_mint = getattr(self._held(key), "mint", own_mint)
                freezing = getattr(self._held(key_mint), "freezer", None)
                return Ask(TOKEN_PROGRAM, (Role(key), Role(key_mint), *self._signer(freezing)), head)
            case 12:
                asked = (Role(source), Role(own_mint), Role(target), *who)
                return Ask(TOKEN_PROGRAM, asked, head + amount + decimals)
            case 13:
                asked = (Role(source), Role(own_mint), Role(self.person()), *who)
                return Ask(TOKEN_PROGRAM, asked, head + amount + decimals)
            case 14:
                asked = (Role(own_mint), Role(source), *self._signer(minter))
                return Ask(TOKEN_PROGRAM, asked, head + amount + decimals)
            case 15:
                return Ask(TOKEN_PROGRAM, (Role(source), Role(own_mint), *who), head + amount + decimals)
            case 17:
                key = self.of("native") if self.chance(0.8) else source
                return Ask(TOKEN_PROGRAM, (Role(key),), head)
            case 23:
                return Ask(TOKEN_PROGRAM, (Role(mint),), head + amount)
            case 24:
                text = self.random.choice(
                    (b"1", b"0.5", b"12.", b".07", b"1.2.3", b"", b"99999999999999999999")
                )
                return Ask(TOKEN_PROGRAM, (Role(mint),), head + text)
            case _:
                return Ask(TOKEN_PROGRAM, (Role(mint),), head)

    def _initialize(self, number: int, head: bytes, mint: Key) -> Ask:
        """Make a mint, an account or a multisig."""
        if number in (0, 20):
            freezer = self.random.choice((b"\0", b"\1" + self.person(), b"\1" + self.person()))
            owner = self.of("multisig") if self.chance(0.15) else self.person()
            data = head + bytes([self.random.choice((0, 2, 9, 200))]) + owner + freezer
            return Ask(TOKEN_PROGRAM, (Role(self.of("blank82")), Role(SYSVAR_RENT, False, False)), data)
        if number in (1, 16, 18):
            owner = self.of("multisig") if self.chance(0.1) else self.person()
            roles = [Role(self.of("blank165")), Role(mint)]
            if number == 1:
                roles.append(Role(owner))
            return Ask(TOKEN_PROGRAM, (*roles, Role(SYSVAR_RENT)), head + (b"" if number == 1 else owner))
        count = self.random.choice((1, 2, 3, 11)) if self.chance(0.9) else self.random.choice((0, 12))
        signers = [Role(self.person(), False, False) for _ in range(count)]
        rent = [Role(SYSVAR_RENT, False, False)] if number == 2 else []
        data = head + bytes([self.number(min(count, 2)) % 256])
        return Ask(TOKEN_PROGRAM, (Role(self.of("blank355")), *rent, *signers), data)

    def _choose_target(self, mint: Key) -> Key:
        """An account to pay to, mostly of the same mint."""
        peers = [
            key
            for key in (*self._kinds["holder"], *self._kinds["native"], *self._kinds["frozen"])
            if getattr(self._held(key), "mint", None) == mint
        ]
        return self.random.choice(peers) if peers and self.chance(0.95) else self.of("holder", "native")

    def _set_authority(
        self, head: bytes, source: Key, mint: Key, owner: Key | None, minter: Key | None, freezer: Key | None
    ) -> Ask:
        kind = self.random.choice((0, 1, 2, 3, 3)) if self.chance(0.95) else 4
        new = b"\1" + self.person() if self.chance(0.8) else b"\0"
        if kind < 2 and self.chance(0.9):
            authority = minter if kind == 0 else freezer
            return Ask(TOKEN_PROGRAM, (Role(mint), *self._signer(authority)), head + bytes([kind]) + new)
        return Ask(TOKEN_PROGRAM, (Role(source), *self._signer(owner)), head + bytes([kind]) + new)

    def ask_associated(self) -> Ask:
        owner, mint = self.person(), self.of("mint")
        key = find_associated(owner, mint) if self.chance(0.93) else self.vacant()
        roles = (
            Role(self.person(), self.chance(0.97)), Role(key), Role(owner), Role(mint),
            Role(SYSTEM_PROGRAM, False, False), Role(TOKEN_PROGRAM, False, False),
        )  # fmt: skip
        data = self.random.choice((b"", b"\0", b"\1", b"\1")) if self.chance(0.96) else b"\2"
        return Ask(ASSOCIATED_TOKEN_PROGRAM, roles, data)

    def ask_other(self) -> Ask:
        """Memos, ed25519, programs that there are not."""
        kind = self.random.random()
        if kind < 0.4:
            program = self.random.choice(sorted(MEMO_PROGRAMS))
            text = b"hello" if self.chance(0.85) else b"\xff\xfe"
            return Ask(program, (Role(self.person(), self.chance(0.85), False),), text)
        if kind < 0.9:
            return self._ask_ed25519()
        program = self.random.choice((self.person(), SYSVAR_RENT, COMPUTE_BUDGET_PROGRAM))
        return Ask(
            program, (), self.random.choice((b"", b"\x03\1\0\0\0\0\0\0\0", b"\x01\0\x80\0\0", b"\x09"))
        )

    def _ask_ed25519(self) -> Ask:
        pair = self.pairs[self.person()]
        message = b"signed"
        signature = bytes(pair.sign_message(message))
        if self.chance(0.1):
            signature = bytes([signature[0] ^ 1]) + signature[1:]
        key = bytes(pair.pubkey()) if self.chance(0.9) else bytes([2]) + bytes(31)
        offset = 16 if self.chance(0.9) else self.random.choice((0, 60, 2**16 - 1))
        where = 0xFFFF if self.chance(0.9) else self.random.choice((0, 1, 9))
        offsets = struct.pack("<7H", offset, where, 80, 0xFFFF, 112, len(message), 0xFFFF)
        data = bytes([1, 0]) + offsets + signature + key + message
        return Ask(ED25519_PROGRAM, (), data if self.chance(0.95) else data[:9])

    # Tasks

    def ask_task(self) -> Ask:
        """What somebody could do now in one of the tasks."""
        if len(self.tasks) < 5 or self.chance(0.03):
            return self._ask_create()
        live = [key for key in self.tasks if key in self.state.tasks.rows]
        if not live or self.chance(0.02):
            return self._wrap(TASK_PROGRAM, ins.Withdraw(self.person(), self.person()))
        key = self.random.choice(live if self.chance(0.5) else live[:4])
        task = self.state.tasks.rows[key]
        step = self.random.random()
        if step < 0.16:
            return self._ask_stake(key, task)
        if step < 0.32:
            return self._ask_money(key, task)
        if step < 0.42:
            return self._ask_manage(key, task)
        return self._ask_round(key, task)

    def _wrap(self, program: Key, ask: ins.Instruction) -> Ask:
        if type(ask).__name__ not in PROGRAMS[program].by_name:  # the other program's
            program = KPL_PROGRAM if program == TASK_PROGRAM else TASK_PROGRAM
        accounts, data = PROGRAMS[program].encode(ask)
        return Ask(program, tuple(Role(*account) for account in accounts), data)

    def _shape(self) -> dict[str, Any]:
        """A task's configuration, mostly one that is allowed."""
        submit, audit = self.random.choice(((1, 1), (2, 2), (3, 4)))
        shape: dict[str, Any] = {
            "name": b"task",
            "description": b"",
            "audit_program": b"",
            "executable_network": b"",
            "metadata": b"",
            "locals": self.random.choice((b"", b"rules:koii-1")),
            "bounty_per_round": 100,
            "round_time": submit + audit + self.random.choice((0, 1, 2)),
            "audit_window": audit,
            "submission_window": submit,
            "minimum_stake": 1000,
            "allowed_failed_distributions": self.random.choice((0, 1, 2)),
        }
        if self.chance(0.25):
            name, value = self.random.choice(
                (
                    ("name", b"\xff"),
                    ("locals", b"rules:other"),
                    ("bounty_per_round", self.random.choice(EXTREMES)),
                    ("round_time", self.random.choice(EXTREMES)),
                    ("audit_window", self.random.choice(EXTREMES)),
                    ("minimum_stake", self.random.choice((0, 999, 2**64 - 1))),
                    ("allowed_failed_distributions", self.random.choice((100, 101, 2**64 - 1))),
                )
            )
            shape[name] = value
        return shape

    def _ask_create(self) -> Ask:
        is_token = self.chance(0.5)
        owner = KPL_PROGRAM if is_token else TASK_PROGRAM
        blank = [
            key
            for key in self._kinds["task account"]
            if key not in self.state.tasks.rows and self.state.accounts.rows[key].owner == owner
        ]
        key = self.random.choice(blank) if blank and self.chance(0.9) else self.of("task account")
        pot = self.vacant() if self.chance(0.95) else self.of("holder", "mint")
        payer = self.person()
        self.tasks.setdefault(key, pot)
        total = self.number(100_000)
        if not is_token:
            return self._wrap(
                TASK_PROGRAM, ins.CreateTask(payer, key, pot, total_bounty=total, **self._shape())
            )
        source = self._find_tokens(payer)
        seed = compute_pot_seed(pot) if self.chance(0.95) else bytes(32)
        mint = getattr(self._held(source), "mint", WRAPPED_MINT)
        ask = ins.CreateTokenTask(
            payer, source, key, pot, find_authority(pot), mint, total_bounty=total, seed=seed, **self._shape()
        )
        return self._wrap(KPL_PROGRAM, ask)

    def _find_tokens(self, owner: Key, mint: Key | None = None) -> Key:
        """A token account of an owner's, if it has one."""
        own = [
            key
            for key in (*self._kinds["holder"], *self._kinds["native"])
            if (held := self._held(key)) is not None
            and held.owner == owner
            and (mint is None or held.mint == mint)
        ]
        return self.random.choice(own) if own else self.of("holder", "native")

    def _ask_stake(self, key: Key, task: Any) -> Ask:
        node = self.person()
        amount = self.random.choice((1000, 5000)) if self.chance(0.9) else self.random.choice(EXTREMES)
        endpoint = self.random.choice((b"", b"http://a", b" x"))
        if task.program == TASK_PROGRAM:
            return self._wrap(task.program, ins.Stake(key, node, task.pot, amount, endpoint))
        pot = task.pot if self.chance(0.96) else self.of("holder")
        source = self._find_tokens(node, task.mint)
        return self._wrap(task.program, ins.StakeTokens(key, node, source, pot, amount, endpoint))

    def _ask_money(self, key: Key, task: Any) -> Ask:
        node = self.person()
        kind = self.random.random()
        if kind < 0.35:
            if task.program == TASK_PROGRAM:
                funder = self.person() if self.chance(0.6) else self.of("task account")
                return self._wrap(task.program, ins.FundTask(key, funder, task.pot, self.amount()))
            source = self._find_tokens(node, task.mint)
            return self._wrap(task.program, ins.FundTokens(key, node, source, task.pot, self.amount()))
        if kind < 0.6:
            return self._wrap(task.program, ins.Withdraw(key, node))
        owed = [who for who, stake in self.state.get_stakes(key).rows.items() if stake.available]
        if owed and self.chance(0.8):
            node = self.random.choice(owed)
        if task.program == TASK_PROGRAM:
            target = node if self.chance(0.7) else self.of("task account", "native", "plain")
            return self._wrap(task.program, ins.Claim(key, node, task.pot, target))
        target = self._find_tokens(node, task.mint) if self.chance(0.95) else task.pot
        authority = find_authority(task.pot) if self.chance(0.97) else node
        return self._wrap(task.program, ins.ClaimTokens(key, node, task.pot, target, authority))

    def _ask_manage(self, key: Key, task: Any) -> Ask:
        manager = task.manager if self.chance(0.9) else self.person()
        kind = self.random.random()
        if kind < 0.5:
            return self._wrap(task.program, ins.SetActive(key, manager, int(self.chance(0.85))))
        if kind < 0.6:
            lister = self.lister if self.chance(0.85) else self.person()
            return self._wrap(task.program, ins.Whitelist(key, lister, int(self.chance(0.5))))
        if kind < 0.68:
            if task.program == TASK_PROGRAM:
                return self._wrap(task.program, ins.CloseTask(key, manager, task.pot))
            authority = find_authority(task.pot)
            return self._wrap(task.program, ins.DeleteTask(key, manager, task.pot, authority, task.mint))
        owner = task.program
        blank = [
            each
            for each in self._kinds["task account"]
            if each not in self.state.tasks.rows and self.state.accounts.rows[each].owner == owner
        ]
        successor = self.random.choice(blank) if blank else self.vacant()
        pot = self.vacant() if self.chance(0.95) else self.of("holder", "mint")
        self.tasks.setdefault(successor, pot)
        if task.program == TASK_PROGRAM:
            ask: ins.Instruction = ins.UpdateTask(manager, key, task.pot, successor, pot, **self._shape())
        else:
            mint = task.mint if self.chance(0.95) else self.of("mint")
            ask = ins.UpdateTokenTask(
                manager, key, task.pot, find_authority(task.pot), successor, pot, find_authority(pot), mint,
                seed=compute_pot_seed(pot), **self._shape(),
            )  # fmt: skip
        return self._wrap(task.program, ask)

    def _ask_round(self, key: Key, task: Any) -> Ask:
        """A submission, an audit, a list, an audit of the list, or a request for payout."""
        slot, table = self.state.head.slot + 1, task.timetable
        ledger_round = table.compute_round(slot)
        stakers = [who for who, stake in self.state.get_stakes(key).rows.items() if stake.amount >= 1000]
        node = self.random.choice(stakers) if stakers and self.chance(0.92) else self.person()
        is_early = table.compute_offset(slot) <= table.submission_window
        opened = [int.from_bytes(each, "big") for each in RoundCursor(self.state, key, 0).rounds.rows]
        kind = self.random.random()
        if kind < 0.08 and opened:
            return self._wrap(task.program, ins.Payout(key, self.number(self.random.choice(opened))))
        reviewed = max(ledger_round - 1, 0)
        due = [
            number
            for number in task.open_rounds
            if number + 2 + RoundCursor(self.state, key, number).opened.attempt == ledger_round
        ]
        listed = (
            self.random.choice(due) if due and self.chance(0.95) else self.number(max(ledger_round - 2, 0))
        )
        if opened and self.chance(0.12):
            listed = self.random.choice(opened)
        if is_early:
            if kind < 0.5 or (kind < 0.95 and not due):
                value = self.random.choice((b"proof", b"x" * 512, b"two ")) if self.chance(0.95) else b"\xff"
                round_number = reviewed if self.chance(0.95) else self.number(ledger_round)
                return self._ask_submit(task.program, ins.SubmitTask(key, node, value, round_number))
            if kind < 0.75:
                return self._ask_upload(key, task, node, listed)
            return self._wrap(task.program, ins.SubmitDistributionList(key, node, node, listed))
        cursor = RoundCursor(self.state, key, reviewed)
        if kind < 0.55:
            candidates = list(cursor.submissions.rows)
            candidate = self.random.choice(candidates) if candidates and self.chance(0.95) else self.person()
            is_valid = int(self.chance(0.5))
            return self._wrap(task.program, ins.AuditSubmission(key, node, candidate, is_valid, reviewed))
        lists = RoundCursor(self.state, key, listed % 2**64).lists.rows
        submitter = list(lists.values())[-1].submitter if lists and self.chance(0.95) else self.person()
        ask = ins.AuditDistribution(key, node, submitter, int(self.chance(0.4)), listed)
        return self._wrap(task.program, ask)

    def _ask_submit(self, program: Key, ask: ins.SubmitTask) -> Ask:
        whole = self._wrap(program, ask)
        if self.chance(0.5):
            return whole
        return whole._replace(data=b"\x01" + struct.pack("<Q", ask.round) + ask.value)

    def _ask_upload(self, key: Key, task: Any, node: Key, round_number: int) -> Ask:
        cursor = RoundCursor(self.state, key, round_number)
        amounts: dict[str, int] = {}
        for who in cursor.submissions.rows:
            audit = cursor.audits.rows.get(who)
            votes = 1 if audit is None else audit.valid - audit.invalid
            amounts[base58_of(who)] = 20 if votes > 0 else -700
        if self.chance(0.25):
            amounts[base58_of(self.person())] = self.random.choice((-5, 5, 99, 2**62))
        text = msgspec.json.encode(amounts)
        if self.chance(0.06):
            text = self.random.choice((b"[]", b"{", b'{"x": 1.5}', b"\xff"))
        chunks = [text[at : at + 508] for at in range(0, len(text), 508)] or [b""]
        at = self.random.randrange(len(chunks))
        chunk, number = chunks[at], at
        if self.chance(0.06):
            chunk, number = b"y" * 508, self.random.choice((0, 1, 2, 3, 4, 5, 9000))
        size = len(chunk) if self.chance(0.97) else 509
        where = round_number if self.chance(0.85) else ins.NO_ROUND
        return self._wrap(
            task.program, ins.UploadDistributionList(key, node, number, size, chunk.ljust(508, b"\0"), where)
        )

    # Bending

    def bend(self, ask: Ask) -> Ask:
        """One thing about an instruction made wrong, or odd."""
        roles, data = list(ask.roles), ask.data
        match self.random.randrange(8):
            case 0 if len(roles) > 1:  # two roles are one key
                at, other = self.random.sample(range(len(roles)), 2)
                roles[at] = roles[at]._replace(key=roles[other].key)
            case 1 if roles:  # any account
                at = self.random.randrange(len(roles))
                roles[at] = roles[at]._replace(key=self.of(self.random.choice(list(self._kinds))))
            case 2 if roles:  # does not sign
                at = self.random.randrange(len(roles))
                roles[at] = roles[at]._replace(signs=False)
            case 3 if roles:  # too few accounts
                roles.pop()
            case 4 if len(data) > 8:  # an extreme number
                at = self.random.randrange(len(data) - 7)
                data = data[:at] + struct.pack("<Q", self.random.choice(EXTREMES)) + data[at + 8 :]
            case 5:
                data = data[: self.random.randrange(len(data) + 1)]
            case 6 if data:
                data = bytes([self.random.randrange(40)]) + data[1:]
            case _:
                return ask._replace(program=self.random.choice(sorted(PROGRAMS)))
        return ask._replace(roles=tuple(roles), data=data)

    # Messages

    def build(self) -> bytes:
        """A transaction, signed."""
        if self.sent and self.chance(0.015):
            return self.random.choice(self.sent)
        asked = []
        for _ in range(self.random.choice((1, 1, 1, 1, 2, 3))):
            ask = self._choose()
            for _ in range(self.random.choice((0, 0, 0, 0, 0, 1, 1, 2))):
                ask = self.bend(ask)
            asked.append(ask)
        payer = (
            self.person()
            if self.chance(0.97)
            else self.random.choice((self.poor, self.vacant(), self.of("native")))
        )
        tick = get_newest_tick(self.state, self.state.head.slot)[0]
        if self.chance(0.01):
            tick = bytes(32)
        if self.chance(0.03) and self._kinds.get("nonce"):
            payer, tick, first = self._name_nonce(payer)
            asked.insert(0, first)
        if self.chance(0.05):
            asked.append(self._ask_budget())
        else:
            asked.append(
                Ask(COMPUTE_BUDGET_PROGRAM, (), b"\4" + struct.pack("<I", self.random.getrandbits(32)))
            )
        wire = self.sign(payer, asked, tick)
        if self.chance(0.012):
            wire = self._spoil(wire)
        self.sent = [*self.sent[-40:], wire]
        return wire

    def _choose(self) -> Ask:
        kind = self.random.random()
        if self.state.head.slot < 12 and kind < 0.5:  # a world begins with accounts, mints and tokens
            return (
                self._system_0(bytes(4)) if kind < 0.3 else self._build_token(self.random.choice((18, 20, 7)))
            )
        if kind < 0.20:
            return self.ask_system()
        if kind < (0.45 if self.is_jumpy else 0.27):
            return self.ask_lookup()
        if kind < 0.52:
            return self.ask_token()
        if kind < 0.55:
            return self.ask_associated()
        if kind < 0.59:
            return self.ask_other()
        return self.ask_task()

    def _name_nonce(self, payer: Key) -> tuple[Key, bytes, Ask]:
        key = self.random.choice(self._kinds["nonce"])
        nonce = get_nonce(self.state, key)
        assert nonce is not None
        authority = nonce.authority if self.chance(0.9) else self.person()
        roles = (Role(key), Role(SYSVAR_RECENT_BLOCKHASHES, False, False), Role(authority, True, False))
        return payer, nonce.value, Ask(SYSTEM_PROGRAM, roles, b"\4\0\0\0")

    def _ask_budget(self) -> Ask:
        data = self.random.choice(
            (b"\1" + struct.pack("<I", 64 * 1024), b"\2" + struct.pack("<I", 500), b"\4" + bytes(4),
             b"\3" + struct.pack("<Q", self.number(10)), b"\1\1\0\0\0", b"\3")
        )  # fmt: skip
        return Ask(COMPUTE_BUDGET_PROGRAM, (), data)

    def sign(self, payer: Key, asked: Sequence[Ask], tick: bytes) -> bytes:
        """A message of these instructions, signed by all who must and can."""
        flags: dict[Key, list[bool]] = {payer: [True, True]}
        for ask in asked:
            for role in ask.roles:
                known = flags.setdefault(role.key, [False, False])
                known[0] |= role.signs
                known[1] |= role.is_writable
            flags.setdefault(ask.program, [False, False])
        lookups = self._choose_lookups(payer, asked, flags)
        taken = {key for _, writable, readonly in lookups for key, _ in (*writable, *readonly)}
        for key in [key for key, (signs, _) in flags.items() if signs and key not in self.pairs]:
            flags[key][0] = False  # nobody can sign for it
        keys = [payer, *(key for key in flags if key != payer and key not in taken)]
        keys.sort(key=lambda key: (key != payer, not flags[key][0], not flags[key][1]))
        signers = [key for key in keys if flags[key][0]]
        head = bytes([
            len(signers), sum(not flags[key][1] for key in signers),
            sum(not flags[key][1] for key in keys if not flags[key][0]),
        ])  # fmt: skip
        order = [*keys, *(key for _, writable, _ in lookups for key, _ in writable)]
        order += [key for _, _, readonly in lookups for key, _ in readonly]
        place = {key: at for at, key in reversed(list(enumerate(order)))}
        body = head + _length(len(keys)) + b"".join(keys) + tick + _length(len(asked))
        for ask in asked:
            indexes = bytes(place[role.key] for role in ask.roles)
            body += (
                bytes([place[ask.program]])
                + _length(len(indexes))
                + indexes
                + _length(len(ask.data))
                + ask.data
            )
        if lookups:
            body = b"\x80" + body + _length(len(lookups))
            for table, writable, readonly in lookups:
                at_writable, at_readonly = bytes(at for _, at in writable), bytes(at for _, at in readonly)
                body += (
                    table + _length(len(at_writable)) + at_writable + _length(len(at_readonly)) + at_readonly
                )
        signatures = b"".join(bytes(self.pairs[key].sign_message(body)) for key in signers)
        return _length(len(signers)) + signatures + body

    def _choose_lookups(
        self, payer: Key, asked: Sequence[Ask], flags: dict[Key, list[bool]]
    ) -> list[tuple[Key, list[tuple[Key, int]], list[tuple[Key, int]]]]:
        """Accounts that a message takes from a table, now and then."""
        if not self.tables or not self.chance(0.12):
            return []
        table = self.random.choice(self.tables) if self.chance(0.93) else self.of("other", "plain")
        account = self.state.accounts.rows.get(table)
        held = decode_table(account) if account and account.owner == LOOKUP_PROGRAM else None
        addresses = held.addresses if held else b""
        programs = {ask.program for ask in asked}
        at = {addresses[32 * n : 32 * n + 32]: n for n in reversed(range(len(addresses) // 32))}
        usable = [
            key for key in flags if key in at and key not in programs and not flags[key][0] and key != payer
        ]
        writable = [(key, at[key]) for key in usable if flags[key][1]]
        readonly = [(key, at[key]) for key in usable if not flags[key][1]]
        if not usable:  # something that nobody asked for, also what is out of range or named already
            readonly = [(bytes([1]) * 32, self.random.choice((0, 1, 255)))]
        elif self.chance(0.05):
            readonly = [*readonly, (readonly or writable)[0]]
        return [(table, writable, readonly)]

    def _spoil(self, wire: bytes) -> bytes:
        if self.chance(0.5):
            return wire[: self.random.randrange(len(wire))]
        at = self.random.randrange(len(wire))
        return wire[:at] + bytes([wire[at] ^ (1 << self.random.randrange(8))]) + wire[at + 1 :]

    # Blocks

    def choose(self) -> list[bytes]:
        """The transactions of a block: some at random, some that drive the rounds of tasks on."""
        wires = [self.build() for _ in range(self.random.choice((1, 1, 3, 6, 12)))]
        live = [key for key in self.tasks if key in self.state.tasks.rows]
        for key in dict.fromkeys((*live[:4], *live[-2:])):
            if len(wires) > 1:
                wires += [self.send(asked) for asked in self.drive(key, self.state.tasks.rows[key])]
        self.random.shuffle(wires)
        return wires[:20]

    def send(self, asked: Sequence[Ask]) -> bytes:
        """A transaction of these instructions that no other one equals."""
        budget = Ask(COMPUTE_BUDGET_PROGRAM, (), b"\4" + struct.pack("<I", self.random.getrandbits(32)))
        tick = get_newest_tick(self.state, self.state.head.slot)[0]
        return self.sign(self.person(), [*asked, budget], tick)

    # A world begins

    def found_things(self) -> list[bytes]:
        """Mints, token accounts, tasks of both kinds and stakes in them, block by block."""
        act: Callable[[], list[list[Ask]]] = (
            self._found_nothing, self._found_mints, self._found_accounts, self._found_tokens,
            self._found_tasks, self._found_stakes,
        )[len(self.blocks)]  # fmt: skip
        return [self.send(asked) for asked in act()]

    def _found_nothing(self) -> list[list[Ask]]:
        return []

    def _create(self, key: Key, space: int, owner: Key) -> Ask:
        data = bytes(4) + struct.pack("<QQ", 10**6, space) + owner
        return self._system(data, Role(self.people[0], True), Role(key, True))

    def _found_mints(self) -> list[list[Ask]]:
        self.mints = [self._person(f"mint {at}") for at in range(2)]
        init = b"\x14\2" + self.people[0] + b"\1" + self.people[1]
        return [
            [self._create(key, 82, TOKEN_PROGRAM), Ask(TOKEN_PROGRAM, (Role(key),), init)]
            for key in self.mints
        ]

    def _found_accounts(self) -> list[list[Ask]]:
        asked = []
        self.purses: dict[tuple[Key, Key], Key] = {}
        for at, mint in enumerate((*self.mints, WRAPPED_MINT)):
            for owner in self.people[: 8 if at == 0 else 3]:
                key = self._person(f"purse {at} {owner.hex()}")
                self.purses[owner, mint] = key
                init = Ask(TOKEN_PROGRAM, (Role(key), Role(mint, False, False)), b"\x12" + owner)
                asked.append([self._create(key, 165, TOKEN_PROGRAM), init])
        return asked

    def _found_tokens(self) -> list[list[Ask]]:
        asked = []
        for (_, mint), key in self.purses.items():
            if mint == WRAPPED_MINT:
                move = self._system(
                    b"\2\0\0\0" + struct.pack("<Q", 10**10), Role(self.people[0], True), Role(key)
                )
                asked.append([move, Ask(TOKEN_PROGRAM, (Role(key),), b"\x11")])
                continue
            amount = 10**9 if mint == self.mints[0] else 10**6
            roles = (Role(mint), Role(key), Role(self.people[0], True))
            asked.append([Ask(TOKEN_PROGRAM, roles, b"\7" + struct.pack("<Q", amount))])
        large = self.purses[self.people[0], self.mints[1]]
        roles = (Role(self.mints[1]), Role(large), Role(self.people[0], True))
        asked.append([Ask(TOKEN_PROGRAM, roles, b"\7" + struct.pack("<Q", 2**64 - 5 * 10**6))])
        return asked

    def _found_tasks(self) -> list[list[Ask]]:
        asked = []
        for at, mint in enumerate((b"", b"", self.mints[0], self.mints[1])):
            key, pot = self._person(f"task {at}"), self._person(f"pot {at}")
            self.tasks[key] = pot
            manager = self.people[at % 3]
            shape = {
                **self._shape(), "locals": b"", "name": b"task", "bounty_per_round": 100,
                "minimum_stake": 1000, "submission_window": (2, 3)[at % 2],
                "audit_window": 3, "round_time": 7,
                "allowed_failed_distributions": at % 3,
            }  # fmt: skip
            total = self.random.choice((250, 100_000))
            if not mint:
                ask: ins.Instruction = ins.CreateTask(manager, key, pot, total_bounty=total, **shape)
            else:
                source = self.purses[manager, mint]
                ask = ins.CreateTokenTask(
                    manager, source, key, pot, find_authority(pot), mint, total_bounty=total,
                    seed=compute_pot_seed(pot), **shape,
                )  # fmt: skip
            program = KPL_PROGRAM if mint else TASK_PROGRAM
            made = self._create(key, 1000, program)
            asked.append([made, self._wrap(program, ask)])
            asked.append([self._wrap(program, ins.SetActive(key, manager, 1))])
        return asked

    def _found_stakes(self) -> list[list[Ask]]:
        asked = []
        for key, pot in self.tasks.items():
            task = self.state.tasks.rows.get(key)
            if task is None:
                continue
            for node in self.people[: 6 if not task.mint or task.mint == self.mints[0] else 3]:
                if task.mint:
                    ask: ins.Instruction = ins.StakeTokens(key, node, self.purses[node, task.mint], pot, 5000)
                else:
                    ask = ins.Stake(key, node, pot, 5000)
                asked.append([self._wrap(task.program, ask)])
        return asked

    # What nodes do in a round

    def drive(self, key: Key, task: Any) -> list[list[Ask]]:
        """What honest and other nodes of a task do in the next slot."""
        slot, table = self.state.head.slot + 1, task.timetable
        ledger_round, phase = table.compute_round(slot), compute_phase(table, slot)
        nodes = [
            who
            for who, stake in self.state.get_stakes(key).rows.items()
            if stake.amount >= task.minimum_stake
        ]
        reviewed = RoundCursor(self.state, key, max(ledger_round - 1, 0))
        if phase is Phase.SETTLE or not nodes or ledger_round < 0:
            return []
        asked: list[list[Ask]] = []
        if phase is Phase.SUBMIT:
            late = [node for node in nodes if node not in reviewed.submissions.rows]
            for node in late:
                if self.chance(0.4):
                    ask = ins.SubmitTask(
                        key, node, b"proof of " + node[:4].hex().encode(), reviewed.round_number
                    )
                    asked.append([self._ask_submit(task.program, ask)])
        else:
            asked += self._drive_audits(task, reviewed, nodes)
        for number in task.open_rounds:
            cursor = RoundCursor(self.state, key, number)
            if number + 2 + cursor.opened.attempt == ledger_round and self.chance(0.7):
                asked += self._drive_list(task, cursor, nodes, phase)
        return asked

    def _drive_audits(self, task: Any, cursor: RoundCursor, nodes: list[Key]) -> list[list[Ask]]:
        asked = []
        for candidate in cursor.submissions.rows:
            raised = cursor.audits.rows.get(candidate)
            for node in nodes:
                if self.chance(0.5 if raised else 0.04):
                    is_valid = int(raised is not None and self.chance(0.5))
                    ask = ins.AuditSubmission(cursor.task_key, node, candidate, is_valid, cursor.round_number)
                    asked.append([self._wrap(task.program, ask)])
        return asked

    def _drive_list(self, task: Any, cursor: RoundCursor, nodes: list[Key], phase: Phase) -> list[list[Ask]]:
        key, number = cursor.task_key, cursor.round_number
        node = self.random.choice(nodes)
        listed = cursor.lists.rows.get(bytes([cursor.opened.attempt]))
        if phase is Phase.AUDIT:
            if listed is None:
                return []
            raised = cursor.list_audits.rows.get(bytes([cursor.opened.attempt]))
            candidate = listed.submitter if self.chance(0.9) else self.person()
            is_valid = int(raised is not None and self.chance(0.5))
            ask = ins.AuditDistribution(key, node, candidate, is_valid, number)
            return [[self._wrap(task.program, ask)]] if raised or self.chance(0.15) else []
        if listed is not None and self.chance(0.8):
            return []
        hand_in = self._wrap(task.program, ins.SubmitDistributionList(key, node, node, number))
        if self.chance(0.05) and self.genesis.list_chunks_max > 9:
            chunks = [ins.UploadDistributionList(key, node, at, 508, b" " * 508, number) for at in range(9)]
            return [[self._wrap(task.program, each)] for each in chunks] + [[hand_in]]
        text = self._write_list(cursor)
        where = number if self.chance(0.8) else ins.NO_ROUND
        uploads = [
            [
                self._wrap(
                    task.program, ins.UploadDistributionList(key, node, n, len(part), part.ljust(508), where)
                )
            ]
            for n, part in enumerate(text[at : at + 508] for at in range(0, len(text), 508))
        ]
        return [*uploads[:-1], [*uploads[-1], hand_in], *([[hand_in]] * (self.chance(0.2)))]

    def _write_list(self, cursor: RoundCursor) -> bytes:
        amounts: dict[str, int] = {}
        part = 100 // max(len(cursor.submissions.rows), 1)
        for who in cursor.submissions.rows:
            audit = cursor.audits.rows.get(who)
            votes = 1 if audit is None else audit.valid - audit.invalid
            amounts[base58_of(who)] = part if votes > 0 else -700
        if self.chance(0.08) and amounts:
            amounts[self.random.choice(list(amounts))] = self.random.choice((-700, 101))
        if self.chance(0.04):
            amounts[base58_of(self.lister)] = 1
        return b"nonsense" if self.chance(0.03) else msgspec.json.encode(amounts)

    # A block

    def step(self, tally: Tally) -> None:
        """One block of transactions, and what must hold after it."""
        self.look()
        wires = self.found_things() if len(self.blocks) < FOUNDING_BLOCKS else self.choose()
        slots = self.random.choice((0, 1, 1, 1, 1, 2))
        if self.is_jumpy and self.chance(0.15):
            slots = self.genesis.gap_slots_max
        head = self.state.head
        time_ms = head.began_ms + slots * self.genesis.slot_ms
        block = next_block(self.state, time_ms, wires, self.producer)
        parsed = [_parse(wire) for wire in wires]
        verified = [transaction is not None and is_signed(transaction) for transaction in parsed]
        outcome = execute(self.state, block, verified)
        self.blocks.append((block, verified, outcome))
        check_invariants(self.state, self.supply)
        self._check_refusal(outcome, parsed)
        for transaction, receipt in zip(parsed, outcome.receipts, strict=True):
            tally.kinds[receipt.kind] += 1
            if transaction is not None and receipt.kind != Kind.VOID:
                _count(tally, transaction, receipt)

    def _check_refusal(self, outcome: Outcome, parsed: Sequence[Any]) -> None:
        """Alone in its block a refused transaction changes its fee and its mark only, a Void one nothing."""
        for receipt in outcome.receipts:
            if receipt.kind == Kind.REJECTED:
                assert receipt.pre[0] - receipt.post[0] in (receipt.fee, 0)  # 0: the payer is the producer
                assert receipt.pre[1:] == receipt.post[1:]
        if len(outcome.receipts) != 1 or outcome.events or outcome.receipts[0].kind == Kind.OK:
            return
        [receipt], [transaction] = outcome.receipts, parsed
        allowed = {self.producer}
        if receipt.kind == Kind.REJECTED:
            allowed.add(transaction.keys[0])
            first = transaction.instructions[0]
            if first.data == b"\4\0\0\0" and first.accounts:
                allowed.add(transaction.keys[first.accounts[0] % len(transaction.keys)])
        for change in outcome.changes:
            name = change.name[:1]
            if name == b"A":
                assert {key for key, _ in change.rows} <= allowed
            else:
                assert name in (b"H", b"X", *DUE), change.name

    def replay(self) -> None:
        """The same blocks again, the second half from a state that was stored: the same hashes."""
        state = create_state(self.genesis)
        half = len(self.blocks) // 2
        for at, (block, verified, outcome) in enumerate(self.blocks):
            if at == half:
                state = reload(state)
            again = execute(state, block, verified)
            assert (outcome.block_hash, outcome.state_hash) == (again.block_hash, again.state_hash)
            assert outcome.receipts == again.receipts


def reload(state: State) -> State:
    """The state as a checkpoint would bring it back."""
    tables = [TableChange(name, False, list(table.rows.items())) for name, table in state.tables.items()]
    loaded = State(state.genesis, state.genesis_hash, state.head)
    loaded.load(tables)
    return loaded


def _length(count: int) -> bytes:
    return bytes([count]) if count < 0x80 else bytes([count & 0x7F | 0x80, count >> 7])


def _parse(wire: bytes) -> Any:
    try:
        return decode_transaction(wire)
    except Undecodable:
        return None


def name_instruction(program: Key, data: bytes) -> str | None:
    """The program and the number of an instruction; None of a program without numbers, or none at all."""
    name = NAMES.get(program)
    if name is None:
        return None
    if name in ("memo", "ed25519"):
        return name
    size = NUMBER_BYTES.get(program, 1)
    return f"{name} {int.from_bytes(data[:size], 'little')}"


def is_hardened(program: Key, number: int) -> bool:
    """Whether an instruction is one that only roundwork-1 has."""
    return program in (TASK_PROGRAM, KPL_PROGRAM) and bytes([number]) in HARDENED


def list_rules() -> list[str]:
    """The numbers of the rules that hold for what the fuzzer sends: not those of roundwork-1."""
    return [number for number in RULES if int(number.partition(".")[0]) < HARDENED_SECTION]


def list_instructions() -> list[str]:
    """Every instruction of every program, without those of roundwork-1.

    `test_hardened_machine` plays those at random.
    """
    programs = (
        TASK_PROGRAM,
        KPL_PROGRAM,
        SYSTEM_PROGRAM,
        LOOKUP_PROGRAM,
        TOKEN_PROGRAM,
        ASSOCIATED_TOKEN_PROGRAM,
    )
    names = [
        f"{NAMES[program]} {number}"
        for program in programs
        for number in sorted(PROGRAMS[program].by_number)
        if not is_hardened(program, number)
    ]
    return [*names, "memo", "ed25519"]


def _count(tally: Tally, transaction: Any, receipt: Any) -> None:
    keys = (*transaction.keys, *receipt.loaded)
    for at, instruction in enumerate(transaction.instructions):
        name = name_instruction(keys[instruction.program], instruction.data)
        if receipt.kind == Kind.REJECTED and at == receipt.instruction:
            if name is not None:
                tally.refused[name] += 1
            break
        if name is not None and receipt.kind == Kind.OK:
            tally.accepted[name] += 1


def run_world(seed: str, count: int = WORLD_TRANSACTIONS) -> Tally:
    """One world of about so many transactions. Raises AssertionError if something does not hold."""
    refusals = count_refusals()
    tally = Tally()
    fuzz = Fuzz(seed)
    try:
        while tally.count < count:
            fuzz.step(tally)
        tally.rules = Counter(refusals)
        stop_counting()
        fuzz.replay()
    except BaseException as error:
        error.add_note(f"seed {seed!r}, block {len(fuzz.blocks)}")
        raise
    finally:
        stop_counting()
    return tally


def run(
    count: int, seed: int, jobs: int = 1, progress: Callable[[Tally], None] = lambda tally: None
) -> Tally:
    """Worlds until there are so many transactions."""
    total = Tally()
    seeds = [f"{seed}/{at}" for at in range(-(-count // WORLD_TRANSACTIONS))]
    if jobs == 1:
        for each in seeds:
            total.add(run_world(each))
            progress(total)
        return total
    with ProcessPoolExecutor(jobs) as pool:
        for tally in pool.map(run_world, seeds, chunksize=4):
            total.add(tally)
            progress(total)
    return total


def describe(tally: Tally, seed: int, seconds: float) -> str:
    """The table of a run."""
    kinds = {Kind(kind).name: count for kind, count in sorted(tally.kinds.items())}
    lines = [
        f"{tally.count:,} transactions from seed {seed} in {seconds:.0f} s: "
        + ", ".join(f"{count:,} {name}" for name, count in kinds.items()),
        "",
        "| instruction | accepted | refused |",
        "|---|---|---|",
        *(f"| {name} | {tally.accepted[name]:,} | {tally.refused[name]:,} |" for name in list_instructions()),
        "",
        "| rule | refusals |",
        "|---|---|",
    ]
    order = sorted(RULES, key=lambda number: [int(part) for part in number.split(".")])
    return "\n".join([*lines, *(f"| {number} | {tally.rules[number]:,} |" for number in order)])


def find_gaps(tally: Tally, least: int) -> list[str]:
    """What a run did not see often enough."""
    gaps = [f"rule {number} refused nothing" for number in list_rules() if not tally.rules[number]]
    for name in list_instructions():
        for what, counter in (("accepted", tally.accepted), ("refused", tally.refused)):
            if counter[name] < least:
                gaps.append(f"{name} was {what} {counter[name]} times")
    if tally.kinds[Kind.VOID] * 2 > tally.count:
        gaps.append("less than half of the transactions reached a program")
    return gaps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    begun = time.monotonic()

    def progress(tally: Tally) -> None:
        print(f"\r{tally.count:,} of {options.count:,}", end="", file=sys.stderr)

    tally = run(options.count, options.seed, options.jobs, progress)
    print(file=sys.stderr)
    print(describe(tally, options.seed, time.monotonic() - begun))
    gaps = find_gaps(tally, 100 * options.count // 1_000_000)
    print("\n".join(["", "Missing:", *gaps] if gaps else ["", "Nothing is missing."]))
    sys.exit(bool(gaps))


if __name__ == "__main__":
    sys.modules["tests.protocol.fuzz"] = sys.modules["__main__"]
    main()
