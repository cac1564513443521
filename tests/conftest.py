"""What the whole suite shares: reproducible property tests, and a switch that makes skips fail."""

import os

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "suite", max_examples=50, deadline=None, derandomize=True, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """With FASTDL_NO_SKIPS=1 (every optional package is installed) a skip fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("FASTDL_NO_SKIPS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Say why such a run failed."""
    skipped = terminalreporter.stats.get("skipped", [])
    if os.environ.get("FASTDL_NO_SKIPS") and skipped:
        terminalreporter.write_line(f"FASTDL_NO_SKIPS: {len(skipped)} skipped", red=True)
