"""The checks of the token program: mints, accounts, amounts, authorities."""

from ...errors import (
    MissingSigner,
    TokenAuthorityUnsupported,
    TokenDecimalsMismatch,
    TokenFixedSupply,
    TokenFrozen,
    TokenHasBalance,
    TokenInUse,
    TokenMintMismatch,
    TokenNativeUnsupported,
    TokenNotEnough,
    TokenNotMint,
    TokenOverflow,
    TokenOwnerMismatch,
    TokenSignersWrong,
    TokenUnfreezable,
    TokenUninitialized,
)  # fmt: skip
from ..layout import Call
from ..params import TOKEN_PROGRAM, Key, base58_of
from ..rules import rule
from ..state import State
from .token_records import (
    SIGNERS_MAX,
    SIZES,
    Mint,
    TokenAccount,
    decode_account,
    decode_mint,
    decode_multisig,
)  # fmt: skip

U64 = 2**64


def get_data(state: State, key: Key) -> bytes:
    """The data of a mint, token account or multisig, recognised by owner and size; otherwise empty."""
    account = state.accounts.rows.get(key)
    if account is None or account.owner != TOKEN_PROGRAM or account.space not in SIZES:
        return b""
    return account.data.ljust(account.space, b"\0")


def get_mint(state: State, key: Key) -> Mint:
    """The mint at an address. Raises TokenNotMint."""
    return check_mint(decode_mint(get_data(state, key)), key)


def get_account(state: State, key: Key) -> TokenAccount:
    """The token account at an address. Raises TokenUninitialized."""
    return check_account(decode_account(get_data(state, key)), key)


@rule("12.2")
def check_mint(mint: Mint | None, key: Key) -> Mint:
    """An account that is named as a mint is a mint."""
    if mint is None:
        raise TokenNotMint(f"{base58_of(key)} is not a mint")
    return mint


@rule("12.3")
def check_account(account: TokenAccount | None, key: Key) -> TokenAccount:
    """An account that is named as a token account is a token account."""
    if account is None:
        raise TokenUninitialized(f"{base58_of(key)} is not a token account")
    return account


@rule("12.4")
def check_fresh(state: State, key: Key, size: int) -> None:
    """An account to initialise belongs to the token program, has the right size, and is blank."""
    account = state.accounts.rows.get(key)
    if account is None or account.owner != TOKEN_PROGRAM or account.space != size:
        raise TokenUninitialized(f"{base58_of(key)} is not an account of the token program with {size} bytes")
    if account.data.strip(b"\0"):
        raise TokenInUse(f"{base58_of(key)} is initialised already")


@rule("12.5")
def check_authority(state: State, call: Call, at: int, authority: Key | None) -> None:
    """The authority over an account or mint signs; for a multisig enough of its signers do."""
    if call.keys[at] != authority:
        needed = "nobody" if authority is None else base58_of(authority)
        raise TokenOwnerMismatch(f"{base58_of(call.keys[at])} is not the authority, {needed} is")
    multisig = decode_multisig(get_data(state, authority))
    signed = {*call.list_signers()}
    if multisig is not None:
        count = len(signed & {*multisig.signers} & {*call.keys[at + 1 :]})
        if count < multisig.needed:
            raise MissingSigner(
                f"{count} signers of {base58_of(authority)} signed; it needs {multisig.needed}"
            )
    elif authority not in signed:
        raise MissingSigner(f"{base58_of(authority)} did not sign")


@rule("12.6")
def check_same_mint(mint: Key, other: Key) -> None:
    """Tokens move between accounts of the same mint."""
    if mint != other:
        raise TokenMintMismatch(f"one account is of mint {base58_of(mint)}, the other of {base58_of(other)}")


@rule("12.7")
def check_not_frozen(account: TokenAccount, key: Key) -> None:
    """A frozen account neither gives nor takes."""
    if account.is_frozen:
        raise TokenFrozen(f"{base58_of(key)} is frozen")


@rule("12.8")
def check_enough(available: int, amount: int) -> None:
    """An account gives at most what it holds, a delegate at most what was approved."""
    if available < amount:
        raise TokenNotEnough(f"{available} tokens are there; {amount} are to move")


@rule("12.9")
def check_decimals(mint: Mint, decimals: int) -> None:
    """A checked instruction knows the mint's decimals."""
    if mint.decimals != decimals:
        raise TokenDecimalsMismatch(f"the mint has {mint.decimals} decimals, the instruction says {decimals}")


@rule("12.10")
def check_mintable(mint: Mint) -> None:
    """Only a mint that has an authority makes more tokens, or hands that on."""
    if mint.authority is None:
        raise TokenFixedSupply("the supply of this mint is fixed")


@rule("12.11")
def check_supply(mint: Mint, amount: int) -> None:
    """A supply is a number of 64 bits."""
    if mint.supply + amount >= U64:
        raise TokenOverflow(f"a supply of {mint.supply} cannot grow by {amount}")


@rule("12.12")
def check_not_native(account: TokenAccount) -> None:
    """Wrapped native money is neither minted nor burnt nor frozen."""
    if account.reserve is not None:
        raise TokenNativeUnsupported("wrapped native money is neither minted nor burnt nor frozen")


@rule("12.13")
def check_native(account: TokenAccount) -> int:
    """Only wrapped native money is brought in line with its balance."""
    if account.reserve is None:
        raise TokenNativeUnsupported("only an account of wrapped native money has a balance to follow")
    return account.reserve


@rule("12.14")
def check_empty(account: TokenAccount) -> None:
    """An account with tokens is not closed."""
    if account.reserve is None and account.amount:
        raise TokenHasBalance(f"the account holds {account.amount} tokens")


@rule("12.15")
def check_freezable(mint: Mint) -> None:
    """Only a mint that has a freezing authority freezes, or hands that on."""
    if mint.freezer is None:
        raise TokenUnfreezable("this mint has no freezing authority")


@rule("12.16")
def check_frozen_state(account: TokenAccount, is_frozen: bool) -> None:
    """An account that is frozen was not frozen before; an account that is thawed was."""
    if account.is_frozen == is_frozen:
        raise TokenFrozen(f"the account is {'' if is_frozen else 'not '}frozen already")


@rule("12.17")
def check_signers(needed: int, count: int) -> None:
    """A multisig has 1 to 11 signers and needs no more than it has."""
    if not 1 <= needed <= count <= SIGNERS_MAX:
        raise TokenSignersWrong(
            f"{needed} of {count} signers; 1 to {SIGNERS_MAX}, and no more than there are"
        )


@rule("12.18")
def check_authority_kind(kind: int, allowed: tuple[int, ...]) -> None:
    """A mint has authorities to mint and to freeze; an account has an owner and a closing authority."""
    if kind not in allowed:
        raise TokenAuthorityUnsupported(f"an authority of kind {kind} is none of {allowed}")


@rule("12.19")
def check_apart(source: Key, target: Key) -> None:
    """The money of a closed account goes to another account."""
    if source == target:
        raise TokenInUse("an account cannot be closed into itself")
