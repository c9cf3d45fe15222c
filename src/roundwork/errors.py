"""Every deliberate error of roundwork, as one tree.

    RoundworkError
    ├── Rejected                 the law refuses an instruction; nothing but the fee has changed
    │   ├── WrongPhase, UnknownTask, NotStaked, AlreadySubmitted, …   one class per reason
    │   ├── SystemRejected       the system program's reasons, with Solana's own numbers
    │   ├── TokenRejected        the token program's, likewise
    │   └── Ed25519Rejected      the ed25519 program's, likewise
    ├── Void                     the ledger refuses a transaction: no fee, no effect
    │   └── Undecodable, SignatureFailure, AlreadyProcessed, BlockhashNotFound,
    │       AccountNotFound, InsufficientFundsForFee, AccountLoadedTwice, and those of lookup tables
    ├── BadInput                 a file, option or request is wrong: names it, the field and the remedy
    │   ├── BadGenesis, OldLaw, BadConfig, BadKeypair, BadTaskFile
    │   ├── NoReceipt
    │   └── BadReceipt           a receipt of a round that shows nothing
    │       └── ReceiptWithWrongLeaf, ReceiptWithWrongPath, ReceiptWithWrongHead, ReceiptOfOtherHead
    ├── Malformed                outside bytes that cannot be decoded
    │   └── WrongShape           they decode, but not to the expected shape
    ├── TaskFailed               a task's own code raised, hung or returned a wrong value
    ├── RemoteError              another process answered with an error, or not at all
    ├── StoreCorrupt             a file on disk differs from what we wrote
    ├── StoreInUse               another process works in the directory
    ├── StoreFull                the disk refused a write
    ├── PoolFull                 too many transactions wait for a block
    ├── EngineFailed             the consensus engine stopped, or broke its protocol
    └── PortInUse                another process listens on the port

For the executor a rejection is a value: it ends one transaction, never a block. Its `code` is the
`Custom` number that stock clients see; numbers are never reused.
"""

from typing import ClassVar


class RoundworkError(Exception):
    """Every error that roundwork raises on purpose."""


class Rejected(RoundworkError):
    """The law refuses an instruction. `code` is a fixed u32, the text carries the numbers."""

    code: ClassVar[int]


class WrongPhase(Rejected):
    """The slot is outside of the window of this instruction."""

    code = 1000


class WrongRules(Rejected):
    """The task's rule set does not have this instruction."""

    code = 1001


class UnknownTask(Rejected):
    """No task at this address."""

    code = 1002


class UnknownRound(Rejected):
    """The round was never opened, or its records are pruned."""

    code = 1003


class UnknownSubmission(Rejected):
    """The candidate did not submit in this round."""

    code = 1004


class TaskExists(Rejected):
    """The address holds a task already."""

    code = 1005


class TaskInactive(Rejected):
    """The task takes no new submissions."""

    code = 1006


class TaskClosed(Rejected):
    """The task was closed or migrated."""

    code = 1007


class NotManager(Rejected):
    """Only the task's manager may do this."""

    code = 1008


class NotStaked(Rejected):
    """The node's stake is zero, or less than the task's minimum."""

    code = 1009


class MissingSigner(Rejected):
    """An account that must sign did not."""

    code = 1010


class BadInstruction(Rejected):
    """The instruction's number, length or accounts fit no instruction of the program."""

    code = 1011


class BadValue(Rejected):
    """A submission must be 1 to 512 bytes of UTF-8 after trimming."""

    code = 1012


class BadAmount(Rejected):
    """The amount is zero, too small or out of range."""

    code = 1013


class BadTask(Rejected):
    """A task's configuration breaks a bound."""

    code = 1014


class AlreadySubmitted(Rejected):
    """One submission per node and round."""

    code = 1015


class AlreadyAudited(Rejected):
    """One audit per node and candidate."""

    code = 1016


class OwnSubmission(Rejected):
    """A node cannot audit its own submission or list."""

    code = 1017


class NoAuditRaised(Rejected):
    """A vote of approval needs an audit that was raised."""

    code = 1018


