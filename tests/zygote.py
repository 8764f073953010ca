"""Starts programs as processes that share their imports: `python -m tests.zygote`.

One process imports the library and forks for each program, before JAX is asked for a device. The child
goes on as `python -m experiments.NAME` does: with its own output, signals, exit and interpreter's end.
"""

import contextlib
import dataclasses
import gc
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Zygote:
    """The process that forks, as the test sees it."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'tests.zygote'],
            cwd=ROOT,
            env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> Any:
        """Returns the answer to one request, JSON on a line each."""
        self._process.stdin.write(json.dumps(request) + '\n')
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self,
        program: str,
        arguments: Sequence[str],
        log: pathlib.Path,
        *,
        devices: int = 1,
        pause: float = 0,
    ) -> 'Started':
        """Starts a program whose output goes to LOG.out and LOG.err.

        Args:
          program: its name in `experiments`.
          arguments: of its command line.
          log: where its output goes, without the suffix.
          devices: number of virtual devices.
          pause: seconds that it rests at each stop point, so that a test can stop it before its end.
        """
        request = {'arguments': [str(one) for one in arguments], 'log': str(log), 'pause': pause}
        return Started(self, self.ask(program=program, devices=devices, **request))

    def close(self) -> None:
        """Ends it; programs still running are the test's to kill."""
        self._process.stdin.close()
        code = self._process.wait()
        self._process.stdout.close()
        assert code == 0


@dataclasses.dataclass(frozen=True)
class Started:
    """A running program: what the tests use of `subprocess.Popen`."""

    zygote: Zygote
    pid: int

    def poll(self) -> int | None:
        """Returns the exit code, None while it runs."""
        return self.zygote.ask(poll=self.pid)

    def wait(self, timeout: float) -> int:
        """Returns the exit code; raises TimeoutExpired."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.05)
        return code

    def send_signal(self, number: int) -> None:
        """Sends it a signal, if it still runs: its number is not another's before it was waited for."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it."""
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def opened() -> Iterator[Zygote]:
    """A zygote that ends with the block."""
    zygote = Zygote()
    try:
        yield zygote
    finally:
        zygote.close()


def _child(program, arguments, log, devices, pause):
    """Becomes the program."""
    for number, kind in ((1, 'out'), (2, 'err')):
        file = os.open(f'{log}.{kind}', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    import jax

    os.environ['JAX_NUM_CPU_DEVICES'] = str(devices)  # read when JAX was imported
    jax.config.update('jax_num_cpu_devices', devices)
    if pause:
        from fr_inference import processes

        stop_point = processes.stop_point

        def rested(*save):
            time.sleep(pause)
            stop_point(*save)

        processes.stop_point = rested
    sys.argv = [program, *arguments]
    runpy.run_module(f'experiments.{program}', run_name='__main__', alter_sys=True)


def _serve():
    """Answers requests; returns in the children, with what each is to become."""
    codes = {}
    for line in sys.stdin:
        request = json.loads(line)
        if 'poll' in request:
            pid = request['poll']
            if codes.get(pid) is None:
                ended, status = os.waitpid(pid, os.WNOHANG)
                codes[pid] = os.waitstatus_to_exitcode(status) if ended else None
            answer = codes[pid]
        else:
            answer = os.fork()
            if not answer:
                return request
        sys.stdout.write(json.dumps(answer) + '\n')
        sys.stdout.flush()
    return None


def _main():
    # What every program imports, but for the modules that define flags.
    import absl.app
    import absl.flags
    import flax.linen
    import optax
    import orbax.checkpoint
    import PIL.Image
    import tqdm

    import fr_inference.auditing
    import fr_inference.training.generator

    assert all((absl.app, absl.flags, flax.linen, optax, orbax.checkpoint, PIL.Image, tqdm))
    assert fr_inference.auditing
    # The children neither walk over what was imported nor copy the pages that it lies on.
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    request = _serve()
    if request is not None:
        _child(**request)


if __name__ == '__main__':
    _main()
