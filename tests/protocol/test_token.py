"""The rules of the token program, of associated accounts and of memos, and the tests that would miss them."""

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from roundwork.protocol.addresses import find_associated
from roundwork.protocol.execute import encode_receipt
from roundwork.protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    MEMO_1_PROGRAM,
    MEMO_PROGRAM,
    MEMO_PROGRAMS,
    TOKEN_PROGRAM,
    WRAPPED_MINT,
    Key,
)  # fmt: skip
from roundwork.protocol.programs.token import RESERVE
from roundwork.protocol.programs.token_checks import get_account, get_data, get_mint
from roundwork.protocol.programs.token_records import (
    ACCOUNT_BYTES,
    MINT_BYTES,
    MULTISIG_BYTES,
    decode_account,
    decode_multisig,
)  # fmt: skip

from .registry import rejected, shows
from .world import World, move


class Tokens(World):
    """A mint of 2 decimals by n00, who also freezes; n00 and n01 hold 1000 and 0 of it."""

    def __init__(self, **genesis: Any) -> None:
        super().__init__(**genesis)
        self.make("mint", MINT_BYTES, self.token(20, "BKO", 2, "n00", "n00", on=["mint"]))
        for name, owner in (("a0", "n00"), ("a1", "n01")):
            self.make(name, ACCOUNT_BYTES, self.token(18, "K", owner, on=[name, "mint"]))
        self.ok("n00", self.token(7, "Q", 1000, on=["mint", "a0", "n00"]))

    def token(
        self,
        number: int,
        form: str,
        *fields: object,
        on: list[str],
        more: tuple[str, ...] = (),
        signs: bool = True,
    ) -> Instruction:
        """A token instruction. `on` names its accounts; the last signs if it is a person, and `more` do."""
        data = bytes([number])
        for letter, value in zip(form, fields, strict=True):
            if letter == "B":
                data += struct.pack("<B", value)
            elif letter == "Q":
                data += struct.pack("<Q", value)
            else:
                key = b"" if value is None else self.find(str(value))
                data += key if letter == "K" else bytes([value is not None]) + key
        last = len(on) - 1
        metas = [
            AccountMeta(Pubkey(self.find(name)), signs and at == last and name[0] == "n", True)
            for at, name in enumerate(on)
        ]
        metas += [AccountMeta(Pubkey(self.find(name)), True, False) for name in more]
        return Instruction(Pubkey(TOKEN_PROGRAM), data, metas)

    def find(self, name: str) -> Key:
        return WRAPPED_MINT if name == "wrapped" else self.key(name)

    def make(
        self, name: str, size: int, *then: Instruction, balance: int = 5, owner: Key = TOKEN_PROGRAM
    ) -> None:
        made = create_account(
            CreateAccountParams(
                from_pubkey=Pubkey(self.key("n00")),
                to_pubkey=Pubkey(self.key(name)),
                lamports=balance,
                space=size,
                owner=Pubkey(owner),
            )
        )
        receipt = self.run(("n00", name), made, *then)
        assert receipt.kind == 0, receipt

    def ok(self, signers: str | tuple[str, ...], *asked: Instruction) -> None:
        receipt = self.run(signers, *asked)
        assert receipt.kind == 0, receipt

    def amount(self, name: str) -> int:
        return get_account(self.state, self.key(name)).amount

    def give(self, amount: int, by: str = "n00") -> Instruction:
        return self.token(3, "Q", amount, on=["a0", "a1", by])


@shows("12.1")
def _known() -> None:
    world = Tokens()
    program = Pubkey(TOKEN_PROGRAM)
    rejected(world, "BadInstruction", "n00", Instruction(program, b"", []))
    rejected(world, "BadInstruction", "n00", Instruction(program, b"\x63", []))
    rejected(world, "BadInstruction", "n00", Instruction(program, world.give(5).data, []))
    rejected(world, "BadInstruction", "n00", Instruction(program, b"\x03\0", world.give(5).accounts))
    rejected(world, "BadInstruction", "n00", Instruction(program, b"\x06\0", world.give(5).accounts))


@shows("12.2")
def _mint() -> None:
    world = Tokens()
    rejected(world, "TokenNotMint", "n00", world.token(7, "Q", 5, on=["a0", "a0", "n00"]))


