from roundwork import Task, equal_split

task = Task("hello")
task.distribution(equal_split(slash="70%"))


@task.work
def work(ctx):
    ctx.state["value"] = "Hello, World!"


@task.submission
def submission(ctx):
    return ctx.state["value"]


@task.audit
def audit(ctx, candidate):
    return candidate.value == "Hello, World!"
