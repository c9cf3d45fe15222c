"""A task as a package: its folder, its configuration, its files and the content id of them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from ..errors import BadConfig, BadTaskFile, Malformed
from ..wire import decode_json
from .config import check_language, read_config, read_terms
from .content import compute_content_id, is_content_id
from .fields import suggest_file
from .requirements import Requirement, compute_hosts, compute_limits
from .terms import Terms

CONFIG = "config-task.yml"
LOCK = "requirements.lock"
METADATA = "metadata.json"
"""What clients show of a task. It holds the time it was made, so it is not part of the package."""
PROGRAMS = ("task.py", "main.js", "dist/main.js")
FORMAT: Final = "roundwork/package/1"
PACKAGE_BYTES_MAX = 50 * 1000 * 1000
FILES_MAX = 10_000
LEFT_OUT = frozenset(("__pycache__", "node_modules"))


class Demo(msgspec.Struct, frozen=True):
    """A program that `roundwork up` starts beside the nodes unless `--param` gives what it is for.

    `command`: the word "python" is this interpreter, "{port}" a free port; its stdin stays open (a pipe).
    `params`: params that point at it, with "{port}" too.
    """

    command: tuple[str, ...]
    params: dict[str, str]


class Package(Terms, frozen=True, kw_only=True):
    """A task folder that was read and found good. Money in roe, windows in slots."""

    folder: Path
    kind: Literal["python", "javascript"]
    program: Path
    """The executable, task.py or main.js; the task can read its folder."""
    description_path: Path | None
    """The file that the description is from."""
    author: str
    repository_url: str
    image_url: str
    info_url: str
    task_type: str
    token_type: str
    space_bytes: int
    requirements: tuple[Requirement, ...]
    tags: tuple[str, ...]
    environment: str
    task_id: str
    migration_description: str
    params: dict[str, Any]
    hosts: tuple[str, ...]
    """Permitted hosts of ctx.http: "example.org", "*.example.org", "127.0.0.1:8000", "*" for any, "$start"
    for that of the URL in the param `start`, which `resolve_hosts` looks up."""
    limits: dict[str, int]
    """What the task asks for, fields of node.sandbox.Limits."""
    secrets: tuple[str, ...]
    """Variables that the operator must provide; those of TASK_VARIABLE and GLOBAL_VARIABLE are among them."""
    demo: Demo | None
    excused: dict[str, str]
    """Properties that `roundwork check` tries and that this task need not have, with the reasons."""
    lock: bytes | None
    requires_python: str | None
    warnings: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files of a package by path, as content ids. Its own content id names the package."""

    format: Literal["roundwork/package/1"]
    files: dict[str, str]


def load_package(folder: Path) -> Package:
    """Read a task folder.

    Raises BadConfig (config-task.yml) or BadTaskFile (the folder), naming file, field, value and what is
    allowed.
    """
    if not folder.is_dir():
        raise BadTaskFile(
            f"{folder} is not a folder; a task is a folder with task.py and {CONFIG}{suggest_file(folder)}"
        )
    folder = folder.resolve()
    config, warnings = read_config(folder / CONFIG)
    ours = config["roundwork"]
    program = _find_program(folder, config["task_audit_program"])
    kind: Literal["python", "javascript"] = "python" if program.suffix == ".py" else "javascript"
    check_language(folder / CONFIG, config, kind)
    lock = program.parent / LOCK
    description_path = _find_description(folder, config["markdownDescriptionPath"])
    requirements: tuple[Requirement, ...] = config["requirementsTags"]
    variables = (each.value for each in requirements if each.type.endswith("_VARIABLE"))
    terms = msgspec.structs.asdict(read_terms(config))
    if description_path is not None:
        terms["description"] = _read(description_path)
    return Package(
        **terms,
        folder=folder,
        kind=kind,
        program=program,
        description_path=description_path,
        author=config["author"],
        repository_url=config["repositoryUrl"],
        image_url=config["imageUrl"],
        info_url=config["infoUrl"],
        task_type=config["task_type"],
        token_type=config["token_type"],
        space_bytes=int(config["space"] * 1_000_000),
        requirements=requirements,
        tags=config["tags"],
        environment=config["environment"],
        task_id=config["task_id"],
        migration_description=config["migrationDescription"],
        params=ours["params"],
        hosts=tuple(dict.fromkeys((*compute_hosts(requirements), *ours["hosts"]))),
        limits={**compute_limits(requirements), **ours["limits"]},
        secrets=tuple(dict.fromkeys((*variables, *ours["secrets"]))),
        demo=Demo(**ours["demo"]) if ours["demo"] else None,
        excused=ours["excused"],
        lock=_read_lock(program),
        requires_python=ours["requires_python"],
        warnings=(*warnings, *_warn_of_lock(lock)),
    )


