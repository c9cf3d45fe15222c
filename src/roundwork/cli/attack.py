"""`roundwork attack`: strategies that cheat, measured against honest play."""

import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BadConfig
from .attack_costs import ChosenCosts, choose_costs
from .options import Cost, OutputFile, combine, json_option, param_option, secret_option
from .output import STOPPED, say, say_json
from .simulate_view import compose_table

if TYPE_CHECKING:
    from ..package.terms import Terms
    from ..sim.attack import Measured, Place, Row, Trial

BAR_CHARACTERS = 12
"""The width of the longest bar of the plot."""

Job = tuple["Trial", int]
"""A trial and one of its seeds."""

RunTrial = Callable[[Any, Any, int, "Place"], "Measured"]
"""Plays one seed of a trial of a rule set with one of its strategies."""

SCENARIO_REMEDIES = {
    "liars": "--strategy and --share say who cheats",
    "plays": "--strategy, --share and --silent say who plays otherwise",
    "stakes": "--stakes says how stake is distributed",
    "seed": "--seeds says how many seeds are played, from 0 on",
    "signatures": "nodes do not sign for real",
}
"""The fields of a scenario that have no meaning in `attack`, and what to use instead."""

CONDITIONS = ("slot_ms", "network", "faults")
"""The fields of a scenario that are those of a world."""

grid_options = combine(
    click.option("--strategy", "names", multiple=True, help="Which strategies; may be given again: all."),
    click.option("--nodes", multiple=True, type=click.IntRange(2, 10_000), help="Sizes of worlds: 20."),
    click.option(
        "--share",
        "shares",
        multiple=True,
        type=click.IntRange(1, 99),
        help="How many of 100 nodes cheat: 20.",
    ),
    click.option(
        "--silent",
        "silents",
        multiple=True,
        type=click.IntRange(0, 99),
        help="How many of 100 honest nodes do their work and give no opinions: 0.",
    ),
    click.option(
        "--stakes",
        multiple=True,
        type=click.Choice(["equal", "mice", "whale", "pareto"]),
        help="How stake is distributed: equal.",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(1, 1000),
        help="A world's: 4; under roundwork-1, which has chance, 24.",
    ),
    click.option("--work-cost", type=Cost(), help="What a round's work costs, in R: measured on TASK."),
    click.option("--audit-cost", type=Cost(), help="What an audit costs, in R: measured on TASK."),
)
"""Options with the fields of trials; those that may be given again span a grid."""


table_options = combine(
    click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Worlds a row."),
    click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes."),
    click.option(
        "--save", type=OutputFile(), help="Write each row to this file, a new one, when it is done."
    ),
    click.option(
        "--resume", is_flag=True, help="Go on with the file of --save: play the rows that it lacks."
    ),
    click.option(
        "--against",
        type=click.Path(path_type=Path),
        help="Say what differs from this saved table: profits over .01 R outside its bounds.",
    ),
    click.option("--strict", is_flag=True, help="Exit with 1 if a strategy may earn more than honest play."),
)
"""How the table is made, kept and judged."""


