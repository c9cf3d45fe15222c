"""Instructions from the table are those that Solana's own library makes."""

import pytest
from solders import compute_budget, system_program
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    AllocateParams,
    AllocateWithSeedParams,
    AssignParams,
    AssignWithSeedParams,
    AuthorizeNonceAccountParams,
    CreateAccountParams,
    CreateAccountWithSeedParams,
    InitializeNonceAccountParams,
    TransferParams,
    TransferWithSeedParams,
    WithdrawNonceAccountParams,
)

from roundwork.client.messages import instruct, make_unique, pay
from roundwork.protocol.params import COMPUTE_BUDGET_PROGRAM, SYSTEM_PROGRAM, Key

PAIRS = [Keypair() for _ in range(4)]
A, B, C, D = (pair.pubkey() for pair in PAIRS)
a, b, c, d = (bytes(key) for key in (A, B, C, D))

CASES: list[tuple[Instruction, Key, str, dict[str, object]]] = [
    (system_program.create_account(CreateAccountParams(
        from_pubkey=A, to_pubkey=B, lamports=5, space=6, owner=C)),
     SYSTEM_PROGRAM, "createAccount",
     {"source": a, "newAccount": b, "lamports": 5, "space": 6, "owner": c}),
    (system_program.assign(AssignParams(pubkey=A, owner=B)),
     SYSTEM_PROGRAM, "assign", {"account": a, "owner": b}),
    (system_program.transfer(TransferParams(from_pubkey=A, to_pubkey=B, lamports=5)),
     SYSTEM_PROGRAM, "transfer", {"source": a, "destination": b, "lamports": 5}),
    (system_program.create_account_with_seed(CreateAccountWithSeedParams(
        from_pubkey=A, to_pubkey=B, base=D, seed="sown", lamports=5, space=6, owner=C)),
     SYSTEM_PROGRAM, "createAccountWithSeed",
     {"source": a, "newAccount": b, "base": d, "seed": b"sown", "lamports": 5, "space": 6, "owner": c}),
    (system_program.advance_nonce_account(AdvanceNonceAccountParams(nonce_pubkey=A, authorized_pubkey=B)),
     SYSTEM_PROGRAM, "advanceNonce", {"nonceAccount": a, "nonceAuthority": b}),
    (system_program.withdraw_nonce_account(WithdrawNonceAccountParams(
        nonce_pubkey=A, authorized_pubkey=B, to_pubkey=C, lamports=5)),
     SYSTEM_PROGRAM, "withdrawFromNonce",
     {"nonceAccount": a, "nonceAuthority": b, "destination": c, "lamports": 5}),
    (system_program.initialize_nonce_account(InitializeNonceAccountParams(nonce_pubkey=A, authority=B)),
     SYSTEM_PROGRAM, "initializeNonce", {"nonceAccount": a, "nonceAuthority": b}),
    (system_program.authorize_nonce_account(AuthorizeNonceAccountParams(
        nonce_pubkey=A, authorized_pubkey=B, new_authority=C)),
     SYSTEM_PROGRAM, "authorizeNonce", {"nonceAccount": a, "nonceAuthority": b, "newAuthorized": c}),
    (system_program.allocate(AllocateParams(pubkey=A, space=6)),
     SYSTEM_PROGRAM, "allocate", {"account": a, "space": 6}),
    (system_program.allocate_with_seed(AllocateWithSeedParams(
        address=A, base=B, seed="sown", space=6, owner=C)),
     SYSTEM_PROGRAM, "allocateWithSeed",
     {"account": a, "base": b, "seed": b"sown", "space": 6, "owner": c}),
    (system_program.assign_with_seed(AssignWithSeedParams(address=A, base=B, seed="sown", owner=C)),
     SYSTEM_PROGRAM, "assignWithSeed", {"account": a, "base": b, "seed": b"sown", "owner": c}),
    (system_program.transfer_with_seed(TransferWithSeedParams(
        from_pubkey=A, from_base=B, from_seed="sown", from_owner=C, to_pubkey=D, lamports=5)),
     SYSTEM_PROGRAM, "transferWithSeed",
     {"source": a, "sourceBase": b, "destination": d, "lamports": 5, "sourceSeed": b"sown",
      "sourceOwner": c}),
    (compute_budget.request_heap_frame(65536), COMPUTE_BUDGET_PROGRAM, "requestHeapFrame", {"bytes": 65536}),
    (compute_budget.set_compute_unit_limit(7), COMPUTE_BUDGET_PROGRAM, "setComputeUnitLimit", {"units": 7}),
    (compute_budget.set_compute_unit_price(7),
     COMPUTE_BUDGET_PROGRAM, "setComputeUnitPrice", {"microLamports": 7}),
    (compute_budget.set_loaded_accounts_data_size_limit(7),
     COMPUTE_BUDGET_PROGRAM, "setLoadedAccountsDataSizeLimit", {"bytes": 7}),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "program", "name", "values"), CASES, ids=[case[2] for case in CASES])
def test_an_instruction_from_the_table_is_that_of_solanas_library(
    expected: Instruction, program: Key, name: str, values: dict[str, object]
) -> None:
    assert expected == instruct(program, name, **values)


def test_a_payment_is_a_transfer() -> None:
    expected = system_program.transfer(TransferParams(from_pubkey=A, to_pubkey=B, lamports=5))

    assert expected == pay(PAIRS[0], B, 5)


def test_what_makes_a_transaction_unique_does_nothing() -> None:
    first, second = make_unique(), make_unique()

    assert first != second
    assert Pubkey(COMPUTE_BUDGET_PROGRAM) == first.program_id == second.program_id