class BountyExhausted(Rejected):
    """The bounty cannot reserve another round."""

    code = 1019


class ListStands(Rejected):
    """This attempt already has a list."""

    code = 1020


class ListMissing(Rejected):
    """No list was submitted in this attempt."""

    code = 1021


class ListMalformed(Rejected):
    """The list is not a JSON object of integers."""

    code = 1022


class ListBadNode(Rejected):
    """The list names a node that did not submit."""

    code = 1023


class ListBadSlash(Rejected):
    """The list slashes a node that its votes protect, or beyond its stake."""

    code = 1024


class ListTooLong(Rejected):
    """The list has more bytes than the submissions of its round need."""

    code = 1037


class ListReadAlready(Rejected):
    """The account's list for the round was read in this block already."""

    code = 1038


class ListOverBounty(Rejected):
    """The list's rewards exceed the round's bounty."""

    code = 1025


class NotDue(Rejected):
    """The round is still open."""

    code = 1026


class NothingToClaim(Rejected):
    """The available balance is zero."""

    code = 1027


class StakeLocked(Rejected):
    """A round that the node took part in is still open."""

    code = 1028


class PayoutPending(Rejected):
    """A payout of this task is still in progress."""

    code = 1029


class OpenRounds(Rejected):
    """A task with open rounds cannot be closed."""

    code = 1030


class InsufficientFunds(Rejected):
    """The account holds less than the instruction moves."""

    code = 1031


class WrongOwner(Rejected):
    """The account belongs to another program."""

    code = 1032


class BadUpload(Rejected):
    """A chunk of a list is numbered or sized out of bounds."""

    code = 1033


class UnknownProgram(Rejected):
    """This ledger does not have the program."""

    code = 1034


class NotAllowlister(Rejected):
    """Only the key that genesis names allow-lists tasks."""

    code = 1035


class WrongPot(Rejected):
    """The pot, or the authority of the pot, is not the task's."""

    code = 1050


class NotSubmitter(Rejected):
    """Only a node that submitted in the round may do this."""

    code = 1070


class AlreadyCommitted(Rejected):
    """The node has made this commitment already."""

    code = 1071


class AlreadyRevealed(Rejected):
    """The node has revealed this already."""

    code = 1072


class WrongReveal(Rejected):
    """The reveal opens no commitment of its node."""

    code = 1073


class NothingToJudge(Rejected):
    """The node was drawn for no check or no trial."""

    code = 1074


class SubmissionMissing(Rejected):
    """The proof of the submission was not available; nothing more is decided about it."""

    code = 1075


class NamesNoProof(Rejected):
    """The submission's value names no proof."""

    code = 1076


class AlreadyChallenged(Rejected):
    """The submission is challenged already."""

    code = 1077


class NotChallenged(Rejected):
    """No node has challenged the submission."""

    code = 1078


class ProofStands(Rejected):
    """The proof lies on the ledger already."""

    code = 1079


class ProofMissing(Rejected):
    """The proof that the submission names does not lie on the ledger yet."""

    code = 1080


class AlreadyAccused(Rejected):
    """The submission or list is accused already."""

    code = 1081


class NotLister(Rejected):
    """The node may not hand in a list in this round, or not yet."""

    code = 1082


class SystemRejected(Rejected):
    """The system program refuses; the numbers are those of Solana's system program."""


class AccountInUse(SystemRejected):
    """The address already holds an account."""

    code = 0


class BalanceTooLow(SystemRejected):
    """The paying account holds less than the instruction moves."""

    code = 1


class BadSpace(SystemRejected):
    """An account's space is out of bounds."""

    code = 3


class SeedTooLong(SystemRejected):
    """A seed is longer than 32 bytes."""

    code = 4


class SeedMismatch(SystemRejected):
    """The address does not follow from base, seed and owner."""

    code = 5


class NonceNotExpired(SystemRejected):
    """A nonce changes at most once in a slot."""

    code = 7


class NotANonce(Rejected):
    """The account is not a nonce, or not in the state that the instruction needs."""

    code = 1060


class NotRecentSlot(Rejected):
    """The slot that a new lookup table names is too old or not over."""

    code = 1061