@click.command()
@click.argument("task", type=click.Path(path_type=Path), required=False)
@grid_options
@click.option(
    "--rules",
    type=click.Choice(["koii-1", "roundwork-1"]),
    help="The rule set: TASK's own; koii-1 without TASK.",
)
@param_option
@secret_option
@click.option(
    "--strategies",
    "file",
    type=click.Path(path_type=Path, exists=True),
    help="A Python file with more: subclasses of roundwork.strategies.Strategy, or of SealedStrategy.",
)
@click.option(
    "--scenario",
    "scenario_path",
    type=click.Path(path_type=Path),
    help="A YAML file, as of simulate, with costs, a network and faults; options come before it.",
)
@click.option("--answers", type=click.Path(path_type=Path), help="A file of recorded answers to ctx.http.")
@table_options
@json_option
def command(
    task: Path | None,
    seeds: int,
    rules: str | None,
    params: dict[str, str],
    secrets: dict[str, str],
    file: Path | None,
    scenario_path: Path | None,
    answers: Path | None,
    jobs: int,
    save: Path | None,
    resume: bool,
    against: Path | None,
    strict: bool,
    as_json: bool,
    **grid: Any,
) -> None:
    """Play strategies that cheat against the rules, on TASK or on a task that is made for it.

    Profit is what a member of the coalition gains by round beyond its own honest play, in R, the reward of an
    honest node. TASK's code runs without a sandbox, so attack only code that you trust.
    """
    from ..sim.rows import append_row, read_rows

    _check_save(save, resume)
    if task is None and (params or secrets or answers is not None):
        raise click.UsageError("--param, --secret and --answers are for a TASK, and none is named")
    desk = Desk(task, params, file, rules, answers, _read_scenario(scenario_path), secrets)
    chosen = _choose_grid(grid, desk, save if resume else None)
    trials = desk.list_trials(**grid)
    for note in desk.list_notes(trials):
        say(note, err=True)
    before = None if against is None else read_rows(against)
    run = desk.name_run(seeds, trials)
    rows = read_rows(save, run) if resume and save is not None and save.exists() else []
    keep = None if save is None else partial(append_row, save, run=run, costs=chosen.costs)
    is_stopped = not _collect(_run(desk, _list_left(trials, rows), seeds, jobs), rows, keep)
    _sort(rows, trials)
    _show(rows, as_json)
    say(str(chosen), err=as_json)
    _tell_idle(rows, desk.game.own, as_json)
    if before is not None:
        _tell_changes(rows, before, as_json)
    if is_stopped or (strict and desk.find_winners(rows)):
        sys.exit(STOPPED if is_stopped else 1)


def _check_save(save: Path | None, is_resuming: bool) -> None:
    """Raises UsageError for rows that would be mixed with others."""
    if is_resuming and save is None:
        raise click.UsageError("--resume needs --save: the file whose rows it leaves out")
    if save is not None and not is_resuming and save.exists() and save.stat().st_size:
        raise click.UsageError(f"{save} has rows: --resume plays those that it lacks; else name another file")


def _list_left(trials: "list[Trial]", rows: "list[Row]") -> "list[Trial]":
    """The trials that have no row yet."""
    from ..sim.attack import name_cell

    done = {name_cell(row) for row in rows}
    return [trial for trial in trials if name_cell(trial) not in done]


def _collect(played: "Iterator[Row]", rows: "list[Row]", keep: "Callable[[Row], None] | None") -> bool:
    """Add the rows as they are played, until Ctrl-C; whether all were played."""
    try:
        for row in played:
            rows.append(row)
            if keep is not None:
                keep(row)
    except KeyboardInterrupt:
        say("stopped; these rows are done", err=True)
        return False
    return True


def _sort(rows: "list[Row]", trials: "list[Trial]") -> None:
    """Bring rows into the order of their trials."""
    from ..sim.attack import name_cell

    order = {name_cell(trial): at for at, trial in enumerate(trials)}
    rows.sort(key=lambda row: order.get(name_cell(row), -1))


def _read_scenario(path: Path | None) -> dict[str, Any]:
    """The fields of a scenario's file. Raises BadConfig for one that has no meaning here."""
    from ..sim.scenario import read_fields

    fields = {} if path is None else read_fields(path)
    for name, remedy in SCENARIO_REMEDIES.items():
        if name in fields:
            raise BadConfig(f"{path}: {name}: a scenario of `attack` has no such field; {remedy}")
    return fields


def _choose_grid(grid: dict[str, Any], desk: "Desk", taken_up: Path | None) -> ChosenCosts:
    """Take the fields of the scenario for options that were not given, and choose the costs.

    `taken_up` is the file of the rows that are left out, if there is one.
    """
    scenario = desk.scenario
    if not grid["nodes"] and "nodes" in scenario:
        grid["nodes"] = (scenario["nodes"],)
    for name in ("rounds", "work_cost", "audit_cost"):
        if grid[name] is None:
            grid[name] = scenario.get(name)
    chosen = choose_costs(grid["work_cost"], grid["audit_cost"], desk.open_usual_place(), taken_up)
    grid |= {"work_cost": chosen.costs.work, "audit_cost": chosen.costs.audit}
    return chosen


