"""Loads a task's program in this process.

Only for the author's own code: it runs with the author's rights.
"""

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from itertools import count

from ..errors import BadTaskFile
from ..package.folder import Package
from ..sdk.task import Task
from .failures import describe_failure

NEEDED_FUNCTIONS = ("work", "submission", "audit")

_loads = count()


def load_task(package: Package) -> Task:
    """The Task of a package's task.py. Raises BadTaskFile.

    The modules beside it are imported anew, so that two tasks with modules of one name do not meet.
    """
    program = package.program
    if package.kind != "python":
        raise BadTaskFile(f"{program} is a JavaScript task; only task.py is simulated")
    folder = str(program.parent)
    name = f"_roundwork_task_{next(_loads)}"
    loader = SourceFileLoader(name, str(program))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    beside = {path.stem for path in program.parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    known = {each: sys.modules.pop(each) for each in beside & sys.modules.keys()}
    sys.modules[name] = module
    sys.path.insert(0, folder)
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BadTaskFile(f"{program} cannot be run: {describe_failure(error)}") from error
    finally:
        sys.path.remove(folder)
        for each in beside & sys.modules.keys():
            del sys.modules[each]
        sys.modules.update(known)
    tasks = [value for value in vars(module).values() if isinstance(value, Task)]
    if len(tasks) != 1:
        raise BadTaskFile(f"{program} has {len(tasks)} Task objects; it must have one: task = Task('name')")
    missing = [f"@task.{each}" for each in NEEDED_FUNCTIONS if each not in tasks[0].functions]
    if missing:
        raise BadTaskFile(f"{program} has no {', no '.join(missing)}; a task has work, submission, audit")
    return tasks[0]
