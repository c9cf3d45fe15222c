"""The properties that an author's functions must have before a creator pays; each is tried in the sandbox."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import msgspec
from solders.keypair import Keypair

from ..errors import BadConfig, StillRunning, TaskFailed
from ..package.fields import suggest
from ..package.folder import Package, check_params, merge_params, take_secrets
from ..package.windows import FETCH_SECONDS, Timings
from ..protocol.params import ROUNDWORK_1
from ..sdk.saved import SavedFile
from ..sdk.worker import STATE
from ..views import SubmissionView
from ..wire import decode_json
from . import other_machine
from .answers import ServiceError
from .peers.outgoing import Fetcher
from .peers.storage import BlobStore
from .python.channel import Service, Services
from .python.environments import Environment, prepare_environment
from .python.lanes import Lanes, Opinion
from .trial import build_services, compose_setting

PROPERTIES = {
    "submission": "work ends, and submission returns text of 1 to 512 bytes",
    "honest": "audit accepts what submission returned",
    "lies": "audit refuses lies and arbitrary text, and answers True, False or (False, reason)",
    "same-work": "work gives the same on every machine: hash seed, time zone, folder, processors, clock",
    "same-audit": "audit judges the same on every machine",
    "bounty": "distribution pays at most the bounty",
    "slash": "distribution takes at most a node's stake, and nothing from a node with votes above 0",
    "order": "distribution does not depend on the order of the submitters",
    "same-list": "distribution gives the same list on every machine",
    "splitting": "a node that splits its stake into several nodes is not paid more",
    "exclusion": "no node is paid more because another node is convicted",
}
"""By name; `roundwork.excused` in config-task.yml excuses a task from a property by it."""

QUICK = tuple(name for name in PROPERTIES if not name.startswith("same-"))
"""Those that need no second machine."""
OF_LISTS = ("bounty", "slash", "order", "splitting", "exclusion")
"""Those of QUICK that need no submission."""
SECONDS, QUICK_SECONDS = 120.0, 20.0
"""How long a function may take where all properties are tried, and where the quick ones are."""

ROUND = 3
SEED = "5a" * 32
SECRET = bytes(32)
CHECKS = 3
"""The checks of a node under roundwork-1 where all its candidates have their proofs."""
LISTS = 60
"""Random rounds that each property of a distribution function is tried on."""
KOII = 10**9

Verdicts = tuple[tuple[str, int], ...]
VERDICTS: Verdicts = (("untried", 1), ("acquitted", 2), ("inconclusive", 0), ("convicted", -2))
HARDENED_VERDICTS: Verdicts = (
    ("untried", 1),
    ("acquitted", 1),
    ("inconclusive", 0),
    ("convicted", -1),
    ("missing", 0),
)
"""Verdicts with the votes that go with them, under koii-1 and under roundwork-1."""
VERDICT_WEIGHTS = (6, 2, 1, 2, 1)

ARBITRARY = ("x", "0", "-1", "null", "{}", "[]", "true", "a b c", "\N{SNOWMAN}", "9" * 512)

SLOW_SECONDS = 5.0
"""A step that takes longer is repeated on one other machine only."""


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of one property."""

    property: str
    """Its name in PROPERTIES."""
    result: Literal["holds", "fails", "excused", "not tried"]
    reason: str = ""
    """What was seen, why it is excused, why it could not be tried, or what the rule set makes of it."""


class Tried(NamedTuple):
    """The outcomes of all properties, and how long the functions took."""

    outcomes: list[Outcome]
    timings: Timings | None
    """None if there was no submission to audit."""


class _Fault(Exception):
    """A property does not hold; the text says what was seen."""


class _NotTried(Exception):
    """A property could not be tried; the text says why."""


async def try_properties(
    package: Package,
    params: dict[str, str],
    secrets: dict[str, str],
    sandbox: str,
    environments: Path,
    log: Callable[[str], None],
    report: Callable[[int], None] = lambda done: None,
) -> Tried:
    """Try each of PROPERTIES on a Python task.

    `report` is called with the number of properties that are done. The same package gives the same outcomes,
    if the hosts that it reads give the same answers. Raises BadTaskFile for a program that cannot be loaded,
    BadConfig.
    """
    _check_excused(package)
    check_params(package, params)
    chosen = take_secrets(package, secrets)
    async with _open_machines(package, params, chosen, sandbox, environments, log) as machines:
        return await _try_all(_Tries(machines, package), package, report)