def test_a_blank_account_of_the_size_of_a_mint_is_none() -> None:
    world = Tokens()
    world.make("blank", MINT_BYTES)

    rejected(world, "TokenNotMint", "n00", world.token(7, "Q", 5, on=["blank", "a0", "n00"]))


@shows("12.3")
def _account() -> None:
    world = Tokens()
    rejected(world, "TokenUninitialized", "n00", world.token(3, "Q", 5, on=["a0", "mint", "n00"]))
    rejected(world, "TokenUninitialized", "n00", world.token(3, "Q", 5, on=["n02", "a1", "n00"]))
    world.make("blank", ACCOUNT_BYTES)
    rejected(world, "TokenUninitialized", "n00", world.token(3, "Q", 5, on=["a0", "blank", "n00"]))


@shows("12.4")
def _fresh() -> None:
    world = Tokens()
    rejected(world, "TokenInUse", "n00", world.token(20, "BKO", 2, "n00", None, on=["mint"]))
    rejected(
        world, "TokenUninitialized", "n00", world.token(20, "BKO", 2, "n00", None, on=["n01"], signs=False)
    )
    world.make("small", 10)
    rejected(world, "TokenUninitialized", "n00", world.token(18, "K", "n00", on=["small", "mint"]))


@shows("12.5")
def _authority() -> None:
    world = Tokens()
    rejected(world, "TokenOwnerMismatch", "n01", world.give(5, by="n01"))
    unsigned = world.give(5)
    metas = [AccountMeta(one.pubkey, False, True) for one in unsigned.accounts]
    rejected(world, "MissingSigner", "n01", Instruction(unsigned.program_id, unsigned.data, metas))


@shows("12.6")
def _same_mint() -> None:
    world = Tokens()
    world.make("other", MINT_BYTES, world.token(20, "BKO", 2, "n00", None, on=["other"]))
    world.make("b0", ACCOUNT_BYTES, world.token(18, "K", "n00", on=["b0", "other"]))
    rejected(world, "TokenMintMismatch", "n00", world.token(3, "Q", 5, on=["a0", "b0", "n00"]))
    rejected(world, "TokenMintMismatch", "n00", world.token(12, "QB", 5, 2, on=["a0", "other", "a1", "n00"]))
    rejected(world, "TokenMintMismatch", "n00", world.token(7, "Q", 5, on=["other", "a0", "n00"]))


@shows("12.7")
def _not_frozen() -> None:
    world = Tokens()
    world.ok("n00", world.token(10, "", on=["a1", "mint", "n00"]))
    rejected(world, "TokenFrozen", "n00", world.give(5))
    world.ok("n00", world.token(11, "", on=["a1", "mint", "n00"]))
    world.ok("n00", world.give(5))


@shows("12.8")
def _enough() -> None:
    world = Tokens()
    rejected(world, "TokenNotEnough", "n00", world.give(1001))
    world.ok("n00", world.token(4, "Q", 10, on=["a0", "n02", "n00"]))
    rejected(world, "TokenNotEnough", "n02", world.give(11, by="n02"))
    rejected(world, "TokenNotEnough", "n00", world.token(8, "Q", 1001, on=["a0", "mint", "n00"]))


@shows("12.9")
def _decimals() -> None:
    world = Tokens()
    rejected(
        world, "TokenDecimalsMismatch", "n00", world.token(12, "QB", 5, 3, on=["a0", "mint", "a1", "n00"])
    )
    rejected(
        world, "TokenDecimalsMismatch", "n00", world.token(13, "QB", 5, 3, on=["a0", "mint", "n02", "n00"])
    )
    rejected(world, "TokenDecimalsMismatch", "n00", world.token(14, "QB", 5, 3, on=["mint", "a0", "n00"]))
    rejected(world, "TokenDecimalsMismatch", "n00", world.token(15, "QB", 5, 3, on=["a0", "mint", "n00"]))


@shows("12.10")
def _mintable() -> None:
    world = Tokens()
    world.ok("n00", world.token(6, "BO", 0, None, on=["mint", "n00"]))
    rejected(world, "TokenFixedSupply", "n00", world.token(7, "Q", 5, on=["mint", "a0", "n00"]))
    rejected(world, "TokenFixedSupply", "n00", world.token(6, "BO", 0, "n00", on=["mint", "n00"]))


@shows("12.11")
def _supply() -> None:
    world = Tokens()
    rejected(world, "TokenOverflow", "n00", world.token(7, "Q", 2**64 - 1000, on=["mint", "a0", "n00"]))


