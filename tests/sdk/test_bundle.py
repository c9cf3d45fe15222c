import asyncio
import marshal
import sys
from pathlib import Path

import pytest

from roundwork.errors import TaskFailed
from roundwork.node.python.environments import prepare_environment

from ..node.house import House, require_sandbox

SUBMISSION = """
        import importlib.resources, inspect, json, pickle, re, sqlite3

        def is_bundled(module):
            return type(module.__spec__.loader).__name__ == "BundleLoader"

        @task.submission
        def submission(ctx):
"""


def submit(house: House, *lines: str) -> str | None:
    return house.submit(SUBMISSION + "\n".join(" " * 12 + line for line in lines))


def test_the_modules_of_a_worker_come_from_the_bundle(house: House) -> None:
    looked = (
        "[each for each in (json, json.decoder, re, sqlite3, sys.modules['roundwork.sdk.task'], importlib)"
    )

    assert "6" == submit(house, f"return str(len({looked} if is_bundled(each)]))")


def test_a_module_of_the_bundle_knows_its_file_and_package(house: House) -> None:
    library = Path(__import__("json").__file__ or "")

    value = submit(
        house,
        "assert json.decoder.__package__ == 'json' and json.__package__ == 'json'",
        "assert json.__path__ == [os.path.dirname(json.__file__)]",
        "assert json.__cached__.startswith(json.__path__[0]), json.__cached__",
        "return json.__spec__.origin if json.__file__ == json.__spec__.origin else None",
    )

    assert str(library) == value


def test_a_traceback_through_a_bundled_module_shows_its_lines(house: House) -> None:
    with pytest.raises(TaskFailed, match=r'(?s)json/decoder\.py", line \d+, in \w+\n +\S.*JSONDecodeError'):
        submit(house, "return json.loads('{')")


def test_source_resources_reload_and_pickle_work_on_bundled_modules(house: House) -> None:
    value = submit(
        house,
        "assert 'def loads(' in inspect.getsource(json)",
        "assert importlib.resources.files(json).joinpath('tool.py').is_file()",
        "before = json.loads",
        "assert importlib.reload(json) is json and json.loads is not before",
        "assert pickle.loads(pickle.dumps(re.compile('a+', re.I))) == re.compile('a+', re.I)",
        "return json.dumps({'a': [1]})",
    )

    assert '{"a": [1]}' == value


def test_what_is_not_in_the_bundle_is_found_beside_what_is(house: House) -> None:
    value = submit(
        house,
        "import json.tool, sqlite3.dump, csv",
        "return str([is_bundled(json.tool), is_bundled(sqlite3.dump), is_bundled(csv)])",
    )

    assert "[False, False, False]" == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no marshalled value",
        marshal.dumps(None),
        marshal.dumps(("3.0", sys.base_prefix, {"json": ("/json.py", b"")})),
        marshal.dumps((sys.version, "/elsewhere", {"json": ("/json.py", b"")})),
        None,
    ],
)
def test_a_bundle_that_is_missing_or_does_not_fit_is_not_used(tmp_path: Path, content: bytes | None) -> None:
    environment = asyncio.run(prepare_environment(tmp_path / "environments"))
    (bundle,) = tmp_path.glob("environments/sdk-*/bundle")
    bundle.unlink()
    if content is not None:
        bundle.write_bytes(content)
    house = House(tmp_path, environment, require_sandbox("sandlock"))

    assert "False" == submit(house, "return str(is_bundled(json))")


def test_a_bundle_that_is_missing_is_made_again(tmp_path: Path) -> None:
    asyncio.run(prepare_environment(tmp_path))
    (bundle,) = tmp_path.glob("sdk-*/bundle")
    made = bundle.read_bytes()
    bundle.unlink()

    asyncio.run(prepare_environment(tmp_path))

    assert made[:100] == bundle.read_bytes()[:100]
    assert [bundle.parent] == list(tmp_path.iterdir())


def test_a_task_cannot_write_to_the_bundle(house: House, tmp_path: Path) -> None:
    (bundle,) = Path(house.environment.readable[0]).glob("bundle")

    with pytest.raises(TaskFailed, match=r"PermissionError|Read-only file system"):
        submit(house, f"open({str(bundle)!r}, 'ab')")


def test_a_virtual_environment_uses_the_same_bundle(tmp_path: Path) -> None:
    environment = asyncio.run(prepare_environment(tmp_path / "environments", b"# no packages\n"))
    house = House(tmp_path, environment, require_sandbox("sandlock"))

    value = submit(house, "return str([is_bundled(json), sys.prefix != sys.base_prefix])")

    assert "[True, True]" == value