async def try_quickly(
    package: Package, params: dict[str, str], sandbox: str, environments: Path, log: Callable[[str], None]
) -> Tried:
    """Try QUICK on a Python task; of a task that needs secrets OF_LISTS alone, because nobody has given them.

    A function that takes longer than QUICK_SECONDS is not tried. Raises BadTaskFile, BadConfig.
    """
    _check_excused(package)
    async with _open_machines(package, params, {}, sandbox, environments, log) as machines:
        await machines.here()
        tries = _Tries(machines, package, is_quick=True)
        return await _try_all(tries, package, lambda done: None)


def _check_excused(package: Package) -> None:
    """Raises BadConfig for the name of a property that does not exist."""
    for name in package.excused:
        if name not in PROPERTIES:
            near = suggest(name, PROPERTIES)
            raise BadConfig(f"roundwork.excused: {name:.100}: no such property{near}")


async def measure_timings(
    package: Package,
    params: dict[str, str],
    secrets: dict[str, str],
    sandbox: str,
    environments: Path,
    log: Callable[[str], None],
) -> Timings | None:
    """Time the submission and an audit of a Python task, on this machine; None where one of them fails.

    Raises BadTaskFile, BadConfig.
    """
    async with _open_machines(package, params, secrets, sandbox, environments, log) as machines:
        tries = _Tries(machines, package)
        try:
            await tries.try_submission()
            await tries.try_honest()
        except (_Fault, _NotTried, TaskFailed):
            return None
        return tries.timings


@asynccontextmanager
async def _open_machines(
    package: Package,
    params: dict[str, str],
    secrets: dict[str, str],
    sandbox: str,
    environments: Path,
    log: Callable[[str], None],
) -> AsyncIterator[_Machines]:
    environment = await prepare_environment(environments, package.lock, package.requires_python)
    with TemporaryDirectory(prefix="roundwork-") as folder:
        machines = _Machines(
            package,
            merge_params(package, params),
            secrets,
            sandbox,
            environment,
            Path(folder),
            log,
        )
        try:
            yield machines
        finally:
            await machines.close()


async def _try_all(tries: _Tries, package: Package, report: Callable[[int], None]) -> Tried:
    outcomes = []
    for name, try_property in tries.list_tries().items():
        try:
            remark = await try_property()
            outcome = Outcome(name, "holds", remark or "")
        except StillRunning as error:
            outcome = Outcome(name, "not tried" if tries.is_quick else "fails", str(error))
        except (_Fault, TaskFailed) as error:
            outcome = Outcome(name, "fails", str(error))
        except _NotTried as error:
            outcome = Outcome(name, "not tried", str(error))
        if outcome.result == "fails" and name in package.excused:
            outcome = Outcome(name, "excused", package.excused[name])
        outcomes.append(outcome)
        report(len(outcomes))
    return Tried(outcomes, tries.timings)