def wrap(world: Tokens, name: str = "w0", owner: str = "n00", balance: int = RESERVE + 500) -> None:
    world.make(name, ACCOUNT_BYTES, world.token(18, "K", owner, on=[name, "wrapped"]), balance=balance)


@shows("12.12")
def _not_native() -> None:
    world = Tokens()
    wrap(world)
    rejected(world, "TokenNativeUnsupported", "n00", world.token(8, "Q", 5, on=["w0", "wrapped", "n00"]))
    rejected(world, "TokenNativeUnsupported", "n00", world.token(7, "Q", 5, on=["wrapped", "w0", "n00"]))
    rejected(world, "TokenNativeUnsupported", "n00", world.token(10, "", on=["w0", "wrapped", "n00"]))


@shows("3.9")
def _fee_payer() -> None:
    world = Tokens(fee_per_signature=10)
    wrap(world)
    receipt = world.run("w0", world.token(17, "", on=["w0"]))
    assert (2, "InvalidAccountForFee", 0) == (receipt.kind, receipt.name, receipt.fee)


@shows("12.13")
def _native() -> None:
    world = Tokens()
    rejected(world, "TokenNativeUnsupported", "n00", world.token(17, "", on=["a0"]))


@shows("12.14")
def _empty() -> None:
    world = Tokens()
    rejected(world, "TokenHasBalance", "n00", world.token(9, "", on=["a0", "n00", "n00"]))
    world.ok("n01", world.token(9, "", on=["a1", "n02", "n01"]))
    assert world.key("a1") not in world.state.accounts.rows


@shows("12.15")
def _freezable() -> None:
    world = Tokens()
    world.ok("n00", world.token(6, "BO", 1, None, on=["mint", "n00"]))
    rejected(world, "TokenUnfreezable", "n00", world.token(10, "", on=["a1", "mint", "n00"]))
    rejected(world, "TokenUnfreezable", "n00", world.token(6, "BO", 1, "n00", on=["mint", "n00"]))


@shows("12.16")
def _frozen_state() -> None:
    world = Tokens()
    rejected(world, "TokenFrozen", "n00", world.token(11, "", on=["a1", "mint", "n00"]))
    world.ok("n00", world.token(10, "", on=["a1", "mint", "n00"]))
    rejected(world, "TokenFrozen", "n00", world.token(10, "", on=["a1", "mint", "n00"]))


@shows("12.17")
def _signers() -> None:
    world = Tokens()
    world.make("multi", MULTISIG_BYTES)
    for needed, signers in ((0, ["n00"]), (2, ["n00"]), (1, [])):
        rejected(
            world,
            "TokenSignersWrong",
            "n00",
            world.token(19, "B", needed, on=["multi", *signers], signs=False),
        )


@shows("12.18")
def _authority_kind() -> None:
    world = Tokens()
    rejected(world, "TokenAuthorityUnsupported", "n00", world.token(6, "BO", 2, "n01", on=["mint", "n00"]))
    rejected(world, "TokenAuthorityUnsupported", "n00", world.token(6, "BO", 0, "n01", on=["a0", "n00"]))
    rejected(world, "TokenAuthorityUnsupported", "n00", world.token(6, "BO", 2, None, on=["a0", "n00"]))


@shows("12.19")
def _apart() -> None:
    world = Tokens()
    rejected(world, "TokenInUse", "n01", world.token(9, "", on=["a1", "a1", "n01"]))


def associate(
    world: Tokens, owner: str, at: Key | None = None, data: bytes = b"", payer: str = "n00"
) -> Instruction:
    address = at or find_associated(world.key(owner), world.key("mint"))
    metas = [
        AccountMeta(Pubkey(world.key(payer)), True, True),
        AccountMeta(Pubkey(address), False, True),
        AccountMeta(Pubkey(world.key(owner)), False, False),
        AccountMeta(Pubkey(world.key("mint")), False, False),
    ]
    return Instruction(Pubkey(ASSOCIATED_TOKEN_PROGRAM), data, metas)


@shows("12.21")
def _associated() -> None:
    world = Tokens()
    rejected(world, "WrongOwner", "n00", associate(world, "n02", at=bytes([5]) * 32))


