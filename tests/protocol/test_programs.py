"""Whatever is asked of the other programs, in whatever order: accounts, nonces, lookup tables, tokens."""

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    AllocateParams,
    AllocateWithSeedParams,
    AssignParams,
    AssignWithSeedParams,
    AuthorizeNonceAccountParams,
    CloseLookupTableParams,
    CreateAccountParams,
    CreateAccountWithSeedParams,
    CreateLookupTableParams,
    DeactivateLookupTableParams,
    ExtendLookupTableParams,
    FreezeLookupTableParams,
    TransferParams,
    TransferWithSeedParams,
    WithdrawNonceAccountParams,
    advance_nonce_account,
    allocate,
    allocate_with_seed,
    assign,
    assign_with_seed,
    authorize_nonce_account,
    close_lookup_table,
    create_account,
    create_account_with_seed,
    create_lookup_table,
    create_nonce_account,
    deactivate_lookup_table,
    extend_lookup_table,
    freeze_lookup_table,
    transfer,
    transfer_with_seed,
    withdraw_nonce_account,
)  # fmt: skip
from solders.transaction import VersionedTransaction

from roundwork.protocol.execute import Kind, Receipt, execute
from roundwork.protocol.genesis import create_state
from roundwork.protocol.params import LOOKUP_PROGRAM, SYSTEM_PROGRAM, TASK_PROGRAM, TOKEN_PROGRAM
from roundwork.protocol.programs.lookups import decode_table
from roundwork.protocol.programs.nonces import get_nonce
from roundwork.protocol.programs.token_checks import get_account, get_mint
from roundwork.protocol.programs.token_records import ACCOUNT_BYTES, MINT_BYTES
from roundwork.protocol.transaction import decode_transaction

from .test_machine import reload
from .test_token import Tokens, memo
from .world import World

PEOPLE = ("n00", "n01", "n02")
THINGS = ("x0", "x1", "x2")
NONCES = ("y0", "y1")
people = st.sampled_from(PEOPLE)
mostly_n00 = st.sampled_from(("n00", "n00", "n00", "n01"))
nonces = st.sampled_from(NONCES)
things = st.sampled_from(THINGS)
anything = st.sampled_from((*PEOPLE, *THINGS, *NONCES, "a0", "a1"))
held = st.sampled_from(("a0", "a1", "x0", "x1"))
owners = st.sampled_from((SYSTEM_PROGRAM, TASK_PROGRAM, TOKEN_PROGRAM, LOOKUP_PROGRAM))
sizes = st.sampled_from((0, 10, 56, 80, MINT_BYTES, ACCOUNT_BYTES))
amounts = st.sampled_from((0, 1, 500, 10**6, 10**7, 10**16))
SEED = "seed"


class Street(Tokens):
    """A mint and its two accounts, where time may fly."""

    def __init__(self) -> None:
        World.__init__(self, gap_slots_max=100, fee_per_signature=3)
        self.make("mint", MINT_BYTES, self.token(20, "BKO", 2, "n00", "n00", on=["mint"]))
        for name, owner in (("a0", "n00"), ("a1", "n01")):
            self.make(name, ACCOUNT_BYTES, self.token(18, "K", owner, on=[name, "mint"]))
        self.ok("n00", self.token(7, "Q", 1000, on=["mint", "a0", "n00"]))


