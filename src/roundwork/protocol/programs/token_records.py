"""What token accounts hold: mints, accounts and multisigs in the ecosystem's bytes."""

import struct

import msgspec

from ..params import Key

MINT_BYTES = 82
ACCOUNT_BYTES = 165
MULTISIG_BYTES = 355
SIZES = frozenset((MINT_BYTES, ACCOUNT_BYTES, MULTISIG_BYTES))
SIGNERS_MAX = 11

MINT_AT, AMOUNT_AT, STATE_AT = 0, 64, 108
"""Where a token account has its mint, its amount (a u64) and its state (0: not initialised)."""

_MINT = struct.Struct("<I32sQBBI32s")
_ACCOUNT = struct.Struct("<32s32sQI32sBIQQI32s")

NOBODY = bytes(32)


class Mint(msgspec.Struct, frozen=True):
    """A kind of token. Without an authority nothing more is minted, or nothing is frozen."""

    supply: int
    decimals: int
    authority: Key | None
    freezer: Key | None


class TokenAccount(msgspec.Struct, frozen=True):
    """Tokens of one mint that belong to `owner`.

    `delegate` may spend `delegated` of them. `reserve` marks an account of wrapped native money: what of its
    balance is not counted as tokens, in roe.
    """

    mint: Key
    owner: Key
    amount: int = 0
    delegate: Key | None = None
    is_frozen: bool = False
    reserve: int | None = None
    delegated: int = 0
    closer: Key | None = None


class Multisig(msgspec.Struct, frozen=True):
    """An authority of which `needed` of `signers` must sign."""

    needed: int
    signers: tuple[Key, ...]


def decode_mint(data: bytes) -> Mint | None:
    """A mint; None if the bytes are none."""
    if len(data) != MINT_BYTES:
        return None
    has_authority, authority, supply, decimals, is_ready, has_freezer, freezer = _MINT.unpack(data)
    if not is_ready:
        return None
    return Mint(supply, decimals, authority if has_authority else None, freezer if has_freezer else None)


def encode_mint(mint: Mint) -> bytes:
    """The 82 bytes of a mint."""
    authority, freezer = mint.authority, mint.freezer
    return _MINT.pack(
        authority is not None, authority or NOBODY, mint.supply, mint.decimals, 1, freezer is not None,
        freezer or NOBODY,
    )  # fmt: skip


def decode_account(data: bytes) -> TokenAccount | None:
    """A token account; None if the bytes are none."""
    if len(data) != ACCOUNT_BYTES:
        return None
    (
        mint,
        owner,
        amount,
        has_delegate,
        delegate,
        state,
        is_native,
        reserve,
        delegated,
        has_closer,
        closer,
    ) = _ACCOUNT.unpack(data)
    if not state:
        return None
    return TokenAccount(
        mint, owner, amount, delegate if has_delegate else None, state == 2, reserve if is_native else None,
        delegated, closer if has_closer else None,
    )  # fmt: skip


def encode_account(account: TokenAccount) -> bytes:
    """The 165 bytes of a token account."""
    delegate, closer, reserve = account.delegate, account.closer, account.reserve
    return _ACCOUNT.pack(
        account.mint, account.owner, account.amount, delegate is not None, delegate or NOBODY,
        2 if account.is_frozen else 1, reserve is not None, reserve or 0, account.delegated,
        closer is not None, closer or NOBODY,
    )  # fmt: skip


def decode_multisig(data: bytes) -> Multisig | None:
    """A multisig; None if the bytes are none."""
    if len(data) != MULTISIG_BYTES or not data[2]:
        return None
    count = data[1]
    return Multisig(data[0], tuple(data[3 + 32 * at : 35 + 32 * at] for at in range(count)))


def encode_multisig(multisig: Multisig) -> bytes:
    """The 355 bytes of a multisig."""
    head = bytes([multisig.needed, len(multisig.signers), 1])
    return (head + b"".join(multisig.signers)).ljust(MULTISIG_BYTES, b"\0")
