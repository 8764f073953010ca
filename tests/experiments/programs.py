"""Runs programs: in this process where that is enough, in processes of their own where it matters."""

import contextlib
import dataclasses
import importlib
import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from unittest import mock

from fr_inference import devices
from fr_inference.cli import bars

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run left: exit code and what it printed."""

    code: int
    out: str
    err: str


def command_line(program: str, *arguments: str) -> Result:
    """Runs `python -m experiments.PROGRAM` as a user does."""
    done = subprocess.run(
        [sys.executable, '-m', f'experiments.{program}', *arguments],
        cwd=ROOT,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def call(run, name: str, *arguments: str) -> Result:
    """Calls what reads `sys.argv`, prints, and ends with `SystemExit`; restores what it changes."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with (
            mock.patch.object(sys, 'argv', [name, *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            run()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        signal.signal(signal.SIGTERM, handler)
    result = Result(code, out.getvalue(), err.getvalue())
    bars.drop('')  # of work that failed
    return result


def run_all(program: str, cases: Mapping[str, Sequence[str]]) -> dict[str, Result]:
    """Runs it in this process once for each list of arguments, one after the other.

    On one device: what is compiled for several takes twice as long, and has tests of its own.
    """
    run = importlib.import_module(f'experiments.{program}').PROGRAM.run
    with devices.using(devices.local()[:1]):
        return {name: call(run, f'experiments/{program}.py', *case) for name, case in cases.items()}


def start(
    program: str, arguments: Sequence[str], logs: pathlib.Path, *, processes: int, devices: int = 1
) -> list[subprocess.Popen]:
    """Starts it as several processes over loopback; what each prints goes to LOGS.N.out and .err."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    together = (f'--coordinator_address=127.0.0.1:{port}', f'--num_processes={processes}')
    started = []
    for number in range(processes):
        joined = (*together, f'--process_id={number}') if processes > 1 else ()
        with open(f'{logs}.{number}.out', 'w') as out, open(f'{logs}.{number}.err', 'w') as err:
            started.append(
                subprocess.Popen(
                    [sys.executable, '-m', f'experiments.{program}', *arguments, *joined],
                    cwd=ROOT,
                    env={
                        **os.environ,
                        'JAX_PLATFORMS': 'cpu',
                        'JAX_NUM_CPU_DEVICES': str(devices),
                    },
                    stdout=out,
                    stderr=err,
                )
            )
    return started