class Programs(RuleBasedStateMachine):
    """Three people and what they make do to one another whatever they like."""

    @initialize()
    def begin(self) -> None:
        self.world = Street()
        self.genesis = self.world.state.genesis
        self.ran: Counter[bytes] = Counter()
        self.kept: list[bytes] = []
        self.tables: list[bytes] = []
        self.pace = 1
        for name in NONCES:
            self.create_nonce(name, "n00")
        self.create_table("n00", 1)
        self.change_table(0, "n00", 0)

    def pubkey(self, name: str) -> Pubkey:
        return Pubkey(self.world.key(name))

    def run(self, signers: tuple[str, ...], *asked: Instruction) -> Receipt:
        """One transaction, signed by whom it needs first and by whom else it marks as a signer."""
        names = list(dict.fromkeys(signers))
        return self.send(self.world.wire(names, *asked))

    def send(self, wire: bytes) -> Receipt:
        self.world.block(slots=self.pace)
        before = self.world.dump()[b"A"]
        receipt = self.world.block(wire, slots=0).receipts[0]
        transaction = decode_transaction(wire)
        if receipt.kind != Kind.VOID:
            self.ran[transaction.signatures[0]] += 1
        assert len(receipt.pre) == len(receipt.post)
        assert sum(receipt.pre) - receipt.fee == sum(receipt.post)
        if receipt.kind != Kind.OK:
            after = self.world.dump()[b"A"]
            changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
            nonces = {key for key in changed if get_nonce(self.world.state, key)}
            assert changed - nonces <= {transaction.keys[0], self.world.key("producer")}
            assert len(nonces - {transaction.keys[0]}) <= 1
        return receipt

    # Time, and what was sent before

    @rule(pace=st.integers(0, 1))
    def run_fast_or_slowly(self, pace: int) -> None:
        self.pace = pace

    @rule(slots=st.sampled_from((1, 1, 2, 100)), times=st.integers(1, 6))
    def wait(self, slots: int, times: int) -> None:
        for _ in range(times):
            self.world.block(slots=slots)

    @precondition(lambda self: self.kept)
    @rule(at=st.integers(0, 100))
    def send_what_was_kept(self, at: int) -> None:
        self.send(self.kept[at % len(self.kept)])

    # The system program

    @rule(source=anything, to=anything, amount=amounts)
    def transfer(self, source: str, to: str, amount: int) -> None:
        move = transfer(
            TransferParams(from_pubkey=self.pubkey(source), to_pubkey=self.pubkey(to), lamports=amount)
        )
        self.run(("n00", source), move)

    @rule(payer=people, name=anything, amount=amounts, size=sizes, owner=owners)
    def create(self, payer: str, name: str, amount: int, size: int, owner: bytes) -> None:
        made = create_account(
            CreateAccountParams(
                from_pubkey=self.pubkey(payer), to_pubkey=self.pubkey(name), lamports=amount, space=size,
                owner=Pubkey(owner),
            )
        )  # fmt: skip
        self.run((payer, name), made)

    @rule(name=anything, size=sizes, owner=owners)
    def size_and_assign(self, name: str, size: int, owner: bytes) -> None:
        key = self.pubkey(name)
        self.run(("n00", name), allocate(AllocateParams(pubkey=key, space=size)))
        self.run(("n00", name), assign(AssignParams(pubkey=key, owner=Pubkey(owner))))

    @rule(base=people, amount=amounts, size=sizes, owner=owners, step=st.integers(0, 3))
    def use_a_seed(self, base: str, amount: int, size: int, owner: bytes, step: int) -> None:
        key, program = self.pubkey(base), Pubkey(owner)
        derived = Pubkey(sha256(bytes(key) + SEED.encode() + owner).digest())
        asked = (
            lambda: create_account_with_seed(
                CreateAccountWithSeedParams(
                    from_pubkey=key, to_pubkey=derived, base=key, seed=SEED, lamports=amount, space=size,
                    owner=program,
                )
            ),
            lambda: transfer_with_seed(
                TransferWithSeedParams(
                    from_pubkey=derived, from_base=key, from_seed=SEED, from_owner=program,
                    to_pubkey=self.pubkey("n02"), lamports=amount,
                )
            ),
            lambda: allocate_with_seed(
                AllocateWithSeedParams(address=derived, base=key, seed=SEED, space=size, owner=program)
            ),
            lambda: assign_with_seed(
                AssignWithSeedParams(address=derived, base=key, seed=SEED, owner=program)
            ),
        )  # fmt: skip
        self.run((base,), asked[step]())

    # Nonces

    @rule(name=nonces, authority=mostly_n00)
    def create_nonce(self, name: str, authority: str) -> None:
        made = create_nonce_account(self.pubkey("n00"), self.pubkey(name), self.pubkey(authority), 10**6)
        self.run(("n00", name), *made)

    def advance(self, name: str, authority: str) -> Instruction:
        return advance_nonce_account(
            AdvanceNonceAccountParams(
                nonce_pubkey=self.pubkey(name), authorized_pubkey=self.pubkey(authority)
            )
        )

    @rule(name=nonces, authority=mostly_n00)
    def move_on(self, name: str, authority: str) -> None:
        self.run((authority,), self.advance(name, authority))

    @rule(name=nonces, authority=mostly_n00, amount=amounts, is_sent=st.booleans())
    def name_the_nonce(self, name: str, authority: str, amount: int, is_sent: bool) -> None:
        nonce = get_nonce(self.world.state, self.world.key(name))
        value = nonce.value if nonce else bytes(32)
        pay = transfer(
            TransferParams(from_pubkey=self.pubkey(authority), to_pubkey=self.pubkey("n02"), lamports=amount)
        )
        wire = self.world.wire((authority,), self.advance(name, authority), pay, tick=value)
        self.kept.append(wire)
        if is_sent:
            self.send(wire)

    @rule(name=nonces, authority=mostly_n00, to=mostly_n00)
    def authorize(self, name: str, authority: str, to: str) -> None:
        ask = AuthorizeNonceAccountParams(
            nonce_pubkey=self.pubkey(name), authorized_pubkey=self.pubkey(authority),
            new_authority=self.pubkey(to),
        )  # fmt: skip
        self.run((authority,), authorize_nonce_account(ask))

    @rule(name=nonces, authority=mostly_n00, to=anything, amount=amounts, is_all=st.booleans())
    def withdraw(self, name: str, authority: str, to: str, amount: int, is_all: bool) -> None:
        account = self.world.state.accounts.rows.get(self.world.key(name))
        ask = WithdrawNonceAccountParams(
            nonce_pubkey=self.pubkey(name), authorized_pubkey=self.pubkey(authority),
            to_pubkey=self.pubkey(to), lamports=account.balance if account and is_all else amount,
        )  # fmt: skip
        self.run((authority,), withdraw_nonce_account(ask))

    # Lookup tables

    @rule(authority=mostly_n00, back=st.sampled_from((0, 1, 600)))
    def create_table(self, authority: str, back: int) -> None:
        made, table = create_lookup_table(
            CreateLookupTableParams(
                authority_address=self.pubkey(authority), payer_address=self.pubkey("n00"),
                recent_slot=max(self.world.state.head.slot - back, 0),
            )
        )  # fmt: skip
        if not self.run(("n00", authority), made).kind:
            self.tables.append(bytes(table))

    @precondition(lambda self: self.tables)
    @rule(at=st.integers(0, 2), who=mostly_n00, step=st.sampled_from((0, 0, 1, 1, 2, 3, 4, 5)))
    def change_table(self, at: int, who: str, step: int) -> None:
        table, authority = Pubkey(self.tables[at % len(self.tables)]), self.pubkey(who)
        added = [self.pubkey(name) for name in ("x0", "n02", "x1")]
        asked = (
            extend_lookup_table(
                ExtendLookupTableParams(
                    payer_address=self.pubkey("n00"),
                    new_addresses=added,
                    lookup_table_address=table,
                    authority_address=authority,
                )
            ),
            extend_lookup_table(
                ExtendLookupTableParams(
                    payer_address=self.pubkey("n00"),
                    new_addresses=added * 6,
                    lookup_table_address=table,
                    authority_address=authority,
                )
            ),
            freeze_lookup_table(
                FreezeLookupTableParams(lookup_table_address=table, authority_address=authority)
            ),
            deactivate_lookup_table(
                DeactivateLookupTableParams(lookup_table_address=table, authority_address=authority)
            ),
            close_lookup_table(
                CloseLookupTableParams(
                    recipient_address=self.pubkey("x2"),
                    lookup_table_address=table,
                    authority_address=authority,
                )
            ),
            close_lookup_table(
                CloseLookupTableParams(
                    recipient_address=table, lookup_table_address=table, authority_address=authority
                )
            ),
        )
        self.run(("n00", who), asked[step])

    @precondition(lambda self: self.tables)
    @rule(at=st.integers(0, 2), payer=people, amount=amounts)
    def go_through_a_table(self, at: int, payer: str, amount: int) -> None:
        table = AddressLookupTableAccount(
            Pubkey(self.tables[at % len(self.tables)]), [self.pubkey(n) for n in ("x0", "n02", "x1")]
        )
        pay = transfer(
            TransferParams(from_pubkey=self.pubkey(payer), to_pubkey=self.pubkey("x1"), lamports=amount)
        )
        message = MessageV0.try_compile(self.pubkey(payer), [pay], [table], Hash(self.world.tick()))
        wire = bytes(VersionedTransaction(message, [self.world.keys[payer]]))
        self.kept.append(wire)
        receipt = self.send(wire)
        assert receipt.kind == Kind.VOID or (self.world.key("x1"),) == receipt.loaded

    # Tokens and memos

    @rule(number=st.sampled_from((3, 4, 7, 8)), of=held, to=held, by=mostly_n00, amount=amounts)
    def move_tokens(self, number: int, of: str, to: str, by: str, amount: int) -> None:
        on = {3: [of, to, by], 4: [of, "n02", by], 7: ["mint", to, by], 8: [of, "mint", by]}[number]
        self.run((by,), self.world.token(number, "Q", min(amount, 2**63), on=on))

    @rule(number=st.sampled_from((5, 9, 10, 11, 17)), of=held, by=people)
    def change_tokens(self, number: int, of: str, by: str) -> None:
        on = {5: [of, by], 9: [of, "n02", by], 10: [of, "mint", by], 11: [of, "mint", by], 17: [of]}[number]
        self.run(("n00", by), self.world.token(number, "", on=on))

    @rule(name=things, mint=st.sampled_from(("mint", "wrapped")), owner=people)
    def open_tokens(self, name: str, mint: str, owner: str) -> None:
        made = create_account(
            CreateAccountParams(
                from_pubkey=self.pubkey("n00"), to_pubkey=self.pubkey(name), lamports=10**7,
                space=ACCOUNT_BYTES, owner=Pubkey(TOKEN_PROGRAM),
            )
        )  # fmt: skip
        self.run(("n00", name), made, self.world.token(18, "K", owner, on=[name, mint]))

    @rule(text=st.binary(max_size=9), who=people)
    def remark(self, text: bytes, who: str) -> None:
        self.run(("n00", who), memo(self.world, text, who))

    # What always holds

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert not hasattr(self, "ran") or set(self.ran.values()) <= {1}

    @invariant()
    def nothing_is_negative(self) -> None:
        if hasattr(self, "world"):
            assert all(account.balance >= 0 for account in self.world.state.accounts.rows.values())

    @invariant()
    def tokens_are_neither_lost_nor_found(self) -> None:
        if not hasattr(self, "world"):
            return
        state, mint = self.world.state, self.world.key("mint")
        amounts = 0
        for key, account in state.accounts.rows.items():
            if account.owner == TOKEN_PROGRAM and account.space == ACCOUNT_BYTES and account.data:
                one = get_account(state, key)
                amounts += one.amount if one.mint == mint else 0
        assert amounts == get_mint(state, mint).supply

    @invariant()
    def tables_hold_what_their_bytes_say(self) -> None:
        for key in getattr(self, "tables", []):
            account = self.world.state.accounts.rows.get(key)
            if account is not None and account.owner == LOOKUP_PROGRAM:
                table = decode_table(account)
                assert table is not None
                assert account.space == 56 + 32 * table.count()
                assert table.start <= table.count() <= 256

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        state = create_state(self.genesis)
        for at, (block, verified, outcome) in enumerate(self.world.blocks):
            if at == len(self.world.blocks) // 2:
                state = reload(state)
            again = execute(state, block, verified)
            assert (outcome.block_hash, outcome.state_hash) == (again.block_hash, again.state_hash)


Programs.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestPrograms = pytest.mark.timeout(300)(Programs.TestCase)
