"""What a round's work and an audit cost in `roundwork attack`: given, taken from saved rows, or measured."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..economics import Costs, derive_costs
from .margin import Costs as Expected
from .margin import count_checks

if TYPE_CHECKING:
    from ..sim.attack import Place


class ChosenCosts(NamedTuple):
    """The costs of a run, and where they come from, for people."""

    costs: Costs
    source: str

    def __str__(self) -> str:
        work, audit = (f"{cost:g}" for cost in self.costs)
        return (
            f"costs: a round's work {work} R, an audit {audit} R, {self.source};"
            f" --work-cost {work} --audit-cost {audit} plays the same table again"
        )


def choose_costs(
    work: float | None, audit: float | None, place: "Place | None", saved: Path | None
) -> ChosenCosts:
    """The costs that are given; what is not given comes from saved rows, or else is measured.

    `place` has the author's task, if there is one; `saved` is the file of rows that are taken up. Raises
    TaskFailed for a task that does not work, BadConfig for a file that has no rows.
    """
    if work is not None and audit is not None:
        return ChosenCosts(Costs(work, audit), "as given")
    found, source = _find_costs(place, saved)
    given = Costs(found.work if work is None else work, found.audit if audit is None else audit)
    return ChosenCosts(
        given, source if (work, audit) == (None, None) else f"one as given, the other {source}"
    )


def _find_costs(place: "Place | None", saved: Path | None) -> tuple[Costs, str]:
    from ..sim.costs import measure_seconds
    from ..sim.rows import read_costs

    if place is None:
        return Costs(), "as usual, because no task is given that could be timed"
    if saved is not None and saved.exists() and (costs := read_costs(saved)) is not None:
        return costs, f"as in the rows of {saved}"
    seconds = measure_seconds(place)
    audits = count_checks(place.terms.rules, Expected().nodes)
    source = (
        f"from the times of the task's functions on this machine ({seconds.work:.2g} s and"
        f" {seconds.audit:.2g} s)"
    )
    return derive_costs(*seconds, audits), source
