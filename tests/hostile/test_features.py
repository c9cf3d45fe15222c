"""CI skips no hostile test that `missing.toml` does not allow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPS = {
    "a test": "import pytest\n\ndef test_moon():\n    pytest.skip('missing: moon')\n",
    "a file": "import pytest\n\npytest.skip('missing: moon', allow_module_level=True)\n",
}


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS)
def test_a_skip_is_a_failure_in_ci_alone(tmp_path: Path, source: str) -> None:
    (tmp_path / "test_skip.py").write_text(source)

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "tests.hostile.conftest", "-p", "no:cacheprovider",
             "--rootdir", tmp_path, tmp_path],
            cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    in_ci, elsewhere = run(CI="true"), run()

    assert in_ci.returncode in (1, 2)
    assert "CI must not skip this test (Skipped: missing: moon)" in in_ci.stdout
    assert elsewhere.returncode in (0, 5)
    assert "1 skipped" in elsewhere.stdout
