"""A task folder: its configuration with every rule, its files, its content id."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest

from roundwork.errors import BadConfig, BadTaskFile
from roundwork.package.content import compute_content_id, is_content_id
from roundwork.package.folder import (
    Package,
    check_params,
    choose_program,
    load_package,
    merge_params,
    pack,
    resolve_hosts,
    unpack,
)
from roundwork.package.metadata import build_metadata, find_metadata, write_metadata
from roundwork.package.requirements import Requirement

GOOD = {
    "task_name": "hello",
    "description": "Says hello",
    "repositoryUrl": "https://example.org/x",
    "round_time": "30",
    "audit_window": "12",
    "submission_window": "12",
    "minimum_stake_amount": "1.9",
    "total_bounty_amount": "11",
    "bounty_amount_per_round": "0.000000001",
}

PUBLISHED = """
    # As it stands in existing task repositories.
    secret_web3_storage_key: ''
    task_name: 'Task Name'
    author: 'Somebody'
    description: 'What it does'
    repositoryUrl: 'https://github.com/example/task'
    imageUrl: 'https://example.org/image.png'
    infoUrl: ''
    task_executable_network: 'DEVELOPMENT'
    task_audit_program: 'dist/main.js'
    round_time: 600
    audit_window: 200
    submission_window: 200
    minimum_stake_amount: 1.9
    task_type: 'KOII'
    token_type: ''
    task_id: ''
    total_bounty_amount: 11
    bounty_amount_per_round: 1
    allowed_failed_distributions: 3
    space: 0.1
    requirementsTags:
      - type: CPU
        value: '4-core'
      - type: RAM
        value: '5 GB'
      - type: STORAGE
        value: '0.5 GB'
      - type: TASK_VARIABLE
        value: 'API_KEY'
        description: 'Where to get one'
    tags: ['AI', 'Data Gathering']
    environment: 'TEST'
    migrationDescription: ''
"""


PROGRAM = """\
from roundwork import *

