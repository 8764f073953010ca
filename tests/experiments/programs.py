"""Runs programs: in this process where that is enough, in processes of their own where it matters."""

import contextlib
import dataclasses
import importlib
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from unittest import mock

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
    from fr_inference.cli import bars

    out, err, code = io.StringIO(), io.StringIO(), 0
    handler = signal.getsignal(signal.SIGTERM)
    with (
        mock.patch.object(sys, 'argv', [name, *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            signal.signal(signal.SIGTERM, handler)
            bars.drop('')
    return Result(code, out.getvalue(), err.getvalue())


def run_all(
    program: str, cases: Mapping[str, Sequence[str]], devices: int | None = None
) -> dict[str, Result]:
    """Runs it once for each list of arguments, one after the other, all from fresh flags.

    Args:
      program: its name.
      cases: name -> arguments.
      devices: number of CPU devices, in a process of its own; None for this process and its devices.
    """
    module = importlib.import_module(f'experiments.{program}') if program in _PROGRAMS else None
    if devices is None and module is not None:
        path = f'experiments/{program}.py'
        return {name: call(module.PROGRAM.run, path, *case) for name, case in cases.items()}
    done = subprocess.run(
        [sys.executable, __file__, program],
        input=json.dumps({name: list(arguments) for name, arguments in cases.items()}),
        cwd=ROOT,
        env={
            **os.environ,
            'JAX_PLATFORMS': 'cpu',
            'PYTHONPATH': str(ROOT),
            'JAX_NUM_CPU_DEVICES': str(devices or 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: Result(**result) for name, result in json.loads(done.stdout).items()}


# Those that define their flags by config classes.
_PROGRAMS = (
    *('audit', 'batch_audit', 'convert_weights', 'invert', 'reconstruct', 'train_generator'),
    *('train_recognizer', 'verify'),
)


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


def _main(name: str) -> None:
    from absl.testing import flagsaver

    from experiments import cli

    program = importlib.import_module(f'experiments.{name}')
    results = {}
    for case, arguments in json.loads(sys.stdin.read()).items():
        out, err, code = io.StringIO(), io.StringIO(), 0
        saved = flagsaver.save_flag_values()
        sys.argv = [f'experiments/{name}.py', *arguments]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.run(program.main)
            except SystemExit as stop:
                code = stop.code or 0
        flagsaver.restore_flag_values(saved)
        results[case] = {'code': code, 'out': out.getvalue(), 'err': err.getvalue()}
    print(json.dumps(results))


if __name__ == '__main__':
    _main(sys.argv[1])
