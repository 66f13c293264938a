"""Run a program that permissions bind, as they bind a user, even where the tests run as root."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def _drop_the_right_to_override_permissions():
    if os.geteuid() == 0:  # what starts after this has the right no more
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


def run_without_privileges(program, *arguments):
    """Run a Python program; returns the process, with what it printed."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        preexec_fn=_drop_the_right_to_override_permissions,
        capture_output=True,
        text=True,
        check=False,
    )