class NotATable(Rejected):
    """The account is not an address lookup table."""

    code = 1062


class NotTableAuthority(Rejected):
    """Only the authority of a lookup table may change it."""

    code = 1063


class TableFrozen(Rejected):
    """A frozen lookup table never changes."""

    code = 1064


class TableDeactivated(Rejected):
    """A deactivated lookup table can only be closed."""

    code = 1065


class TableFull(Rejected):
    """A lookup table holds at most 256 addresses."""

    code = 1066


class TableEmpty(Rejected):
    """An empty lookup table cannot be frozen."""

    code = 1067


class TableActive(Rejected):
    """A lookup table can be closed only when transactions cannot name it any more."""

    code = 1068


class BadMemo(Rejected):
    """A memo must be UTF-8."""

    code = 1036


class Ed25519Rejected(Rejected):
    """The ed25519 program refuses; the numbers are those of Solana's precompiled programs."""


class Ed25519BadKey(Ed25519Rejected):
    """A public key is not a point of the curve."""

    code = 0


class Ed25519BadSignature(Ed25519Rejected):
    """A signature does not verify under the strict rules."""

    code = 2


class Ed25519BadOffsets(Ed25519Rejected):
    """A signature, key or message lies outside of the instruction that holds it."""

    code = 3


class Ed25519BadSize(Ed25519Rejected):
    """The instruction is shorter than its count of signatures says."""

    code = 4


class TokenRejected(Rejected):
    """The token program refuses; the numbers are those of the ecosystem's token program."""


class TokenNotEnough(TokenRejected):
    """The account holds fewer tokens than the instruction moves, or fewer are approved."""

    code = 1


class TokenNotMint(TokenRejected):
    """The account is not a mint."""

    code = 2


class TokenMintMismatch(TokenRejected):
    """The accounts are of different mints."""

    code = 3


class TokenOwnerMismatch(TokenRejected):
    """The signer is not the authority."""

    code = 4


class TokenFixedSupply(TokenRejected):
    """The mint's supply is fixed."""

    code = 5


class TokenInUse(TokenRejected):
    """The account is initialised already."""

    code = 6


class TokenSignersWrong(TokenRejected):
    """A multisig's numbers do not fit."""

    code = 7


class TokenUninitialized(TokenRejected):
    """The account is not a token account."""

    code = 9


class TokenNativeUnsupported(TokenRejected):
    """The instruction does not work with wrapped native money, or only with it."""

    code = 10


class TokenHasBalance(TokenRejected):
    """The account holds tokens."""

    code = 11


class TokenOverflow(TokenRejected):
    """A number would exceed 64 bits."""

    code = 14


class TokenAuthorityUnsupported(TokenRejected):
    """The account has no such authority."""

    code = 15


class TokenUnfreezable(TokenRejected):
    """The mint cannot freeze."""

    code = 16


class TokenFrozen(TokenRejected):
    """The account is frozen."""

    code = 17


class TokenDecimalsMismatch(TokenRejected):
    """The mint has other decimals."""

    code = 18


class Void(RoundworkError):
    """The ledger refuses a transaction: it has no effect and costs no fee.

    `name` is the transaction error that stock clients know, `code` its number in Solana's list of them;
    numbers are never reused. `instruction` is the index of the instruction at fault, -1 if it is the
    transaction.
    """

    name: ClassVar[str]
    code: ClassVar[int]
    instruction = -1


class Undecodable(Void):
    """The bytes are not a transaction."""

    name = "SanitizeFailure"
    code = 14


class SignatureFailure(Void):
    """A signature does not verify."""

    name = "SignatureFailure"
    code = 12


class AlreadyProcessed(Void):
    """This transaction ran before."""

    name = "AlreadyProcessed"
    code = 6


class BlockhashNotFound(Void):
    """The blockhash is unknown, or older than 300 slots."""

    name = "BlockhashNotFound"
    code = 7


class AccountNotFound(Void):
    """The fee payer does not exist."""

    name = "AccountNotFound"
    code = 2