class _Machines:
    """The task on this machine, and on a machine of another kind.

    The second machine is given the answers that the first one got.
    """

    def __init__(
        self,
        package: Package,
        params: dict[str, Any],
        secrets: dict[str, str],
        sandbox: str,
        environment: Environment,
        folder: Path,
        log: Callable[[str], None],
    ) -> None:
        self._package = package
        self._params = params
        self._secrets = secrets
        self._sandbox = sandbox
        self._environment = environment
        self._folder = folder
        self._log = log
        self._keypair = Keypair.from_seed(bytes([1]) * 32)
        self._fetcher = Fetcher(is_development=True, requests_per_second=100.0)
        self._store = BlobStore(folder / "blobs")
        self._answers = _Answers(build_services(package, params, self._keypair, self._fetcher, self._store))
        self._here: Lanes | None = None

    @property
    def node(self) -> str:
        """The address that the task's functions run for."""
        return str(self._keypair.pubkey())

    async def here(self) -> Lanes:
        """The task on this machine. Raises BadTaskFile."""
        if self._here is None:
            self._here = self._start("here", self._package.program, self._answers.ask, {})
            await self._here.check()
        return self._here

    @asynccontextmanager
    async def elsewhere(self, name: str, machine: int) -> AsyncIterator[Lanes]:
        """The task on a machine of another kind. `name` is of the folder that it keeps.

        `machine` is from 1 to MACHINES. It gets the answers of the services from the first on.
        """
        copy = self._folder / "copy"
        if not copy.exists():
            self._write_copy(copy)
        self._answers.rewind()
        variables = other_machine.compose_variables(machine)
        lanes = self._start(name, copy / other_machine.PROGRAM, self._answers.repeat, variables)
        try:
            yield lanes
        finally:
            await lanes.close()

    def read_saved(self, name: str) -> dict[str, Any]:
        """What the functions keep for the round, with keys as an author writes them: `ctx.state['key']`."""
        saved = SavedFile(str(self._folder / name / STATE))
        try:
            return {
                f"ctx.{part}[{key!r}]": value
                for part, values in (("state", saved.of_round(ROUND)), ("store", saved.across_rounds()))
                for key, value in values.items()
            }
        finally:
            saved.close()

    async def close(self) -> None:
        """End the task's processes."""
        if self._here is not None:
            await self._here.close()
        await self._fetcher.close()
        self._store.close()

    def _start(
        self,
        name: str,
        program: Path,
        service: Callable[[str, msgspec.Raw], Any],
        variables: dict[str, str],
    ) -> Lanes:
        setting = compose_setting(
            self._package, self.node, self._folder / name, self._environment, self._params
        )
        setting = msgspec.structs.replace(
            setting, program=program, secrets=self._secrets, variables=variables
        )
        services = {method: _bind(service, method) for method in self._answers.services}
        return Lanes(setting, self._sandbox, services, SECRET, self._log)

    def _write_copy(self, copy: Path) -> None:
        """The program's folder, with a program that changes the machine and then runs the author's."""
        program = self._package.program
        shutil.copytree(program.parent, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        (copy / other_machine.PROGRAM).write_text(other_machine.compose_source(program.name))


class _Answers:
    """The answers of the services, for a repetition that must not depend on time."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._answers: dict[tuple[str, bytes], list[Any]] = {}
        self._given: dict[tuple[str, bytes], int] = {}

    async def ask(self, method: str, params: msgspec.Raw) -> Any:
        """Ask the service, and keep the answer."""
        try:
            answer: Any = await self.services[method](params)
        except ServiceError as error:
            answer = error
        self._answers.setdefault(_name(method, params), []).append(answer)
        return _give(answer)

    def rewind(self) -> None:
        """Give the answers from the first on again."""
        self._given.clear()

    async def repeat(self, method: str, params: msgspec.Raw) -> Any:
        """The answer that the same request got before; only a new request goes to the service."""
        name = _name(method, params)
        answers = self._answers.get(name)
        if not answers:
            return await self.services[method](params)
        place = self._given.get(name, 0)
        self._given[name] = place + 1
        return _give(answers[min(place, len(answers) - 1)])


def _name(method: str, params: msgspec.Raw) -> tuple[str, bytes]:
    fields = decode_json(params, dict[str, msgspec.Raw])
    return method, msgspec.json.encode(dict(sorted(fields.items())))


def _give(answer: Any) -> Any:
    if isinstance(answer, ServiceError):
        raise answer
    return answer


def _bind(service: Callable[[str, msgspec.Raw], Any], method: str) -> Service:
    async def answer(params: msgspec.Raw) -> Any:
        return await service(method, params)

    return answer


class _Tries:
    """One method for each of PROPERTIES. Each raises _Fault, _NotTried or TaskFailed."""

    def __init__(self, machines: _Machines, package: Package, is_quick: bool = False) -> None:
        self.is_quick = is_quick
        """Whether it tries only what takes seconds."""
        self._machines = machines
        self._package = package
        self._is_hardened = package.rules == ROUNDWORK_1.name
        self._stake = max(package.minimum_stake, 1)
        self._seconds = QUICK_SECONDS if is_quick else SECONDS
        self._value: str | None = None
        self._why = ""
        """Why there is no submission."""
        self.timings: Timings | None = None
        """How long the submission and its audit took; None until both ended."""
        self._submission_seconds = 0.0
        self._work_seconds = 0.0
        """Of work and submission."""
        self._kept: dict[str, Any] = {}
        """What the functions kept when the submission was made."""
        self._bounty = package.bounty_per_round
        self._tried: list[tuple[_Round, dict[str, int]]] = []

    def list_tries(self) -> dict[str, Callable[[], Awaitable[str | None]]]:
        """By the names of PROPERTIES, in their order: later ones use what earlier ones found."""
        tries = {
            "submission": self.try_submission,
            "honest": self.try_honest,
            "lies": self.try_lies,
            "same-work": self.try_same_work,
            "same-audit": self.try_same_audit,
            "bounty": self.try_bounty,
            "slash": self.try_slash,
            "order": self.try_order,
            "same-list": self.try_same_list,
            "splitting": self.try_splitting,
            "exclusion": self.try_exclusion,
        }
        names = tuple(PROPERTIES) if not self.is_quick else OF_LISTS if self._package.secrets else QUICK
        return {name: tries[name] for name in names}

    async def try_submission(self) -> None:
        lanes = await self._machines.here()
        self._why = "there is no submission to audit"
        await lanes.start_work()
        began = time.perf_counter()
        await lanes.work(ROUND, SEED, self._seconds)
        started = time.perf_counter()
        self._value = await lanes.submit(ROUND, SEED, self._seconds)
        self._submission_seconds = time.perf_counter() - started
        self._work_seconds = time.perf_counter() - began
        self._kept = self._machines.read_saved("here")
        if self._value is None:
            raise _NotTried("submission returned None: there was nothing to submit")

    async def try_honest(self) -> None:
        lanes, value = await self._machines.here(), self._get_value()
        started = time.perf_counter()
        opinion = await self._audit(lanes, value)
        audit_seconds = time.perf_counter() - started
        self.timings = Timings(self._submission_seconds, FETCH_SECONDS, audit_seconds, self._work_seconds)
        if opinion.kind == "unavailable":
            raise _NotTried(f"the audit was unavailable: {opinion.reason}")
        if opinion.kind == "invalid":
            raise _Fault(f"audit refused {self._value!r:.80}{_because(opinion)}")

    async def try_lies(self) -> None:
        value = self._get_value()
        lanes = await self._machines.here()
        lie = await lanes.lie(ROUND, SEED, self._seconds)
        lies = [lie] if lie and lie != value else []
        for text in (*lies, *(each for each in ARBITRARY if each != value)):
            opinion = await self._audit(lanes, text)
            if opinion.kind == "valid":
                raise _Fault(f"audit accepted {text!r:.80}")
        for text in mutate(value):
            await self._audit(lanes, text)

    async def try_same_work(self) -> str:
        """The work is the same on other machines; returns what is said if they are fewer than usual."""
        self._get_value()
        machines, remark = _choose_machines(self._work_seconds)
        for machine in machines:
            await self._try_same_work(machine)
        return remark

    async def _try_same_work(self, machine: int) -> None:
        value, name = self._get_value(), f"other-{machine}"
        async with self._machines.elsewhere(name, machine) as lanes:
            await lanes.work(ROUND, SEED, self._seconds)
            other = await lanes.submit(ROUND, SEED, self._seconds)
        kept = self._machines.read_saved(name)
        for name, value_here in self._kept.items():
            if value_here != kept.get(name):
                raise _Fault(f"{name} was {value_here!r:.60}, then {kept.get(name)!r:.60}")
        if other != value:
            raise _Fault(f"submission returned {value!r:.60}, then {other!r:.60}")

    async def try_same_audit(self) -> str:
        """Audits are the same on other machines; returns what is said if they are fewer than usual."""
        here, texts = await self._machines.here(), (self._get_value(), *mutate(self._get_value()))
        began = time.perf_counter()
        expected = [(await self._audit(here, text)).kind for text in texts]
        machines, remark = _choose_machines(time.perf_counter() - began)
        for machine in machines:
            async with self._machines.elsewhere(f"auditor-{machine}", machine) as elsewhere:
                for text, kind in zip(texts, expected, strict=True):
                    found = await self._audit(elsewhere, text)
                    if found.kind != kind:
                        raise _Fault(f"{text!r:.60} was {kind}, then {found.kind}{_because(found)}")
        return remark

    async def try_bounty(self) -> None:
        for round_, amounts in await self._distribute_all():
            paid = sum(amount for amount in amounts.values() if amount > 0)
            if paid > round_.bounty:
                raise _Fault(f"{paid} roe of {round_.bounty} were paid{_describe(round_)}")

    async def try_slash(self) -> str:
        """Lists take what the ledger allows; returns what the rule set makes of amounts below 0."""
        if self._is_hardened:
            share = f"a convicted node loses {self._package.slash_percent} % of its stake (rules.slash)"
            return f"under roundwork-1 an amount below 0 counts as 0; {share}"
        for round_, amounts in await self._distribute_all():
            for each in round_.submissions:
                taken = -amounts.get(each.node, 0)
                if taken > each.stake:
                    raise _Fault(f"{taken} roe were taken from a stake of {each.stake}{_describe(round_)}")
                if taken > 0 and each.votes > 0:
                    raise _Fault(
                        f"{taken} roe were taken from a node with votes {each.votes}; the ledger refuses that"
                    )
        return ""

    async def try_order(self) -> None:
        for index, (round_, amounts) in enumerate(await self._distribute_all()):
            submissions = list(round_.submissions)
            random.Random(index).shuffle(submissions)
            _compare(amounts, await self._distribute(round_._replace(submissions=submissions)), round_)

    async def try_same_list(self) -> None:
        tried = await self._distribute_all()
        for machine in range(1, other_machine.MACHINES + 1):
            async with self._machines.elsewhere(f"list-{machine}", machine) as lanes:
                for round_, amounts in tried:
                    _compare(amounts, await self._distribute(round_, lanes), round_)

    async def try_splitting(self) -> str | None:
        for round_, amounts in await self._distribute_all():
            parts = [each for each in round_.submissions if each.votes > 0 and each.stake >= 2 * self._stake]
            if not parts:
                continue
            whole = parts[0]
            half = msgspec.structs.replace(whole, stake=whole.stake // 2)
            rest = msgspec.structs.replace(whole, stake=whole.stake - half.stake, node=_make_address(255))
            others = [each for each in round_.submissions if each is not whole]
            split = _sort([*others, half, rest])
            again = await self._distribute(round_._replace(submissions=split))
            before, after = amounts.get(whole.node, 0), sum(again.get(each.node, 0) for each in (half, rest))
            if after > before:
                raise _Fault(
                    f"a stake of {whole.stake} roe was paid {before}, its two halves {after}"
                    f"{_describe(round_)}"
                )
        if self._is_hardened and not self._package.is_split_by_stake:
            return (
                "but where no list stands the ledger pays all nodes alike, and who has many gains by wrong"
                " lists: `split: stake` in the rules pays by stake there, too"
            )
        return None

    async def try_exclusion(self) -> None:
        for round_, amounts in await self._distribute_all():
            paid = [each for each in round_.submissions if each.votes > 0]
            if len(paid) < 2:
                continue
            convicted = msgspec.structs.replace(paid[0], votes=-1, verdict="convicted")
            submissions = [convicted if each is paid[0] else each for each in round_.submissions]
            again = await self._distribute(round_._replace(submissions=submissions))
            for each in paid[1:]:
                before, after = amounts.get(each.node, 0), again.get(each.node, 0)
                if after > before:
                    raise _Fault(
                        f"a node was paid {before} roe, and {after} once another was convicted"
                        f"{_describe(round_)}"
                    )

    def _get_value(self) -> str:
        if self._value is None:
            raise _NotTried(self._why)
        return self._value

    async def _audit(self, lanes: Lanes, value: str) -> Opinion:
        return await lanes.audit(ROUND, SEED, self._machines.node, value, self._stake, self._seconds)

    async def _distribute(self, round_: _Round, lanes: Lanes | None = None) -> dict[str, int]:
        """The list of a round as the rule set takes it: under roundwork-1 amounts below 0 are 0."""
        lanes = lanes or await self._machines.here()
        amounts = await lanes.distribute(ROUND, round_.bounty, round_.submissions, self._seconds)
        if self._is_hardened:
            return {node: amount for node, amount in amounts.items() if amount > 0}
        return amounts

    async def _distribute_all(self) -> list[tuple[_Round, dict[str, int]]]:
        """Random rounds with their lists, small ones first.

        In half of them all nodes submit what this node submitted.
        """
        if not self._tried:
            values = (None, self._value)
            verdicts = HARDENED_VERDICTS if self._is_hardened else VERDICTS
            rounds = [
                _draw_round(random.Random(index), self._bounty, self._stake, values[index % 2], verdicts)
                for index in range(LISTS)
            ]
            rounds.sort(key=lambda each: len(each.submissions))
            self._tried = [(round_, await self._distribute(round_)) for round_ in rounds]
        return self._tried


class _Round(NamedTuple):
    """What a distribution function is given. `bounty` in roe."""

    bounty: int
    submissions: Sequence[SubmissionView]


def _draw_round(
    chance: random.Random, bounty: int, stake: int, value: str | None, verdicts: Verdicts
) -> _Round:
    """A round of three to twelve nodes. At least two are paid, and the stake of one of those can be split."""
    submissions = []
    for index in range(chance.randint(3, 12)):
        verdict, votes = (
            ("untried", 1) if index < 2 else chance.choices(verdicts, VERDICT_WEIGHTS[: len(verdicts)])[0]
        )
        view = SubmissionView(
            node=_make_address(chance.randrange(1, 250) if index else 250),
            value=f"value {index}" if value is None else value,
            slot=1,
            stake=stake * chance.choice((1, 2, 3, 10)) + chance.randrange(stake) if index else 4 * stake + 1,
            votes=votes,
            verdict=verdict,
            trigger_by=None,
            auditors={},
            audits_assigned=CHECKS if verdicts is HARDENED_VERDICTS else 0,
            audits_done=chance.randrange(CHECKS + 1) if verdicts is HARDENED_VERDICTS else 0,
        )
        submissions.append(view)
    unique = {each.node: each for each in submissions}
    return _Round(bounty, _sort(unique.values()))


def _sort(submissions: Any) -> list[SubmissionView]:
    return sorted(submissions, key=lambda each: each.node)


def _make_address(number: int) -> str:
    return str(Keypair.from_seed(number.to_bytes(32, "big")).pubkey())


def _describe(round_: _Round) -> str:
    """The stakes and verdicts with which a fault was seen."""
    nodes = ", ".join(f"{each.stake} {each.verdict}" for each in round_.submissions)
    return f" (a bounty of {round_.bounty} roe; stakes {nodes})"


def _compare(first: dict[str, int], second: dict[str, int], round_: _Round) -> None:
    for node in sorted(first.keys() | second.keys()):
        if first.get(node, 0) != second.get(node, 0):
            raise _Fault(
                f"{node} got {first.get(node, 0)} roe, then {second.get(node, 0)}{_describe(round_)}"
            )


def _choose_machines(seconds: float) -> tuple[range, str]:
    """The other machines for a step that took this long, and a remark if they are fewer than usual."""
    if seconds <= SLOW_SECONDS:
        return range(1, other_machine.MACHINES + 1), ""
    return range(1, 2), f"repeated on one other machine only, because it took {seconds:.0f} s here"


def _because(opinion: Opinion) -> str:
    return f": {opinion.reason}" if opinion.reason else ""


def mutate(value: str) -> list[str]:
    """The submission changed in ways that a careless or hostile node would send."""
    middle = len(value) // 2
    changed = [
        value[:-1],
        value[1:],
        value[:middle] + ("0" if value[middle : middle + 1] != "0" else "1") + value[middle + 1 :],
        value[::-1],
        value.swapcase(),
        value + value[-1],
        value.replace('"', "'"),
    ]
    return [
        text
        for text in dict.fromkeys(changed)
        if text.strip() and text != value and len(text.encode()) <= 512
    ]