def choose_program(package: Package, name: str) -> Package:
    """The package with another of its programs: a task in two languages is one package.

    `name` is looked for beside the program, then in the package's root. Raises BadTaskFile.
    """
    packed = set(_list_paths(package))
    for start in (package.program.parent, package.folder):
        program = start / name
        if program.suffix in (".py", ".js") and program in packed:
            return msgspec.structs.replace(
                package,
                program=program,
                kind="python" if program.suffix == ".py" else "javascript",
                lock=_read_lock(program),
            )
    raise BadTaskFile(
        f"{name} is not a program of the package {package.folder}: it must be a .py or .js file beside"
        f" {package.program.relative_to(package.folder)} or in the package's root"
    )


def merge_params(package: Package, given: Mapping[str, str]) -> dict[str, Any]:
    """The package's params with those that were given as text, each read as what it is in the package.

    A param that the package does not have, and one that is text there, stays text. Raises BadConfig.
    """
    return {**package.params, **{name: _read_param(package, name, text) for name, text in given.items()}}


def find_unknown_params(package: Package, given: Iterable[str]) -> str:
    """The first param that was given and that the package does not have, in words; "" for none."""
    of_hosts = [host.removeprefix("$") for host in package.hosts if host.startswith("$")]
    of_demo = package.demo.params if package.demo else ()
    known = dict.fromkeys([*package.params, *of_hosts, *of_demo])
    for name in given:
        if name not in known:
            return f"param {name!r:.100} is not in {CONFIG}, which has {', '.join(known) or 'no params'}"
    return ""


def check_params(package: Package, given: Iterable[str]) -> None:
    """Raises BadConfig for a param that the package does not have."""
    if unknown := find_unknown_params(package, given):
        raise BadConfig(unknown)


def check_kind(package: Package, name: str, value: Any, given: Any) -> None:
    """Raises BadConfig for a value of another kind than the param has in the package. `given` is shown."""
    default: object = package.params.get(name)
    kinds = {type(default), type(value)}
    if default is not None and len(kinds) > 1 and kinds != {int, float}:
        shown = msgspec.json.encode(default).decode()
        raise BadConfig(f"param {name}: {given!r:.100} must be of the kind of {shown}, which {CONFIG} has")


def choose_secrets(package: Package, given: Mapping[str, str]) -> dict[str, str]:
    """The secrets that the package asks for. Raises BadTaskFile if one is not given."""
    missing = [name for name in package.secrets if name not in given]
    if missing:
        raise BadTaskFile(
            f"the task asks for {', '.join(missing)}; give each with --secret NAME=VALUE, or --secret NAME"
            " to take it from the environment"
        )
    return {name: given[name] for name in package.secrets}


def take_secrets(package: Package, given: Mapping[str, str]) -> dict[str, str]:
    """The secrets that the package asks for, and no others. Raises BadConfig, BadTaskFile."""
    check_secrets(package, given)
    return choose_secrets(package, given)


def check_secrets(package: Package, given: Iterable[str]) -> None:
    """Raises BadConfig for a secret that the package does not ask for: a node would not give it to it."""
    for name in given:
        if name not in package.secrets:
            known = ", ".join(package.secrets) or "none"
            raise BadConfig(
                f"secret {name!r:.100} is not in roundwork.secrets of {CONFIG}, which has {known}"
            )


def _read_param(package: Package, name: str, text: str) -> Any:
    default: object = package.params.get(name)
    if default is None or isinstance(default, str):
        return text
    try:
        value = decode_json(text)
    except Malformed:
        value = text
    check_kind(package, name, value, text)
    return value


def resolve_hosts(package: Package, params: dict[str, Any]) -> tuple[str, ...]:
    """The package's permitted hosts, "$name" replaced by the host of that param's URL.

    Raises BadConfig.
    """
    return tuple(_resolve_host(host, params) for host in package.hosts)


def pack(package: Package) -> tuple[str, dict[str, bytes]]:
    """The content id of the whole package, and its blobs by content id: a manifest and one for each file.

    The program's folder, config-task.yml, the description and programs in the root go in; hidden files,
    __pycache__, node_modules and metadata.json beside the program do not.
    Raises BadTaskFile for links, and for packages that are too large.
    """
    blobs: dict[str, bytes] = {}
    files: dict[str, str] = {}
    size = 0
    for path in _list_paths(package):
        data = path.read_bytes()
        name = path.relative_to(package.folder).as_posix()
        files[name] = compute_content_id(data)
        blobs[files[name]] = data
        size += len(data)
        _check_size(str(package.folder), len(files), size)
    manifest = msgspec.json.encode(Manifest(FORMAT, dict(sorted(files.items()))))
    content_id = compute_content_id(manifest)
    return content_id, {content_id: manifest, **blobs}


