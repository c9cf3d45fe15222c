"""The messages between CometBFT and its application (ABCI 2.0): one table, and classes made from it.

Numbers and types are the wire format's, the same in CometBFT 0.38 and 0.39. Fields that we do not read
are left out, because protobuf skips them. Enumerations are plain numbers on the wire, and `int32` here.
Source: CometBFT's specification, "ABCI" and "Data structures".
"""

import re
from enum import IntEnum
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "roundwork.abci"

TABLE = """
Request: one of
  1 RequestEcho echo
  2 RequestFlush flush
  3 RequestInfo info
  5 RequestInitChain init_chain
  6 RequestQuery query
  8 RequestCheckTx check_tx
  11 RequestCommit commit
  12 RequestListSnapshots list_snapshots
  13 RequestOfferSnapshot offer_snapshot
  14 RequestLoadSnapshotChunk load_snapshot_chunk
  15 RequestApplySnapshotChunk apply_snapshot_chunk
  16 RequestPrepareProposal prepare_proposal
  17 RequestProcessProposal process_proposal
  18 RequestExtendVote extend_vote
  19 RequestVerifyVoteExtension verify_vote_extension
  20 RequestFinalizeBlock finalize_block
Response: one of
  1 ResponseException exception
  2 ResponseEcho echo
  3 ResponseFlush flush
  4 ResponseInfo info
  6 ResponseInitChain init_chain
  7 ResponseQuery query
  9 ResponseCheckTx check_tx
  12 ResponseCommit commit
  13 ResponseListSnapshots list_snapshots
  14 ResponseOfferSnapshot offer_snapshot
  15 ResponseLoadSnapshotChunk load_snapshot_chunk
  16 ResponseApplySnapshotChunk apply_snapshot_chunk
  17 ResponsePrepareProposal prepare_proposal
  18 ResponseProcessProposal process_proposal
  19 ResponseExtendVote extend_vote
  20 ResponseVerifyVoteExtension verify_vote_extension
  21 ResponseFinalizeBlock finalize_block

RequestEcho:
  1 string message
ResponseEcho:
  1 string message
RequestFlush:
ResponseFlush:
ResponseException:
  1 string error

RequestInfo:
  1 string version
  2 uint64 block_version
  3 uint64 p2p_version
  4 string abci_version
ResponseInfo:
  1 string data
  2 string version
  3 uint64 app_version
  4 int64 last_block_height
  5 bytes last_block_app_hash

RequestInitChain:
  1 Timestamp time
  2 string chain_id
  4 *ValidatorUpdate validators
  5 bytes app_state_bytes
  6 int64 initial_height
ResponseInitChain:
  2 *ValidatorUpdate validators
  3 bytes app_hash

RequestQuery:
  1 bytes data
  2 string path
  3 int64 height
  4 bool prove
ResponseQuery:
  1 uint32 code
  3 string log
  4 string info
  5 int64 index
  6 bytes key
  7 bytes value
  9 int64 height
  10 string codespace

RequestCheckTx:
  1 bytes tx
  2 int32 type
ResponseCheckTx:
  1 uint32 code
  2 bytes data
  3 string log
  8 string codespace

RequestCommit:
ResponseCommit:
  3 int64 retain_height

RequestListSnapshots:
ResponseListSnapshots:
  1 *Snapshot snapshots
RequestOfferSnapshot:
  1 Snapshot snapshot
  2 bytes app_hash
ResponseOfferSnapshot:
  1 int32 result
RequestLoadSnapshotChunk:
  1 uint64 height
  2 uint32 format
  3 uint32 chunk
ResponseLoadSnapshotChunk:
  1 bytes chunk
RequestApplySnapshotChunk:
  1 uint32 index
  2 bytes chunk
  3 string sender
ResponseApplySnapshotChunk:
  1 int32 result
  2 *uint32 refetch_chunks
  3 *string reject_senders

RequestPrepareProposal:
  1 int64 max_tx_bytes
  2 *bytes txs
  4 *Misbehavior misbehavior
  5 int64 height
  6 Timestamp time
  7 bytes next_validators_hash
  8 bytes proposer_address
ResponsePrepareProposal:
  1 *bytes txs
RequestProcessProposal:
  1 *bytes txs
  3 *Misbehavior misbehavior
  4 bytes hash
  5 int64 height
  6 Timestamp time
  7 bytes next_validators_hash
  8 bytes proposer_address
ResponseProcessProposal:
  1 int32 status
RequestExtendVote:
  1 bytes hash
  2 int64 height
ResponseExtendVote:
  1 bytes vote_extension
RequestVerifyVoteExtension:
  1 bytes hash
  2 bytes validator_address
  3 int64 height
  4 bytes vote_extension
ResponseVerifyVoteExtension:
  1 int32 status
RequestFinalizeBlock:
  1 *bytes txs
  3 *Misbehavior misbehavior
  4 bytes hash
  5 int64 height
  6 Timestamp time
  7 bytes next_validators_hash
  8 bytes proposer_address
ResponseFinalizeBlock:
  2 *ExecTxResult tx_results
  3 *ValidatorUpdate validator_updates
  5 bytes app_hash

ExecTxResult:
  1 uint32 code
  2 bytes data
  3 string log
  4 string info
  5 int64 gas_wanted
  6 int64 gas_used
  8 string codespace
Misbehavior:
  1 int32 type
  2 Validator validator
  3 int64 height
  4 Timestamp time
  5 int64 total_voting_power
Validator:
  1 bytes address
  3 int64 power
ValidatorUpdate:
  1 PublicKey pub_key
  2 int64 power
PublicKey: one of
  1 bytes ed25519
  2 bytes secp256k1
Snapshot:
  1 uint64 height
  2 uint32 format
  3 uint32 chunks
  4 bytes hash
  5 bytes metadata
Timestamp:
  1 int64 seconds
  2 int32 nanos
"""


class CheckTxType(IntEnum):
    """The reason of a check of a transaction."""

    NEW = 0
    RECHECK = 1


class Verdict(IntEnum):
    """The answer about a proposal, a vote extension or a snapshot: 0 is never sent."""

    ACCEPT = 1
    REJECT = 2


class SnapshotResult(IntEnum):
    """The answer to an offered snapshot and to its chunks: only the values that we send."""

    ABORT = 2


_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def _describe(table: str) -> descriptor_pb2.FileDescriptorProto:
    """The table as protobuf's own description of a file."""
    file = descriptor_pb2.FileDescriptorProto(name="roundwork/abci", package=PACKAGE, syntax="proto3")
    for message in re.split(r"\n+(?=\w)", table.strip()):
        title, *fields = message.splitlines()
        name, _, kind = title.partition(":")
        described = file.message_type.add(name=name)
        if kind:
            described.oneof_decl.add(name="value")
        for field in fields:
            _add_field(described, *field.split())
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, field_number: str, kind: str, name: str) -> None:
    field = message.field.add(name=name, number=int(field_number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label, kind = _Field.LABEL_REPEATED, kind[1:]
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    if message.oneof_decl:
        field.oneof_index = 0


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_describe(TABLE))


def get_message(name: str) -> Any:
    """The class of a message of the table. Its fields are made at run time, so mypy sees Any."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


Request: Any = get_message("Request")
Response: Any = get_message("Response")
ExecTxResult: Any = get_message("ExecTxResult")
