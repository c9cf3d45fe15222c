"""The author's functions as one node calls them, in this process: the same contexts, and no sandbox."""

import time
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ..errors import TaskFailed
from ..participant.seeds import compute_node_seed, compute_random_seed
from ..sdk.task import Candidate, Context, Round, Submitter, Task
from ..views import SubmissionView
from ..wire import format_count
from .failures import describe_failure
from .saved import SavedInMemory

Requester = Callable[[str, dict[str, Any]], Any]
"""Answers a request of a context for a service of the node, as `sim/services.py` does."""

TICK_SECONDS = 0.001
"""The seconds that a call of `ctx.seconds_left` takes on the virtual clock, so that a loop on it ends."""


class FailedFunction(NamedTuple):
    """A function of the author's that failed in a world."""

    step: str
    calls: int
    failed: int
    """How many of the calls failed."""
    text: str
    """What it failed with most often, with the line of the author's file."""

    @property
    def is_broken(self) -> bool:
        """Whether it failed at every call."""
        return self.failed == self.calls

    def __str__(self) -> str:
        return f"{self.step} failed at {self.failed} of {format_count(self.calls, 'call')}: {self.text}"


class Timings:
    """How long the author's functions took, in seconds of this machine, and how often they failed."""

    def __init__(self) -> None:
        self.seconds: dict[str, array[float]] = {}
        self._failures: dict[str, Counter[str]] = {}

    def add(self, step: str, seconds: float) -> None:
        """Note a call."""
        self.seconds.setdefault(step, array("d")).append(seconds)

    def add_failure(self, step: str, text: str) -> None:
        """Note that a call failed."""
        self._failures.setdefault(step, Counter())[text] += 1

    def list_failed(self) -> list[FailedFunction]:
        """The functions that failed, in the order in which they first did."""
        return [
            FailedFunction(step, len(self.seconds[step]), texts.total(), texts.most_common(1)[0][0])
            for step, texts in self._failures.items()
        ]


class FunctionsSetting(msgspec.Struct, frozen=True, kw_only=True):
    """The task as one node runs it."""

    task: str
    """The task's address."""
    node: str
    """The node's address."""
    secret: bytes
    """Seeds `ctx.random`; 32 bytes."""
    params: Mapping[str, Any] = {}
    secrets: Mapping[str, str] = {}
    files: str = "files"
    """The directory of `ctx.files`."""