task = Task("hello")
task.work(lambda ctx: None)
task.submission(lambda ctx: "hello")
task.audit(lambda ctx, candidate: candidate.value == "hello")
"""


def write_config(folder: Path, text: str) -> None:
    (folder / "config-task.yml").write_text(dedent(text))


def write_task(folder: Path, more: str = "", **changes: str | None) -> Path:
    """A good task folder, with fields changed, or left out where they are None."""
    fields = {**GOOD, **changes}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    write_config(folder, "\n".join(lines) + "\n" + dedent(more))
    (folder / "task.py").write_text(PROGRAM)
    return folder


def test_a_published_config_reads_as_it_stands(tmp_path: Path) -> None:
    write_config(tmp_path, PUBLISHED)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "main.js").write_text("")

    package = load_package(tmp_path)

    assert package.kind == "javascript"
    assert package.program == tmp_path / "dist" / "main.js"
    assert package.minimum_stake == 1_900_000_000
    assert package.total_bounty == 11 * 10**9
    assert package.space_bytes == 100_000
    assert package.secrets == ("API_KEY",)
    assert package.requirements[3] == Requirement("TASK_VARIABLE", "API_KEY", "Where to get one")
    assert package.limits == {"processes": 4, "memory_bytes": 5 * 2**30, "disk_bytes": 2**29}
    assert package.rules == "koii-1"
    assert package.warnings == ()


def test_what_existing_files_say_in_passing_is_understood(tmp_path: Path) -> None:
    (tmp_path / "About.md").write_text("# All of it\n")
    package = load_package(
        write_task(
            tmp_path,
            """
            task_executable_network: DEVELOPMENT
            task_audit_program: main
            task_audit_program_id: main
            markdownDescriptionPath: ./About.md
            imageUrl: imageUrl
            task_id: ' '
            token_type: FJG2aEPtertCXoedgteCCMmgngSZo1Zd715oNBzR7xpR
            requirementsTags:
              - type: GLOBAL_VARIABLE
                value: "WEB3.STORAGE_KEY"
                description: "For uploads"
                retrievalInfo: "https://example.org;GET"
              - {type: CPU, value: "1-core"}
              - {type: NETWORK, value: testnet}
              - {type: ARCHITECTURE, value: M1}
              - {type: OS, value: OSX}
              - {type: ADDON, value: ORCA_TASK}
            """,
        )
    )

    assert (tmp_path / "task.py", "# All of it\n", "") == (
        package.program,
        package.description,
        package.task_id,
    )
    assert ("WEB3.STORAGE_KEY",) == package.secrets
    assert () == package.hosts
    assert {"processes": 1} == package.limits
    assert () == package.warnings


@pytest.mark.parametrize(
    ("tags", "hosts"),
    [
        (
            "[{type: NETWORK, value: 'example.org, *.example.com:8080'}]",
            ("example.org", "*.example.com:8080"),
        ),
        ("[{type: NETWORK, value: '10 Mbps'}]", ()),
        ("[{type: NETWORK}]", ()),
        ("[{type: NETWORK, value: '*'}]", ("*",)),
        ("[{type: ADDON, value: REQUIRE_INTERNET}]", ("*",)),
        ("[{type: ADDON, value: ORCA_TASK}]", ()),
    ],
)
def test_hosts_that_tags_name_are_permitted(tmp_path: Path, tags: str, hosts: tuple[str, ...]) -> None:
    package = load_package(write_task(tmp_path, f"requirementsTags: {tags}\nroundwork: {{hosts: [x.org]}}"))

    assert (*hosts, "x.org") == package.hosts


def test_a_program_that_is_not_built_yet_is_named(tmp_path: Path) -> None:
    write_task(tmp_path, task_audit_program="dist/main.js")

    with pytest.raises(
        BadConfig, match=r"task_audit_program: 'dist/main\.js' must be a file; .* Is it built\?"
    ):
        load_package(tmp_path)


def test_money_is_exact_to_the_last_roe(tmp_path: Path) -> None:
    package = load_package(write_task(tmp_path, total_bounty_amount="1234567.123456789"))

    assert package.total_bounty == 1_234_567_123_456_789
    assert package.bounty_per_round == 1


MISTAKES = {
    "program outside": ({"task_audit_program": "../task.py"}, "task_audit_program: .* in the task's folder"),
    "program of another kind": ({"task_audit_program": "config-task.yml"}, "must be a .py or .js file"),
    "description file": ({"description": None, "markdownDescriptionPath": "no.md"}, "must be a file in the"),
    "ours is text": ({"roundwork": "yes"}, "roundwork: True must be fields"),
}


@pytest.mark.parametrize(("changes", "text"), MISTAKES.values(), ids=MISTAKES)
def test_every_mistake_names_file_field_value_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    write_task(tmp_path, **changes)

    with pytest.raises(BadConfig, match=text) as refused:
        load_package(tmp_path)

    assert str(tmp_path / "config-task.yml") in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task_name: [", "not YAML"),
        ("- a\n- b", "must be fields"),
        ("", "must be fields"),
        ("a: &x [1]\nb: *x", "aliases .* are not allowed"),
        ("a: !!python/object:os.system x", "not YAML"),
        ("\x00", "not YAML"),
        ("a: 1\nb: 2\na: 3", "a is given twice"),
        ("x: " + "y" * 300_000, "300003 bytes are too many; 262144 are allowed"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    write_config(tmp_path, text)

    with pytest.raises(BadConfig, match=said):
        load_package(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTaskFile, match="is not a folder"):
        load_package(tmp_path / "nowhere")
    with pytest.raises(BadConfig, match="cannot be read: No such file"):
        load_package(tmp_path)
    write_task(tmp_path)
    (tmp_path / "task.py").unlink()
    with pytest.raises(BadTaskFile, match=r"has no program: a task has task\.py or main\.js"):
        load_package(tmp_path)


def test_a_field_nobody_knows_is_a_warning_with_the_nearest_name(tmp_path: Path) -> None:
    package = load_package(write_task(tmp_path, "audit_windows: 5\nqqq: 1"))

    assert [warning.partition(": ")[2] for warning in package.warnings] == [
        "audit_windows: no such field; did you mean audit_window?",
        "qqq: no such field",
    ]


def test_our_fields_say_what_a_task_may_do(tmp_path: Path) -> None:
    package = load_package(
        write_task(
            tmp_path,
            """
            roundwork:
              params: {start: "http://example.org:8080/x", count: 3, ratio: 0.5, deep: {a: [1, null]}}
              hosts: [example.org, "*.example.com", "127.0.0.1:8000", $start]
              limits: {memory: 256 MB, disk: 1 GiB, processes: 4, open_files: 64, cpu_percent: 50}
              secrets: [TOKEN]
              rules: koii-1
              requires_python: ">=3.11"
            """,
        )
    )

    assert package.params == {
        "start": "http://example.org:8080/x",
        "count": 3,
        "ratio": 0.5,
        "deep": {"a": [1, None]},
    }
    assert package.limits == {
        "memory_bytes": 2**28,
        "disk_bytes": 2**30,
        "processes": 4,
        "open_files": 64,
        "cpu_percent": 50,
    }
    assert resolve_hosts(package, package.params)[3] == "example.org:8080"
    assert package.secrets == ("TOKEN",)


@pytest.mark.parametrize("start", ["", "example.org", "ftp://example.org", "http://", "http://x:99999"])
def test_a_param_whose_host_is_to_be_permitted_must_be_a_url(tmp_path: Path, start: str) -> None:
    package = load_package(write_task(tmp_path, "roundwork: {hosts: [$start]}"))

    with pytest.raises(BadConfig, match="param start"):
        resolve_hosts(package, {"start": start})


def _build(folder: Path) -> Package:
    write_task(folder)
    (folder / "helper.py").write_text("x = 1")
    (folder / ".env").write_text("SECRET=1")
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "task.pyc").write_bytes(b"x")
    return load_package(folder)


def test_a_package_is_its_files_and_unpacks_to_the_same_package(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    content_id, blobs = pack(_build(tmp_path / "a"))

    unpack(content_id, blobs.get, tmp_path / "b")

    unpacked = load_package(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").rglob("*")) == [
        "config-task.yml",
        "helper.py",
        "task.py",
    ]
    assert pack(unpacked)[0] == content_id
    assert len(content_id) <= 64


def test_one_changed_byte_is_another_package(tmp_path: Path) -> None:
    before = pack(_build(tmp_path))[0]
    (tmp_path / "task.py").write_text("#")

    assert pack(load_package(tmp_path))[0] != before


def test_a_package_with_a_wrong_blob_or_a_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    content_id, blobs = pack(_build(tmp_path / "a"))
    evil = b'{"format":"roundwork/package/1","files":{"../../evil":"' + content_id.encode() + b'"}}'
    evil_id = compute_content_id(evil)

    with pytest.raises(BadTaskFile, match="is not available"):
        unpack(content_id, {content_id: b"other"}.get, tmp_path / "b")
    with pytest.raises(BadTaskFile, match="leads out of the package"):
        unpack(evil_id, {evil_id: evil, content_id: blobs[content_id]}.get, tmp_path / "b")
    for name in ("x" * 300, "task.py/below", "/".join(["deep"] * 2000)):
        other = msgspec.json.encode(
            {"format": "roundwork/package/1", "files": {"task.py": content_id, name: content_id}}
        )
        blob_of = {compute_content_id(other): other, content_id: blobs[content_id]}.get
        with pytest.raises(BadTaskFile, match="cannot be written"):
            unpack(compute_content_id(other), blob_of, tmp_path / "c")
    with pytest.raises(BadTaskFile, match="is not a package"):
        unpack(compute_content_id(b"[]"), {compute_content_id(b"[]"): b"[]"}.get, tmp_path / "b")


def test_a_link_is_no_part_of_a_package(tmp_path: Path) -> None:
    package = _build(tmp_path)
    (tmp_path / "link.py").symlink_to("/etc/passwd")

    with pytest.raises(BadTaskFile, match="is a link"):
        pack(package)


def test_metadata_is_what_existing_clients_read(tmp_path: Path) -> None:
    metadata = json.loads(build_metadata(load_package(write_task(tmp_path, author="A")), 1_700_000_000_000))

    assert metadata == {
        "author": "A",
        "description": "Says hello",
        "repositoryUrl": "https://example.org/x",
        "createdAt": 1_700_000_000_000,
        "imageUrl": "",
        "infoUrl": "",
        "requirementsTags": [],
        "tags": [],
        "environment": "TEST",
        "migrationDescription": "",
    }


def test_metadata_is_written_once_and_is_no_part_of_the_package(tmp_path: Path) -> None:
    package = _build(tmp_path)
    before, _ = pack(package)

    content_id = write_metadata(package, 1)

    path = tmp_path / "metadata.json"
    assert compute_content_id(path.read_bytes()) == content_id
    assert path.read_bytes() == find_metadata(package, content_id)
    assert find_metadata(package, before) is None
    assert before == pack(package)[0]
    assert content_id == write_metadata(package, 2), "it says the same, so it keeps its date"
    changed = load_package(write_task(tmp_path, author="Another"))
    assert content_id != write_metadata(changed, 3)
    assert 3 == json.loads(path.read_bytes())["createdAt"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"createdAt": "x"}', "\x00"])
def test_what_stands_where_metadata_goes_is_overwritten(tmp_path: Path, text: str) -> None:
    package = _build(tmp_path)
    (tmp_path / "metadata.json").write_text(text)

    assert write_metadata(package, 1) == compute_content_id((tmp_path / "metadata.json").read_bytes())


def test_a_description_outside_the_programs_folder_goes_into_the_package(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / "main.js").write_text("")
    (folder / "About.md").write_text("All of it")
    write_config(folder, PUBLISHED + "    markdownDescriptionPath: About.md\n")
    content_id, blobs = pack(load_package(folder))

    unpack(content_id, blobs.get, tmp_path / "b")

    assert "All of it" == load_package(tmp_path / "b").description


def test_a_content_id_is_the_one_that_ipfs_gives() -> None:
    # ipfs add --cid-version 1 --raw-leaves of "hello world\n", and of nothing.
    assert (
        compute_content_id(b"hello world\n") == "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
    )
    assert compute_content_id(b"") == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bafkrei",
        "Qm" + "a" * 44,
        "bafkrei" + "a" * 51 + "b",
        "bafkrei" + "i" + "a" * 51,  # the prefix of another length of digest
        "bafkrei" + "a" * 51 + "\n",
        "../x",
        "B" * 59,
    ],
)
def test_a_text_that_is_no_content_id_is_none(text: str) -> None:
    assert not is_content_id(text)


def test_the_id_of_any_bytes_is_a_content_id() -> None:
    assert all(is_content_id(compute_content_id(number.to_bytes(2, "big"))) for number in range(2_000))


def test_one_task_in_two_languages_is_one_package(tmp_path: Path) -> None:
    folder = Path(__file__).parents[1] / "compat" / "javascript"
    package = load_package(folder)

    other = choose_program(package, "main.js")

    assert ("python", "javascript") == (package.kind, other.kind)
    assert folder / "main.js" == other.program
    assert pack(package) == pack(other)
    assert package == choose_program(other, "task.py")


def test_another_program_in_the_root_is_of_the_package(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / "main.js").write_text("js")
    (folder / "task.py").write_text("py")
    (folder / "requirements.lock").write_text("six==1.17.0")
    (folder / "notes.txt").write_text("")
    (folder / "main.py").write_text("")
    write_config(folder, PUBLISHED)
    content_id, blobs = pack(load_package(folder))
    unpack(content_id, blobs.get, tmp_path / "b")
    package = load_package(tmp_path / "b")

    other = choose_program(package, "task.py")

    assert (tmp_path / "b" / "task.py", "python") == (other.program, other.kind)
    assert (None, b"six==1.17.0") == (package.lock, other.lock)
    assert package == choose_program(other, "dist/main.js")
    assert content_id == pack(package)[0]
    assert not (tmp_path / "b" / "notes.txt").exists()
    with pytest.raises(BadTaskFile, match=r"beside dist/main\.js or in the package's root"):
        choose_program(load_package(folder), "main.py")


def test_a_program_in_the_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "main.js").write_text("js")
    (tmp_path / "task.py").symlink_to("/etc/passwd")
    write_config(tmp_path, PUBLISHED)

    with pytest.raises(BadTaskFile, match="is a link"):
        pack(load_package(tmp_path))


@pytest.mark.parametrize("name", ["missing.js", "config-task.yml", "../test_javascript.py", ""])
def test_another_program_lies_beside_the_first(name: str) -> None:
    package = load_package(Path(__file__).parents[1] / "compat" / "javascript")

    with pytest.raises(BadTaskFile, match="is not a program of the package"):
        choose_program(package, name)


def test_a_param_given_as_text_is_read_as_what_it_is_in_the_package(tmp_path: Path) -> None:
    params = "{pages: 8, part: 0.5, start: x, deep: true, skip: [a]}"
    package = load_package(write_task(tmp_path, f"roundwork: {{params: {params}}}"))

    given = {"pages": "3", "part": "1", "start": "7", "deep": "false", "skip": '["b", 2]', "other": "5"}

    assert {"pages": 3, "part": 1, "start": "7", "deep": False, "skip": ["b", 2], "other": "5"} == (
        merge_params(package, given)
    )


def test_a_param_that_the_package_does_not_have_is_refused(tmp_path: Path) -> None:
    package = load_package(write_task(tmp_path, "roundwork: {params: {pages: 8}, hosts: [$start, a.org]}"))

    check_params(package, ["start"])  # the host of its URL is permitted
    with pytest.raises(BadConfig, match=r"param 'page' is not in config-task.yml, which has pages, start$"):
        check_params(package, ["pages", "page"])


@pytest.mark.parametrize(
    ("name", "text"), [("pages", "many"), ("pages", "true"), ("deep", "1"), ("skip", "a")]
)
def test_a_param_of_another_kind_is_refused(tmp_path: Path, name: str, text: str) -> None:
    package = load_package(write_task(tmp_path, "roundwork: {params: {pages: 8, deep: true, skip: [a]}}"))

    with pytest.raises(BadConfig, match=f"param {name}: '{text}' must be of the kind of "):
        merge_params(package, {name: text})
