"""What a task asks of a machine and of its operator, and how that is told."""

import os
from pathlib import Path

import pytest

from roundwork.errors import BadConfig
from roundwork.package.folder import load_package
from roundwork.package.permissions import describe_permissions, describe_requirements, is_modest
from roundwork.package.requirements import Requirement, check_machine, read_requirements

from .test_folder import write_task


@pytest.mark.parametrize(
    ("kind", "wanted", "machine", "system"),
    [
        ("ARCHITECTURE", "amd64", "x86_64", "Linux"),
        ("ARCHITECTURE", "X64", "x86_64", "Linux"),
        ("ARCHITECTURE", "x86-64 / arm64", "aarch64", "Linux"),
        ("ARCHITECTURE", "M1", "aarch64", "Darwin"),
        ("ARCHITECTURE", "any", "riscv64", "Linux"),
        ("ARCHITECTURE", "ppc64le", "ppc64le", "Linux"),
        ("OS", "linux", "x86_64", "Linux"),
        ("OS", "Windows, Ubuntu", "x86_64", "Linux"),
        ("OS", "OSX", "aarch64", "Darwin"),
        ("OS", "OSX;Linux", "x86_64", "Linux"),
        ("OS", "windows & macOS + linux", "aarch64", "Darwin"),
        ("OS", "", "x86_64", "Linux"),
    ],
)
def test_a_machine_of_the_kind_that_is_asked_for_will_do(
    kind: str, wanted: str, machine: str, system: str
) -> None:
    check_machine([Requirement(kind, wanted)], machine, system)


@pytest.mark.parametrize(
    ("kind", "wanted", "ours"),
    [
        ("ARCHITECTURE", "M1", "x86_64"),
        ("ARCHITECTURE", "arm64", "x86_64"),
        ("OS", "OSX", "Linux"),
        ("OS", "Windows", "Linux"),
        ("OS", "Plan 9", "Linux"),
    ],
)
def test_another_machine_is_refused_by_name_with_the_remedy(kind: str, wanted: str, ours: str) -> None:
    with pytest.raises(BadConfig) as refused:
        check_machine([Requirement(kind, wanted)], "x86_64", "Linux")

    assert (
        f"the task asks for {kind} {wanted}; this machine is {ours}."
        " Run it all the same with --any-machine" == str(refused.value)
    )


@pytest.mark.parametrize("kind", ["OS", "ARCHITECTURE"])
def test_a_list_means_any_of_its_values(kind: str) -> None:
    ours = {"OS": ["OSX", "Linux"], "ARCHITECTURE": ["M1", "amd64"]}[kind]
    [good] = read_requirements([{"type": kind, "value": ours}])
    [bad] = read_requirements([{"type": kind, "value": ours[:1]}])

    check_machine([good], "x86_64", "Linux")

    assert ", ".join(ours) == good.value
    with pytest.raises(BadConfig, match=f"asks for {kind} {ours[0]}; this machine is"):
        check_machine([bad], "x86_64", "Linux")


def test_everything_a_task_asks_for_is_told(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("# pinned\nsix==1.17.0 --hash=sha256:00\n")
    package = load_package(
        write_task(
            tmp_path,
            """
            requirementsTags:
              - {type: TASK_VARIABLE, value: API_KEY, description: Get one at example.org}
              - {type: CPU, value: "256-core"}
              - {type: RAM, value: 2 GB}
              - {type: STORAGE, value: 300 MB}
              - {type: NETWORK, value: example.org}
              - {type: OS, value: Linux}
              - {type: ADDON, value: ORCA_TASK, description: A container}
            roundwork: {secrets: [TOKEN], hosts: [$start]}
            """,
        )
    )

    assert [
        "HTTP through the node: example.org, that of the param start",
        "up to 2 GiB of memory, 300 MiB of disk, 256 processes at a time",
        "Python packages: 1 pinned in its requirements.lock",
        "variable API_KEY: Get one at example.org",
        "variable TOKEN",
        f"CPU 256-core: more than this machine has, {os.cpu_count()}",
        "NETWORK example.org",
        "OS Linux",
        "ADDON ORCA_TASK (A container)",
    ] == describe_permissions(package)
    assert "HTTP through the node: any public host" == describe_permissions(package, ["*"])[0]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", "the ledger; connections through the node: no host"),
        (
            "requirementsTags: [{type: ADDON, value: REQUIRE_INTERNET}]",
            "the ledger; connections through the node: any public host",
        ),
    ],
)
def test_a_main_js_is_said_to_reach_what_it_reaches(tmp_path: Path, more: str, told: str) -> None:
    (tmp_path / "main.js").write_text("")
    package = load_package(write_task(tmp_path, more, task_audit_program="main.js"))

    assert told == describe_permissions(package)[0]


@pytest.mark.parametrize(
    ("more", "modest"),
    [
        ("", True),
        ("requirementsTags: [{type: RAM, value: 512 MB}, {type: OS, value: Linux}]", True),
        ("requirementsTags: [{type: RAM, value: 1 GB}]", False),
        ("requirementsTags: [{type: CPU, value: 2}]", False),
        ("requirementsTags: [{type: TASK_VARIABLE, value: X}]", False),
        ("roundwork: {hosts: [example.org]}", False),
        ("roundwork: {secrets: [X]}", False),
    ],
)
def test_what_every_task_has_needs_no_agreement(tmp_path: Path, more: str, modest: bool) -> None:
    assert modest is is_modest(load_package(write_task(tmp_path, more)))


def test_what_strangers_wrote_into_metadata_is_read_as_far_as_it_can_be() -> None:
    tags = [{"type": "RAM", "value": "5 GB"}, {"type": "GPU"}, 7, {"type": "TASK_VARIABLE", "value": "X"}]

    assert ["RAM 5 GB", "variable X"] == describe_requirements(read_requirements(tags))
    assert [] == read_requirements({"type": "RAM"})
