"""A world, and a stage, whose tasks pay in a token."""

import struct
from collections.abc import Sequence
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from roundwork.protocol.addresses import compute_pot_seed, find_authority
from roundwork.protocol.params import KPL_PROGRAM, TOKEN_PROGRAM, WRAPPED_MINT, Key, TaskKey
from roundwork.protocol.programs.token_checks import get_account, get_data
from roundwork.protocol.programs.token_records import ACCOUNT_BYTES, MINT_BYTES, decode_account
from roundwork.protocol.tasks import instructions

from .stage import Stage
from .world import START, World


class TokenWorld(World):
    """Everybody who lives here has START units of a token, in an account `<name>.tokens`."""

    program = KPL_PROGRAM

    def __init__(self, names: Sequence[str] = ("manager", "n00", "n01", "n02"), **changes: Any) -> None:
        super().__init__(names, **changes)
        self.block()  # no transaction runs in slot 0
        self.make("mint", MINT_BYTES, b"\x14\x06" + self.key("manager") + b"\1" + self.key("manager"))
        for name in names:
            self.open_account(f"{name}.tokens", name, "mint")
            self.mint_to(f"{name}.tokens", START)

    def token(self, data: bytes, *on: str, signer: str = "") -> Instruction:
        """A token instruction on these accounts; `signer`, one of them, signs."""
        keys = [WRAPPED_MINT if name == "wrapped" else self.key(name) for name in on]
        metas = [AccountMeta(Pubkey(key), name == signer, True) for name, key in zip(on, keys, strict=True)]
        return Instruction(Pubkey(TOKEN_PROGRAM), data, metas)

    def make(self, name: str, size: int, data: bytes, *on: str, balance: int = 5) -> None:
        made = create_account(
            CreateAccountParams(
                from_pubkey=Pubkey(self.key("manager")),
                to_pubkey=Pubkey(self.key(name)),
                lamports=balance,
                space=size,
                owner=Pubkey(TOKEN_PROGRAM),
            )
        )
        receipt = self.run(("manager", name), made, self.token(data, name, *on), slots=0)
        assert receipt.kind == 0, receipt

    def open_account(self, name: str, owner: str, mint: str) -> None:
        self.make(name, ACCOUNT_BYTES, b"\x12" + self.key(owner), mint)

    def mint_to(self, name: str, amount: int, mint: str = "mint") -> None:
        asked = self.token(b"\x07" + struct.pack("<Q", amount), mint, name, "manager", signer="manager")
        receipt = self.run("manager", asked, slots=0)
        assert receipt.kind == 0, receipt

    def get_founders(self, name: str, pot: str = "pot") -> tuple[str, ...]:
        return "manager", name, pot

    def ask_create(self, **fields: Any) -> instructions.Instruction:
        pot = fields["pot"]
        assert isinstance(pot, bytes)
        own: dict[str, Any] = {"source": self.key("manager.tokens"), "authority": find_authority(pot),
               "mint": self.key("mint"), "seed": compute_pot_seed(pot)}  # fmt: skip
        return instructions.CreateTokenTask(**{**own, **fields})

    def ask_update(
        self, task: TaskKey, successor: str, pots: tuple[str, str] = ("pot", "pot2"), **fields: Any
    ) -> instructions.Instruction:
        pot, successor_pot = map(self.key, pots)
        own: dict[str, Any] = {"pot": pot, "name": b"next", "description": b"", "audit_program": b"",
               "executable_network": b"", "metadata": b"", "locals": b"", "allowed_failed_distributions": 1,
               "authority": find_authority(pot), "successor_authority": find_authority(successor_pot),
               "mint": self.key("mint"), "seed": compute_pot_seed(successor_pot)}  # fmt: skip
        return instructions.UpdateTokenTask(
            payer=self.key("manager"), task=task, successor=self.key(successor),
            successor_pot=successor_pot, **{**own, **fields},
        )  # fmt: skip

    def pot_of(self, task: TaskKey) -> Key:
        found = self.state.tasks.rows.get(task)
        pot: Key = found.pot if found else self.key("pot")
        return pot

    def ask_stake(self, task: TaskKey, name: str, amount: int) -> instructions.Instruction:
        source = self.key(f"{name}.tokens")
        return instructions.StakeTokens(task, self.key(name), source, self.pot_of(task), amount)

    def ask_fund(self, task: TaskKey, name: str, amount: int) -> instructions.Instruction:
        source = self.key(f"{name}.tokens")
        return instructions.FundTokens(task, self.key(name), source, self.pot_of(task), amount)

    def ask_claim(self, task: TaskKey, name: str) -> instructions.Instruction:
        pot, target = self.pot_of(task), self.key(f"{name}.tokens")
        return instructions.ClaimTokens(task, self.key(name), pot, target, find_authority(pot))

    def ask_close(self, task: TaskKey) -> instructions.Instruction:
        pot = self.pot_of(task)
        return instructions.DeleteTask(task, self.key("manager"), pot, find_authority(pot), self.key("mint"))

    def wallet(self, name: str) -> int:
        held = decode_account(get_data(self.state, self.key(f"{name}.tokens")))
        return held.amount if held else 0

    def in_pot(self, task: TaskKey) -> int:
        return get_account(self.state, self.pot_of(task)).amount


class TokenStage(Stage, TokenWorld):
    """A task in a token with three staked nodes, at the end of its ledger round 0."""