class InsufficientFundsForFee(Void):
    """The fee payer cannot pay the fee."""

    name = "InsufficientFundsForFee"
    code = 4


class InvalidAccountForFee(Void):
    """The fee payer is an account that cannot pay fees."""

    name = "InvalidAccountForFee"
    code = 5


class AddressLookupTableNotFound(Void):
    """The lookup table does not exist, or it is deactivated."""

    name = "AddressLookupTableNotFound"
    code = 23


class InvalidAddressLookupTableOwner(Void):
    """The account named as a lookup table belongs to another program."""

    name = "InvalidAddressLookupTableOwner"
    code = 24


class InvalidAddressLookupTableData(Void):
    """The account that is named as a lookup table does not hold one yet."""

    name = "InvalidAddressLookupTableData"
    code = 25


class InvalidAddressLookupTableIndex(Void):
    """The lookup table does not have the address, or not before the next slot."""

    name = "InvalidAddressLookupTableIndex"
    code = 26


class AccountLoadedTwice(Void):
    """An account is named by the message and its lookup tables, or by two of them."""

    name = "AccountLoadedTwice"
    code = 1


class BadComputeBudget(Void):
    """A compute budget instruction has an unknown form, or its heap is out of bounds."""

    name = "InstructionError"
    code = 8

    def __init__(self, text: str, instruction: int = -1) -> None:
        super().__init__(text)
        self.instruction = instruction


class DuplicateInstruction(Void):
    """A compute budget instruction occurs twice."""

    name = "DuplicateInstruction"
    code = 30

    def __init__(self, text: str, instruction: int = -1) -> None:
        super().__init__(text)
        self.instruction = instruction


class BadInput(RoundworkError):
    """A file, option or request that cannot be used; the text names it, the field and the remedy."""


class BadGenesis(BadInput):
    """A genesis file that does not describe a ledger."""


class OldLaw(BadInput):
    """A ledger of an older version of the law; the text says how its money is carried over."""


class BadConfig(BadInput):
    """A config-task.yml or option with a value that is not allowed."""


class BadArgument(BadInput):
    """An argument of `roundwork.testing` with a value that is not allowed."""


class BadKeypair(BadInput):
    """A file that does not hold an Ed25519 keypair."""


class BadTaskFile(BadInput):
    """A task folder or task.py that cannot be used."""


class NoReceipt(BadInput):
    """The ledger has no receipt of this node in this round."""


class BadReceipt(BadInput):
    """A file that is not a receipt of a round, or one whose parts do not fit together."""


class ReceiptWithWrongLeaf(BadReceipt):
    """The leaf of a receipt does not say what the receipt says of the node."""


class ReceiptWithWrongPath(BadReceipt):
    """The leaf and the path of a receipt do not lead to its root."""


class ReceiptWithWrongHead(BadReceipt):
    """The head of a receipt does not follow from its root, its round and the head before."""


class ReceiptOfOtherHead(BadReceipt):
    """A receipt leads to another head than the one that its reader trusts."""


class Malformed(RoundworkError):
    """Outside bytes that cannot be decoded: their syntax, UTF-8, depth or size is wrong."""


class WrongShape(Malformed):
    """Outside bytes that decode to another shape, or to a value out of range."""


class TaskFailed(RoundworkError):
    """A task's own code raised, hung or returned a wrong value."""


class StillRunning(TaskFailed):
    """A function of a task had not ended when its time was over."""


class StrategyFailed(RoundworkError):
    """A strategy of an author's file raised or returned a wrong value; the text names its method and line."""


class RemoteError(RoundworkError):
    """Another process answered with an error, or not at all."""


class StoreCorrupt(RoundworkError):
    """A file on disk differs from what was written."""


class StoreFull(RoundworkError):
    """The disk refused a write; nothing acknowledged is lost."""


class PoolFull(RoundworkError):
    """Too many transactions wait for a block. Nothing was taken; send again later."""


class EngineFailed(RoundworkError):
    """The consensus engine stopped or broke its protocol; the text says which."""


class StoreInUse(RoundworkError):
    """Another process works in the directory."""


class PortInUse(RoundworkError):
    """Another process listens on the port."""