class Desk:
    """What a process needs to run a trial: the task and the strategies, loaded once in each process."""

    def __init__(
        self,
        folder: Path | None,
        params: dict[str, str],
        file: Path | None,
        rules: str | None,
        answers: Path | None,
        scenario: dict[str, Any] | None = None,
        secrets: dict[str, str] | None = None,
    ) -> None:
        """`rules` are None for those of the folder's task; `scenario` has fields of a Scenario.

        Raises BadConfig, BadTaskFile.
        """
        from ..localnet.demo import point_at_record
        from ..package.folder import load_package, pack, take_secrets
        from ..sim.answers import RecordedNetwork
        from ..sim.loading import load_task
        from ..sim.scenario import merge_given_params

        self.arguments = (folder, params, file, rules, answers, scenario, secrets)
        self.scenario = scenario or {}
        rules, params = rules or self.scenario.get("rules"), {**self.scenario.get("params", {}), **params}
        self.network = None if answers is None else RecordedNetwork(answers, is_recording=False)
        package = None if folder is None else load_package(folder)
        self.content_id = None if package is None else pack(package)[0]
        if rules is None:
            rules = "koii-1" if package is None else package.rules
        self.game: Game = HardenedGame(file) if rules == "roundwork-1" else KoiiGame(file)
        self.terms: Terms | None = package
        if package is None:
            self.task, self.params, self.secrets = self.game.make_task(), dict(params), {}
        else:
            given = params if answers is None else point_at_record(package, params)
            self.params = merge_given_params(package, given)
            self.secrets = take_secrets(package, secrets or {})
            self.task = load_task(package)

    def list_trials(
        self,
        names: tuple[str, ...],
        nodes: tuple[int, ...],
        shares: tuple[int, ...],
        silents: tuple[int, ...],
        stakes: tuple[str, ...],
        **fields: Any,
    ) -> "list[Trial]":
        """The trials of a grid. Raises BadConfig for a strategy that does not exist."""
        chosen = names or tuple(name for name in self.game.strategies if name != "honest")
        for name in chosen:
            self.game.check(name)
        given = {name: value for name, value in fields.items() if value is not None}
        trials = (
            self.game.trial(strategy=name, nodes=size, share=share, silent=silent, stakes=stake, **given)
            for size in nodes or (20,)
            for share in shares or (20,)
            for silent in silents or (0,)
            for stake in stakes or ("equal",)
            for name in chosen
        )
        return list(dict.fromkeys(trials))  # a value that is given twice is played once

    def run(self, trial: "Trial", seed: int) -> "Measured":
        """One seed of a trial."""
        place = self._open_place(trial)
        return self.game.run_trial(trial, self.game.strategies[trial.strategy], seed, place)

    def open_usual_place(self) -> "Place | None":
        """The author's task in a world of usual size; None without an author's task."""
        return None if self.terms is None else self._open_place(self.game.trial(strategy="honest"))

    def _open_place(self, trial: "Trial") -> "Place":
        from ..sim.attack import Place

        terms = self.game.fit(trial, self.terms, self.scenario.get("round_slots"))
        conditions = {name: self.scenario[name] for name in CONDITIONS if name in self.scenario}
        return Place(self.task, terms, self.params, self.network, conditions, self.secrets)

    def find_winners(self, rows: "list[Row]") -> "list[Row]":
        """The rows that `--strict` does not allow; one whose strategy never deviated proves nothing."""
        return self.game.find_winners(row for row in rows if row.acted)

    def list_notes(self, trials: "list[Trial]") -> list[str]:
        """What is played otherwise than it is written: windows that are too short, shares below a node."""
        from ..package.terms import describe_longer_windows
        from ..sim.attack import list_rounded, list_weak_lies

        notes = list_rounded(trials)
        if self.terms is not None:
            notes += list_weak_lies(self.task, {self.game.strategies[trial.strategy] for trial in trials})
        place = self.open_usual_place()
        if place is not None and self.terms is not None and "round_slots" not in self.scenario:
            longer = describe_longer_windows(self.terms, place.terms)
            notes += [longer] if longer else []
        return notes

    def name_run(self, seeds: int, trials: "list[Trial]") -> str:
        """What all rows of a run have in common: task, params, answers, scenario, worlds a row and costs."""
        import msgspec
        from blake3 import blake3

        _, _, file, _, answers, *_ = self.arguments
        digests = [
            None if path is None else blake3(path.read_bytes()).hexdigest() for path in (file, answers)
        ]
        costs = [(trial.rounds, trial.work_cost, trial.audit_cost) for trial in trials[:1]]
        conditions = {
            name: self.scenario[name] for name in (*CONDITIONS, "round_slots") if name in self.scenario
        }
        facts = (
            type(self.game).__name__,
            self.content_id,
            digests,
            sorted(self.params.items()),
            seeds,
            costs,
            *([sorted(conditions.items())] if conditions else []),
        )
        return blake3(msgspec.json.encode(facts)).hexdigest()[:16]


