"""Where this interpreter lies: what a confined process must read to run Python."""

import sysconfig
from pathlib import Path


def find_interpreter() -> list[Path]:
    """The standard library and the interpreter's shared library, and nothing else of its folder."""
    library = sysconfig.get_config_var("LIBDIR")
    shared = sysconfig.get_config_var("INSTSONAME") if sysconfig.get_config_var("Py_ENABLE_SHARED") else None
    found = [Path(sysconfig.get_path("stdlib"))]
    if library and shared:
        found.append(Path(library) / shared)
    return found