@shows("12.22")
def _associated_vacant() -> None:
    world = Tokens()
    world.ok("n00", associate(world, "n02"))
    rejected(world, "AccountInUse", "n00", associate(world, "n02", data=b"\0"))
    world.ok("n00", associate(world, "n02", data=b"\1"))  # it is there: fine


@shows("12.23")
def _associated_call() -> None:
    world = Tokens()
    rejected(world, "BadInstruction", "n00", associate(world, "n02", data=b"\2"))
    whole = associate(world, "n02")
    rejected(world, "BadInstruction", "n00", Instruction(whole.program_id, b"", whole.accounts[:3]))


def memo(
    world: World, text: bytes, *signers: str, signs: bool = True, program: Key = MEMO_PROGRAM
) -> Instruction:
    metas = [AccountMeta(Pubkey(world.key(name)), signs, False) for name in signers]
    return Instruction(Pubkey(program), text, metas)


@shows("12.24")
def _memo() -> None:
    world = World()
    for program in MEMO_PROGRAMS:
        rejected(world, "BadMemo", "n00", memo(world, b"\xff", program=program))


@shows("12.25")
def _memo_signed() -> None:
    world = World()
    for program in MEMO_PROGRAMS - {MEMO_1_PROGRAM}:
        asked = memo(world, b"hello", "n01", signs=False, program=program)
        rejected(world, "MissingSigner", "n00", asked)
    first = memo(world, b"hello", "n01", signs=False, program=MEMO_1_PROGRAM)
    assert not world.run("n00", first).kind


@shows("12.20")
def _amount_text() -> None:
    world = Tokens()
    for text in (
        b"",
        b".",
        b"1.234",
        b"1.2.3",
        b"-1",
        b"1e3",
        b" 1",
        b"184467440737095516.16",
        b"\xff",
        b"+",
    ):
        asked = Instruction(Pubkey(TOKEN_PROGRAM), b"\x18" + text, world.token(21, "", on=["mint"]).accounts)
        rejected(world, "BadAmount", "n00", asked)


# What the program does when nothing is refused


def test_tokens_move_and_their_supply_is_what_was_minted_less_what_was_burnt() -> None:
    world = Tokens()
    world.ok("n00", world.give(300))
    world.ok("n01", world.token(12, "QB", 100, 2, on=["a1", "mint", "a0", "n01"]))
    world.ok("n00", world.token(15, "QB", 50, 2, on=["a0", "mint", "n00"]))
    world.ok("n00", world.token(14, "QB", 7, 2, on=["mint", "a1", "n00"]))

    assert (750, 207) == (world.amount("a0"), world.amount("a1"))
    assert 957 == get_mint(world.state, world.key("mint")).supply


def test_a_transfer_to_the_same_account_changes_nothing() -> None:
    world = Tokens()
    world.ok("n00", world.token(3, "Q", 300, on=["a0", "a0", "n00"]))

    assert 1000 == world.amount("a0")


def test_a_delegate_spends_what_was_approved_and_then_is_none() -> None:
    world = Tokens()
    world.ok("n00", world.token(13, "QB", 10, 2, on=["a0", "mint", "n02", "n00"]))
    world.ok("n02", world.give(4, by="n02"))
    assert 6 == get_account(world.state, world.key("a0")).delegated
    world.ok("n02", world.give(6, by="n02"))
    assert get_account(world.state, world.key("a0")).delegate is None

    world.ok("n00", world.token(4, "Q", 10, on=["a0", "n02", "n00"]))
    world.ok("n00", world.token(5, "", on=["a0", "n00"]))
    assert get_account(world.state, world.key("a0")).delegate is None


def test_authorities_change_hands() -> None:
    world = Tokens()
    world.ok("n00", world.token(6, "BO", 0, "n01", on=["mint", "n00"]))
    world.ok("n01", world.token(7, "Q", 5, on=["mint", "a1", "n01"]))
    world.ok("n00", world.token(6, "BO", 3, "n02", on=["a0", "n00"]))
    assert world.key("n02") == get_account(world.state, world.key("a0")).closer
    world.ok("n00", world.token(6, "BO", 2, "n01", on=["a0", "n00"]))
    world.ok("n01", world.give(1005 - 5, by="n01"))
    world.ok("n02", world.token(9, "", on=["a0", "n02", "n02"]))