class KoiiGame:
    """The strategies of koii-1, and how they are played."""

    def __init__(self, file: Path | None) -> None:
        """`file` defines more strategies. Raises BadTaskFile."""
        from ..sealed_strategies import SealedStrategy
        from ..sim.attack import Trial, find_winners, make_trial_task, run_trial
        from ..sim.strategy_files import load_strategies
        from ..strategies import STRATEGIES, Strategy

        more = {} if file is None else load_strategies(file, Strategy, list(STRATEGIES), SealedStrategy)
        self.strategies = {**STRATEGIES, **more}
        self.own = frozenset(more)
        self.trial, self.make_task, self.find_winners = Trial, make_trial_task, find_winners
        self.run_trial: RunTrial = run_trial

    def check(self, name: str) -> None:
        """Raises BadConfig for a strategy that does not exist."""
        from ..sim.attack import find_strategy

        find_strategy(name, self.strategies)

    def fit(self, trial: "Trial", terms: "Terms | None", round_slots: int | None) -> "Terms":
        """The terms of a trial; without terms, those of its own task."""
        from ..sim.attack import TRIAL_TERMS
        from ..sim.scenario import Scenario, fit_terms

        scenario = Scenario(rules="koii-1", rounds=trial.rounds, round_slots=round_slots)
        return fit_terms(terms or TRIAL_TERMS, scenario)


class HardenedGame:
    """The strategies of roundwork-1, and how they are played."""

    def __init__(self, file: Path | None) -> None:
        """`file` defines more strategies. Raises BadTaskFile."""
        from ..sealed_strategies import STRATEGIES, SealedStrategy
        from ..sim.sealed_attack import SealedTrial, find_sealed_winners, make_trial_task, run_sealed_trial
        from ..sim.strategy_files import load_strategies
        from ..strategies import Strategy

        more = {} if file is None else load_strategies(file, SealedStrategy, list(STRATEGIES), Strategy)
        self.strategies = {**STRATEGIES, **more}
        self.own = frozenset(more)
        self.trial, self.make_task, self.find_winners = SealedTrial, make_trial_task, find_sealed_winners
        self.run_trial: RunTrial = run_sealed_trial

    def check(self, name: str) -> None:
        """Raises BadConfig for a strategy that does not exist."""
        from ..sim.sealed_attack import find_strategy

        find_strategy(name, self.strategies)

    def fit(self, trial: "Trial", terms: "Terms | None", round_slots: int | None) -> "Terms":
        """The terms of a trial, with windows that the rules allow; without terms, those of its own task.

        The bounty of a task is meant for the nodes that `advise` expects. It grows with the trial's nodes, so
        that the minimum stake is as many rewards in a large world as in a small one.
        """
        import msgspec

        from ..sim.scenario import Scenario, fit_terms
        from ..sim.sealed_attack import TRIAL_TERMS, SealedTrial, fit_trial
        from .margin import Costs as Expected

        assert isinstance(trial, SealedTrial)
        scenario = Scenario(rules="roundwork-1", rounds=trial.rounds, round_slots=round_slots)
        if terms is None:
            return fit_terms(fit_trial(trial, TRIAL_TERMS), scenario)
        bounty = terms.bounty_per_round * trial.nodes // Expected().nodes
        return fit_terms(msgspec.structs.replace(terms, bounty_per_round=bounty), scenario)


Game = KoiiGame | HardenedGame

_desk: Desk | None = None


