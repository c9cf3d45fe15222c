"""Strategies against roundwork-1: the honest participant with one decision replaced.

A new strategy is a subclass of `SealedStrategy` that replaces a method and says where it deviates with
`me.act`. All nodes of a coalition share one instance, so they can agree on what they do.
"""

from .accusations import (
    BlindAccuser,
    FriendFirst,
    FrontRunner,
    Griefer,
    OneLiar,
    OneVictim,
    Picker,
    QuorumRing,
    SelfAccuser,
    VoteRing,
)
from .base import HONEST, SealedMember, SealedStrategy
from .checks import (
    Cartel,
    Follower,
    LazyChecker,
    LazyHider,
    NeverLooks,
    QuietInvalid,
    ReceiptStriker,
    Striker,
    UnseenAccuser,
    UnseenJuror,
    VoteStriker,
)
from .crowds import Canary, CrowdFailure, SybilRing
from .lists import ListForger, ListKiller, ListThief, SilentLeader, VetoThief
from .proofs import (
    ChallengedLie,
    Challenger,
    ChallengerOfOne,
    HiddenLie,
    Hoarder,
    LateAnswerer,
    LedgerOnly,
    Withholder,
)
from .submissions import (
    Copycat,
    Equivocator,
    Guesser,
    Late,
    LazyWorker,
    Lie,
    NoShow,
    OldProof,
    RevealSkipper,
    RoundCloser,
    Silent,
)

__all__ = [
    "HONEST", "NOT_PLAYED", "ROLES", "STRATEGIES", "Canary", "Late", "SealedMember", "SealedStrategy",
    "Striker",
]  # fmt: skip

STRATEGIES: dict[str, type[SealedStrategy]] = {
    strategy.name: strategy
    for strategy in (
        SealedStrategy, LazyWorker, OldProof, Lie, Guesser, Copycat, NoShow, RevealSkipper, RoundCloser,
        Equivocator, HiddenLie, ChallengedLie, Withholder, LedgerOnly, LateAnswerer, Challenger,
        ChallengerOfOne, LazyChecker, LazyHider, UnseenJuror, UnseenAccuser, Follower, NeverLooks,
        ReceiptStriker, VoteStriker, Striker, QuietInvalid, BlindAccuser, Griefer, OneVictim, Picker,
        SelfAccuser, FriendFirst, FrontRunner, VoteRing, OneLiar, QuorumRing, Cartel, SilentLeader, ListThief,
        ListForger, ListKiller, VetoThief, SybilRing, CrowdFailure,
    )
}  # fmt: skip
"""The strategies that have a meaning under `roundwork-1`, by name."""

NOT_PLAYED = {
    "flash stakers, stake-and-run, half stakes": "a stake at risk is locked, and what a node has at risk is"
    " fixed once: tests/protocol/test_hardened_honest.py tops up and leaves at every moment",
    "mouse against whale, whale above the duty cap": "they are strategies of this list with other stakes:"
    " `--stakes mice`, `--stakes whale`",
    "beacon grinders with the block's hash": "only who makes the last block can; `reveal-skipper` pays what"
    " a node without that power pays",
    "creators who run a ring": "slashes go back to the bounty; add them to the profit",
    "outages, dark nodes": "they are faults, not decisions: tests/sim/test_sealed_schedules.py plays them",
    "judgement-proof griefers": "a commitment needs half of the minimum stake, and every accusation its bond",
}
"""Strategies that are not simulated here, and why."""

ROLES: dict[str, type[SealedStrategy]] = {
    "honest": SealedStrategy,
    "liar": Lie,
    "copycat": Copycat,
    "late": Late,
    "silent": Silent,
    "lazy": Striker,
    "accuser": BlindAccuser,
    "thief": ListThief,
    "mute": SilentLeader,
    "slanderer": ListKiller,
    "withholder": Hoarder,
    "reluctant": LedgerOnly,
    "hider": HiddenLie,
}
"""The ways to play that `simulate` and `up` name."""