class Functions:
    """The functions of a task for one node.

    `round_number` is always that of the work, `seed` the round's (RoundHead.seed, TaskHead.seed, hex). All
    steps raise TaskFailed where the function raises or answers with something else than its step allows.
    """

    def __init__(
        self,
        task: Task,
        setting: FunctionsSetting,
        request: Requester,
        timings: Timings | None = None,
        shared: dict[int, dict[object, Any]] | None = None,
    ) -> None:
        """`shared` keeps, by round, the answers that all nodes would get.

        They are those of `distribution`, and those of audits that judge the submission alone.
        """
        self.task = task
        self.setting = setting
        self.saved = SavedInMemory()
        self._request = request
        self._timings = timings or Timings()
        self._shared = {} if shared is None else shared
        self._is_set_up = "setup" not in task.functions

    def work(self, round_number: int, seed: str, seconds: float) -> None:
        """Run `@task.work` for a round; `seconds` is how long it may take on the virtual clock."""
        self._call("work", self._open_context("work", round_number, seed, seconds))

    def submit(self, round_number: int, seed: str, seconds: float) -> str | None:
        """Run `@task.submission`: the value to submit, trimmed; None for nothing."""
        ctx = self._open_context("submission", round_number, seed, seconds)
        value: str | None = self._call("submission", ctx)
        return value

    def lie(self, round_number: int, seed: str, seconds: float) -> str | None:
        """Run `@task.lie`; its default changes the last character of the honest value."""
        value: str | None = self._call("lie", self._build_context("lie", round_number, seed, seconds))
        return value

    def audit(
        self, round_number: int, seed: str, node: str, value: str, stake: int, seconds: float
    ) -> tuple[str, str]:
        """Run `@task.audit` on a submission: "valid", "invalid" or "unavailable", and the reason.

        An audit that read nothing of its context has judged the submission alone, so nodes share its answer.
        `setup` may keep a context for the audits, so with it they share nothing.
        """
        key, answers = (node, value, stake), self._shared.get(round_number)
        shared: tuple[str, str] | None = answers.get(key) if answers else None
        if shared is not None:
            return shared
        ctx = _LateContext(partial(self._build_context, "audit", round_number, seed, seconds, node))
        candidate = Candidate(node, value, round_number, compute_node_seed(seed, node), stake)
        answer: tuple[str, str] = self._call("audit", ctx, candidate)
        if not ctx.is_read and answer[0] != "unavailable" and "setup" not in self.task.functions:
            self._shared.setdefault(round_number, {})[key] = answer
        return answer

    def get_shared(self, round_number: int) -> Mapping[object, Any]:
        """The answers in a round that all nodes would get: those of audits by node, value and stake."""
        return self._shared.get(round_number, {})

    def distribute(
        self, round_number: int, bounty: int, submissions: Sequence[SubmissionView]
    ) -> dict[str, int]:
        """Run `@task.distribution`: roe by submitter, zeros left out.

        It sees only the round, so nodes with the same view of the round share one call.
        """
        key, answers = (bounty, id(submissions)), self._shared.setdefault(round_number, {})
        if key not in answers:
            submitters = [
                Submitter(
                    each.node,
                    each.value,
                    each.votes,
                    each.verdict,
                    each.stake,
                    each.audits_assigned,
                    each.audits_done,
                )
                for each in submissions
            ]
            amounts = self._call("distribution", None, Round(round_number, bounty, submitters))
            # The submissions are kept with the answer, so that no others can have their id.
            listed = {node: amount for node, amount in sorted(amounts.items()) if amount}
            answers[key] = submissions, listed
        found: dict[str, int] = answers[key][1]
        return found

    def forget(self, before_round: int) -> None:
        """Drop `ctx.state` and shared answers of the rounds below `before_round`."""
        self.saved.forget(before_round)
        for round_number in [each for each in self._shared if each < before_round]:
            del self._shared[round_number]

    def _open_context(self, step: str, round_number: int, seed: str, seconds: float) -> "_LateContext":
        """The context of a step that most often reads its state alone."""
        build = partial(self._build_context, step, round_number, seed, seconds)
        return _LateContext(build, self.saved.of_round(round_number))

    def _build_context(
        self, step: str, round_number: int, seed: str, seconds: float, candidate: str = ""
    ) -> Context:
        setting = self.setting
        return Context(
            task=setting.task,
            node=setting.node,
            round=round_number,
            seed=compute_node_seed(seed, setting.node),
            random_seed=compute_random_seed(setting.secret, setting.task, round_number, step, candidate),
            seconds_left=_make_clock(seconds),
            params=dict(setting.params),
            secrets=dict(setting.secrets),
            files=setting.files,
            saved=self.saved,
            request=self._request,
            submitter=candidate or None,
        )

    def _call(self, step: str, ctx: Context | None, given: Candidate | Round | None = None) -> Any:
        if ctx is not None and not self._is_set_up:
            self._is_set_up = True
            self._run("setup", ctx, None)
        return self._run(step, ctx, given)

    def _run(self, step: str, ctx: Context | None, given: Candidate | Round | None) -> Any:
        begin = time.perf_counter()
        try:
            return self.task.call(step, ctx, given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the author's code may raise anything, SystemExit too
            text = describe_failure(error, self.task.functions.get(step))
            self._timings.add_failure(step, text)
            raise TaskFailed(text) from error
        finally:
            self._timings.add(step, time.perf_counter() - begin)


class _LateContext(Context):
    """A context that is built when a function first reads something of it."""

    def __init__(self, build: Callable[[], Context], state: MutableMapping[str, Any] | None = None) -> None:
        """`state` is at hand before the context is built, if it is given."""
        self._build = build
        self.is_read = False
        if state is not None:
            self.state = state

    def __getattr__(self, name: str) -> Any:
        """Called for what the object does not have yet: all fields of a context. Raises AttributeError."""
        if self.is_read:
            raise AttributeError(f"a context has no {name!r}")
        self.is_read = True
        self.__dict__.update(self._build().__dict__)
        return getattr(self, name)


def _make_clock(seconds: float) -> Callable[[], float]:
    calls = 0

    def seconds_left() -> float:
        nonlocal calls
        calls += 1
        return seconds - calls * TICK_SECONDS

    return seconds_left