def unpack(content_id: str, get_blob: Callable[[str], bytes | None], folder: Path) -> None:
    """Write a package's files into `folder`, each checked against its id.

    Raises BadTaskFile for a blob that is missing or wrong, for a path that leads out of the folder, and for
    a package that is too large.
    """
    manifest = read_manifest(content_id, _get_checked(content_id, get_blob))
    size = 0
    for name, file_id in manifest.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise BadTaskFile(f"package {content_id}: {name!r} leads out of the package")
        content = _get_checked(file_id, get_blob)
        size += len(content)  # many names may have one blob
        _check_size(f"package {content_id}", len(manifest.files), size)
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError as error:  # a name that is too long, or of a file and of a folder
            raise BadTaskFile(f"package {content_id}: {name[:100]!r} cannot be written: {error}") from error


def read_manifest(content_id: str, blob: bytes) -> Manifest:
    """The files of a package by its first blob. Raises BadTaskFile."""
    try:
        manifest = decode_json(blob, Manifest)
    except Malformed as error:
        raise BadTaskFile(f"{content_id} is not a package: {error}") from error
    _check_size(f"package {content_id}", len(manifest.files), 0)
    return manifest


def _check_size(name: str, files: int, size: int) -> None:
    if size > PACKAGE_BYTES_MAX or files > FILES_MAX:
        raise BadTaskFile(
            f"{name} is too large: a package has at most {PACKAGE_BYTES_MAX} bytes in {FILES_MAX} files"
        )


def _list_paths(package: Package) -> list[Path]:
    """The files of a package, in order. Raises BadTaskFile for links."""
    beside = package.program.parent
    paths = {package.folder / CONFIG, *_walk(beside)} - {beside / METADATA}
    paths |= {package.description_path} if package.description_path else set()
    in_root = {path for path in (package.folder / name for name in PROGRAMS) if path.is_file()}
    if in_root and (package.folder / LOCK).is_file():
        in_root.add(package.folder / LOCK)
    for path in in_root:
        _check_no_link(path)
    return sorted(paths | in_root)


def _find_program(folder: Path, named: str) -> Path:
    """The executable: what the file names (a file, or a folder with one in it), or one of PROGRAMS.

    "main" is what existing files say in place of a path while they are in development.
    """
    start = (folder / named).resolve() if named not in ("", "main") else folder
    if not start.is_relative_to(folder):
        raise BadConfig(f"{folder / CONFIG}: task_audit_program: {named!r} must lie in the task's folder")
    if start.is_file():
        if start.suffix not in (".py", ".js"):
            raise BadConfig(f"{folder / CONFIG}: task_audit_program: {named!r} must be a .py or .js file")
        return start
    if start.suffix and not start.exists():
        raise BadConfig(
            f"{folder / CONFIG}: task_audit_program: {named!r} must be a file; it is not there. Is it built?"
            f"{suggest_file(start)}"
        )
    for name in PROGRAMS:
        if (start / name).is_file():
            return start / name
    near = next(filter(None, (suggest_file(start / name) for name in PROGRAMS)), "")
    raise BadTaskFile(f"{start} has no program: a task has {' or '.join(PROGRAMS)}{near}")


def _warn_of_lock(lock: Path) -> list[str]:
    """Warn of files that look like a list of requirements, but are not used."""
    if lock.is_file():
        return []
    near = suggest_file(lock) or (
        "; requirements.txt is not read" if lock.with_suffix(".txt").is_file() else ""
    )
    return [f"{lock} is missing, so no package is installed{near}"] if near else []


def _find_description(folder: Path, named: str) -> Path | None:
    """The description's file, which counts more than the field, if one is named."""
    path = (folder / named).resolve()
    if named and not (path.is_relative_to(folder) and path.is_file()):
        raise BadConfig(
            f"{folder / CONFIG}: markdownDescriptionPath: {named!r} must be a file in the task's folder"
            f"{suggest_file(path)}"
        )
    return path if named else None


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace")


def _resolve_host(host: str, params: dict[str, Any]) -> str:
    if not host.startswith("$"):
        return host
    url = urlsplit(str(params.get(host[1:], "")))
    try:
        port = url.port
    except ValueError as error:
        raise BadConfig(f"param {host[1:]}: {error}") from error
    if not url.hostname or url.scheme not in ("http", "https"):
        raise BadConfig(
            f"param {host[1:]}: {params.get(host[1:])!r} must be a URL: its host is to be permitted"
        )
    name = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{name}:{port}" if port else name


def _walk(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part in LEFT_OUT for part in parts):
            continue
        _check_no_link(path)
        if path.is_file():
            found.append(path)
    return found


def _check_no_link(path: Path) -> None:
    if path.is_symlink():
        raise BadTaskFile(f"{path} is a link: a package holds files only")


def _read_lock(program: Path) -> bytes | None:
    """The list of packages beside a program."""
    lock = program.parent / LOCK
    return lock.read_bytes() if lock.is_file() else None


def _get_checked(content_id: str, get_blob: Callable[[str], bytes | None]) -> bytes:
    data = get_blob(content_id) if is_content_id(content_id) else None
    if data is None or compute_content_id(data) != content_id:
        raise BadTaskFile(f"{content_id} of the package is not available, or its bytes do not match the id")
    return data
