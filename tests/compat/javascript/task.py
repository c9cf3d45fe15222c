import hashlib
import json

from roundwork import Candidate, Context, Task, equal_split

task = Task("two languages")
task.distribution(equal_split(slash="70%"))


def compose(ctx: Context, number: int) -> str:
    salute = ctx.secrets["SALUTE"]
    digest = hashlib.sha256(f"{salute} {number}".encode()).hexdigest()
    return json.dumps([salute, number, digest], ensure_ascii=False, separators=(",", ":"))


@task.work
def work(ctx: Context) -> None:
    ctx.state["value"] = compose(ctx, ctx.round)


@task.submission
def submission(ctx: Context) -> object:
    return ctx.state["value"]


@task.audit
def audit(ctx: Context, candidate: Candidate) -> bool:
    return str(candidate.value) == compose(ctx, candidate.round)
