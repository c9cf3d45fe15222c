"""Addresses that are derived from other addresses. No key signs for them."""

from hashlib import sha256

from solders.pubkey import Pubkey

from .params import ASSOCIATED_TOKEN_PROGRAM, KPL_PROGRAM, TOKEN_PROGRAM, Key, base58_of


def find_associated(owner: Key, mint: Key) -> Key:
    """The address of an owner's associated token account for a mint."""
    seeds = [owner, TOKEN_PROGRAM, mint]
    return bytes(Pubkey.find_program_address(seeds, Pubkey(ASSOCIATED_TOKEN_PROGRAM))[0])


def compute_pot_seed(pot: Key) -> bytes:
    """The seed of a pot's authority, as existing clients compute it."""
    return sha256(base58_of(pot).encode()).digest()


def find_authority(pot: Key) -> Key:
    """The owner of a pot: an address of the KPL program, off the curve, so that no key signs for it."""
    return bytes(Pubkey.find_program_address([compute_pot_seed(pot)], Pubkey(KPL_PROGRAM))[0])
