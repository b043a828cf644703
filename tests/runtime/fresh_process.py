"""Run a script in a Python process of its own, and talk to it by lines."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager

GUARD = 120  # seconds after which a process that hangs is killed and its test fails

INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process started in the background may ignore it
"""


def result_of(script, *arguments, **environment):
    """What the script printed as its last line, as JSON."""
    done = subprocess.run(
        _command(script, arguments), env={**os.environ, **environment}, capture_output=True, text=True, timeout=GUARD
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _command(script, arguments):
    text = textwrap.dedent(script)
    return [sys.executable, "-W", "error", "-c", text, *map(str, arguments)]


class Process:
    """A running script."""

    def __init__(self, script, *arguments):
        self.popen = subprocess.Popen(_command(INTERRUPTIBLE + textwrap.dedent(script), arguments), text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def wait_for(self, line):
        """Return when the script has printed this line."""
        for found in self.popen.stdout:
            if found.strip() == line:
                return
        raise AssertionError(f"{line!r} was never printed: {self.popen.stderr.read()}")

    def send(self, number):
        self.popen.send_signal(number)

    def end(self):
        """Its exit code, the rest of what it printed, and its errors; it must end by itself."""
        try:
            out, errors = self.popen.communicate(timeout=GUARD)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running {GUARD} s later") from None
        return self.popen.returncode, out, errors


@contextmanager
def running(script, *arguments):
    process = Process(script, *arguments)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.send_signal(signal.SIGKILL)
            process.popen.communicate()
        process.popen.stdout.close()
        process.popen.stderr.close()