def _open_desk(arguments: tuple[Any, ...]) -> None:
    global _desk
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that shows the rows
    _desk = Desk(*arguments)


def _run_on_desk(trial: "Trial", seed: int) -> "Measured":
    assert _desk is not None
    return _desk.run(trial, seed)


def _run(desk: Desk, trials: "list[Trial]", seeds: int, jobs: int) -> "Iterator[Row]":
    """The rows as they are done, with a progress bar on a terminal."""
    from ..sim.attack import compose_row

    with _open_bar(len(trials) * seeds) as step:
        if jobs > 1:
            yield from _run_in_processes(desk, trials, seeds, jobs, step)
            return
        for trial in trials:
            measured = []
            for seed in range(seeds):
                measured.append(desk.run(trial, seed))
                step()
            _tell_failures(trial, measured)
            yield compose_row(trial, measured)


def _run_in_processes(
    desk: Desk, trials: "list[Trial]", seeds: int, jobs: int, step: Callable[[], None]
) -> "Iterator[Row]":
    from ..sim.attack import compose_row

    pool = ProcessPoolExecutor(jobs, initializer=_open_desk, initargs=(desk.arguments,))
    try:
        running: dict[Future[Measured], Job] = {
            pool.submit(_run_on_desk, trial, seed): (trial, seed) for trial in trials for seed in range(seeds)
        }
        measured: dict[Trial, dict[int, Measured]] = {trial: {} for trial in trials}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                trial, seed = running.pop(future)
                measured[trial][seed] = future.result()
                step()
                if len(measured[trial]) == seeds:
                    in_order = [each for _, each in sorted(measured[trial].items())]
                    _tell_failures(trial, in_order)
                    yield compose_row(trial, in_order)
    finally:  # also after Ctrl-C, wherever it arrives
        pool.shutdown(wait=False, cancel_futures=True)
        for process in active_children():
            process.terminate()


def _tell_failures(trial: "Trial", measured: "list[Measured]") -> None:
    """Say which of the author's functions failed, such as an audit that raises on a lie."""
    from ..sim.attack import describe_failures

    for line in describe_failures(trial, measured):
        say(line, err=True)


@contextmanager
def _open_bar(length: int) -> Iterator[Callable[[], None]]:
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, label="worlds", file=sys.stderr) as bar:
        yield lambda: bar.update(1)


def _tell_idle(rows: "list[Row]", own: frozenset[str], as_json: bool) -> None:
    """Name the rows that prove nothing; `own` are the strategies of the author's file."""
    from ..sim.attack import list_idle

    for row in list_idle(rows):
        why = "it never called `me.act`" if row.strategy in own else "it never deviated in this task"
        say(f"{row.strategy}, {row.nodes} nodes: {why}, so its row proves nothing", err=as_json)


def _tell_changes(rows: "list[Row]", before: "list[Row]", as_json: bool) -> None:
    """Say what differs from an earlier table."""
    from ..sim.attack import list_changes

    for change in list_changes(rows, before):
        say(change, err=as_json)


def _show(rows: "list[Row]", as_json: bool) -> None:
    import msgspec

    if as_json:
        for row in rows:
            say_json(msgspec.to_builtins(row))
        return
    most = max((abs(row.profit) for row in rows), default=0) or 1
    shown = [
        {
            **msgspec.to_builtins(row),
            "profit": f"{row.profit:+.3f}",
            "bounds": f"{row.lower:+.3f} to {row.upper:+.3f}" if row.seeds > 1 else "none: one world",
            "harm": f"{row.harm:+.2f}",
            "griefing_factor": "none" if row.griefing_factor is None else f"{row.griefing_factor:.2f}",
            "plot": ("+" if row.profit > 0 else "-") * round(abs(row.profit) / most * BAR_CHARACTERS),
        }
        for row in sorted(rows, key=lambda row: -row.profit)
    ]
    names = ["strategy", "nodes", "share", "silent", "stakes", "acted", "profit", "bounds", "harm"]
    names += ["griefing_factor", "unpaid", "bad_paid", "honest_convicted", "plot"]
    for line in compose_table(names, shown):
        say(line)
    say(
        "profit of a member by round beyond honest play, and harm to all others, in rewards of an honest node"
    )
