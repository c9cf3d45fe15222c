"""The table of instructions: every program of the ledger by its address."""

from .layout import Program
from .params import Key
from .programs import layouts as programs
from .tasks import layouts as tasks

PROGRAMS: dict[Key, Program] = {
    program.key: program
    for program in (
        programs.SYSTEM,
        tasks.TASKS,
        tasks.TOKEN_TASKS,
        programs.TOKEN,
        programs.ASSOCIATED,
        *programs.MEMOS,
        programs.COMPUTE_BUDGET,
        programs.LOOKUP,
        programs.ED25519,
    )
}
