"""Encipher a message with a key that only this node's work of this round has: nothing in it can be copied."""

from hashlib import shake_256

from roundwork import Task, by_stake

task = Task("cipher")
task.distribution(by_stake(slash="70%"))


def encipher(seed, message):
    """The message, each byte combined with a byte of a stream that begins at the seed; in hex."""
    data = message.encode()
    stream = shake_256(seed).digest(len(data))
    return bytes(byte ^ key for byte, key in zip(data, stream, strict=True)).hex()


@task.work
def work(ctx):
    ctx.state["cipher"] = encipher(ctx.seed, ctx.params["message"])


@task.submission
def submission(ctx):
    return ctx.proof(ctx.state["cipher"])


@task.lie
def lie(ctx):
    """The message under a wrong key: it looks right, and a liar need not have done the work."""
    return ctx.proof(encipher(ctx.seed[::-1], ctx.params["message"]))


@task.audit
def audit(ctx, candidate):
    """A copied submission is enciphered with the seed of the node that it was copied from."""
    if candidate.content_id is None:
        return False, "the submission is not the content id of a proof"
    if ctx.storage.get(candidate.value).decode("ascii", "replace") != encipher(
        candidate.seed, ctx.params["message"]
    ):
        return False, "the proof is not the message under this node's seed"
    return True
