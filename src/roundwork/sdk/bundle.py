"""One file with the modules that a worker loads, because in the sandbox it is files that cost.

sandlock's supervisor mediates every `open` and `stat`: 0.7 ms for a module, and a worker loads some forty
before its first answer. `write_bundle` keeps what a worker has loaded from files, `install_bundle` lets a
later one find that in memory. Only where the code comes from differs: a module has its own __file__, source
and __path__, and what is not in the bundle is found as ever. The worker's own modules come first: a file in
a task's folder that has the name of one of them does not hide it.
"""

import marshal
import sys

# Not importlib.machinery, which has these: its package is a file with imports. This module is what runs
# before files are cheap; __future__ is one too, hence the quotes around types.
from _frozen_importlib_external import ExtensionFileLoader, SourceFileLoader, spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType

    Modules = dict[str, tuple[str, bytes | None]]


def write_bundle(path: str, folders: tuple[str, ...]) -> None:
    """Write what this process has loaded from files in `folders`, and which interpreter it is."""
    modules: Modules = {}
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        # os.path and, in some versions, collections.abc are modules of another name.
        if spec is None or spec.name != name or not (spec.origin or "").startswith(folders):
            continue
        if isinstance(spec.loader, SourceFileLoader):
            modules[name] = spec.origin, marshal.dumps(spec.loader.get_code(name))
        elif isinstance(spec.loader, ExtensionFileLoader):
            modules[name] = spec.origin, None
    with open(path, "wb") as file:
        file.write(marshal.dumps((sys.version, sys.base_prefix, modules)))


def install_bundle(modules: "Modules") -> None:
    """Find these modules in memory from now on: after built-in ones, before the path is searched."""
    sys.meta_path.insert(len(sys.meta_path) - 1, BundleFinder(modules))


class BundleFinder:
    """Modules by name: where each one's file is, and its marshalled code; None for a shared library."""

    def __init__(self, modules: "Modules") -> None:
        self._modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """The protocol of sys.meta_path."""
        if name not in self._modules:
            return None
        origin, code = self._modules[name]
        loader = ExtensionFileLoader(name, origin) if code is None else BundleLoader(name, origin, code)
        return spec_from_file_location(name, origin, loader=loader)


class BundleLoader(SourceFileLoader):
    """The loader of a source file that has been compiled."""

    def __init__(self, name: str, origin: str, code: bytes) -> None:
        super().__init__(name, origin)
        self._code = code

    def get_code(self, fullname: str) -> "CodeType | None":
        """Its code, without a look at the file."""
        code: CodeType = marshal.loads(self._code)
        return code