def test_a_multisig_needs_so_many_of_its_signers() -> None:
    world = Tokens()
    world.make(
        "multi", MULTISIG_BYTES, world.token(19, "B", 2, on=["multi", "n00", "n01", "n02"], signs=False)
    )
    multisig = decode_multisig(get_data(world.state, world.key("multi")))
    assert multisig is not None
    assert 3 == len(multisig.signers)
    world.make("shared", ACCOUNT_BYTES, world.token(16, "K", "multi", on=["shared", "mint"]))
    world.ok("n00", world.give(0), world.token(3, "Q", 10, on=["a0", "shared", "n00"]))

    move = ["shared", "a1", "multi"]
    rejected(world, "MissingSigner", "n00", world.token(3, "Q", 4, on=move, more=("n00",)))
    world.ok(("n00", "n02"), world.token(3, "Q", 4, on=move, more=("n00", "n02")))

    assert 6 == world.amount("shared")


def test_a_multisig_of_the_older_instruction_names_the_rent_sysvar_first() -> None:
    world = Tokens()
    world.make("multi", MULTISIG_BYTES, world.token(2, "B", 1, on=["multi", "pot", "n00"], signs=False))

    multisig = decode_multisig(get_data(world.state, world.key("multi")))

    assert multisig is not None
    assert (world.key("n00"),) == multisig.signers


def test_accounts_of_the_older_instruction_name_their_owner_as_an_account() -> None:
    world = Tokens()
    world.make(
        "old",
        ACCOUNT_BYTES,
        world.token(1, "", on=["old", "mint", "n02"], signs=False),
        world.token(22, "", on=["old"]),
    )

    assert world.key("n02") == get_account(world.state, world.key("old")).owner


def test_wrapped_native_money_moves_with_its_tokens() -> None:
    world = Tokens()
    wrap(world, "w0", "n00")
    wrap(world, "w1", "n01", balance=RESERVE)
    assert (500, 0) == (world.amount("w0"), world.amount("w1"))

    world.ok("n00", world.token(3, "Q", 200, on=["w0", "w1", "n00"]))

    assert (300, 200) == (world.amount("w0"), world.amount("w1"))
    assert RESERVE + 200 == world.state.accounts.rows[world.key("w1")].balance
    before = world.state.accounts.rows[world.key("n02")].balance
    world.ok("n01", world.token(9, "", on=["w1", "n02", "n01"]))
    assert before + RESERVE + 200 == world.state.accounts.rows[world.key("n02")].balance


def test_who_may_close_an_account_of_wrapped_money_is_forgotten_with_its_owner() -> None:
    world = Tokens()
    wrap(world, "w0", "n00")
    for name, left in (("w0", None), ("a0", world.key("n02"))):
        world.ok("n00", world.token(6, "BO", 3, "n02", on=[name, "n00"]))
        world.ok("n00", world.token(6, "BO", 2, "n01", on=[name, "n00"]))

        assert left == get_account(world.state, world.key(name)).closer


def test_wrapped_money_follows_its_balance_when_asked() -> None:
    from .world import move

    world = Tokens()
    wrap(world, "w0", "n00")
    world.ok("n00", move(world, "n00", "w0", 40), world.token(17, "", on=["w0"]))

    assert 540 == world.amount("w0")


def test_an_associated_account_is_made_where_owner_and_mint_say() -> None:
    world = Tokens()
    world.ok("n00", associate(world, "n02"))
    address = find_associated(world.key("n02"), world.key("mint"))

    held = get_account(world.state, address)

    assert (world.key("n02"), 0) == (held.owner, held.amount)
    assert RESERVE == world.state.accounts.rows[address].balance


def test_a_memo_that_all_signed_is_accepted() -> None:
    world = World()

    assert 0 == world.run(("n00", "n01"), memo(world, b"hello", "n01")).kind


@pytest.mark.parametrize("size", [MINT_BYTES, ACCOUNT_BYTES, MULTISIG_BYTES])
def test_blank_accounts_are_none_of_the_kinds(size: int) -> None:
    world = Tokens()
    world.make("blank", size)

    assert decode_multisig(get_data(world.state, world.key("blank"))) is None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    number=st.integers(0, 23),
    data=st.binary(max_size=80),
    names=st.lists(st.sampled_from(("a0", "a1", "mint", "n00", "n01", "wrapped", "w0", "multi")), max_size=6),
)
def test_no_token_instruction_makes_the_law_raise_anything_but_a_rejection(
    number: int, data: bytes, names: Any
) -> None:
    world = Tokens()
    wrap(world)
    world.make("multi", MULTISIG_BYTES, world.token(19, "B", 1, on=["multi", "n00"], signs=False))
    supply = get_mint(world.state, world.key("mint")).supply
    metas = [AccountMeta(Pubkey(world.find(name)), name == "n00", True) for name in names]

    receipt = world.run("n00", Instruction(Pubkey(TOKEN_PROGRAM), bytes([number]) + data, metas))

    assert receipt.kind in (0, 1)
    held = [decode_account(account.data) for account in world.state.accounts.rows.values()]
    total = sum(one.amount for one in held if one is not None and one.mint == world.key("mint"))
    now = get_mint(world.state, world.key("mint")).supply
    assert total == now
    assert supply == now or number in (7, 8, 14, 15)


def test_a_mint_of_the_older_instruction_names_the_rent_sysvar() -> None:
    world = Tokens()
    world.make("old", MINT_BYTES, world.token(0, "BKO", 6, "n00", None, on=["old", "rent"]))

    assert 6 == get_mint(world.state, world.key("old")).decimals


def test_tokens_are_burnt_by_their_owner() -> None:
    world = Tokens()

    world.ok("n00", world.token(8, "Q", 300, on=["a0", "mint", "n00"]))

    assert (700, 700) == (world.amount("a0"), get_mint(world.state, world.key("mint")).supply)


@pytest.mark.parametrize(
    ("number", "form", "fields", "expected"),
    [
        (21, "", (), (165).to_bytes(8, "little")),
        (23, "Q", (12345,), b"123.45"),
        (23, "Q", (12300,), b"123"),
        (23, "Q", (7,), b"0.07"),
        (23, "Q", (0,), b"0"),
        (23, "Q", (2**64 - 1,), b"184467440737095516.15"),
    ],
)
def test_a_token_instruction_hands_back_what_it_is_asked_for(
    number: int, form: Any, fields: Any, expected: Any
) -> None:
    world = Tokens()

    receipt = world.run("n00", world.token(number, form, *fields, on=["mint"]))

    assert (0, (TOKEN_PROGRAM, expected)) == (receipt.kind, receipt.returned)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"123.45", 12345), (b"123", 12300), (b".5", 50), (b"5.", 500), (b"0.070000", 7), (b"+1", 100),
        (b"184467440737095516.15", 2**64 - 1),
    ],
)  # fmt: skip
def test_an_amount_for_people_is_read(text: bytes, expected: int) -> None:
    world = Tokens()
    accounts = world.token(21, "", on=["mint"]).accounts

    receipt = world.run("n00", Instruction(Pubkey(TOKEN_PROGRAM), b"\x18" + text, accounts))

    assert (TOKEN_PROGRAM, expected.to_bytes(8, "little")) == receipt.returned


def test_amounts_of_a_mint_without_decimals_are_whole() -> None:
    world = Tokens()
    world.make("whole", MINT_BYTES, world.token(20, "BKO", 0, "n00", None, on=["whole"]))

    receipt = world.run("n00", world.token(23, "Q", 120, on=["whole"]))

    assert (TOKEN_PROGRAM, b"120") == receipt.returned


def test_what_an_instruction_hands_back_is_not_law() -> None:
    world = Tokens()

    receipt = world.run("n00", world.token(23, "Q", 120, on=["mint"]))

    assert encode_receipt(receipt) == encode_receipt(msgspec.structs.replace(receipt, returned=None))


def test_the_last_data_that_was_handed_back_is_kept() -> None:
    world = Tokens()
    accounts = world.token(21, "", on=["mint"]).accounts
    asked = [
        world.token(21, "", on=["mint"]),
        world.token(23, "Q", 5, on=["mint"]),
        Instruction(Pubkey(TOKEN_PROGRAM), b"\x185", accounts),
    ]

    receipt = world.run("n00", *asked)

    assert (TOKEN_PROGRAM, (500).to_bytes(8, "little")) == receipt.returned


def test_wrapped_money_without_a_reserve_is_all_tokens() -> None:
    world = Tokens()
    world.make("bare", ACCOUNT_BYTES, world.token(18, "K", "n00", on=["bare", "wrapped"]), balance=0)
    world.ok("n00", move(world, "n00", "bare", 700))

    world.ok("n00", world.token(17, "", on=["bare"]))

    assert (700, 0) == (world.amount("bare"), get_account(world.state, world.key("bare")).reserve)
