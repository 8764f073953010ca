"""Makes this process one of several that work together (`jax.distributed`)."""

import io
import os
import sys
import threading

import jax

from fr_inference import errors, processes
from fr_inference.program_config import Machine

EXIT_BAD_INPUT = 2
JOIN_SECONDS = 120  # seconds within which all processes must start
_HEARTBEAT_SECONDS = 20  # seconds after which a dead process is noticed
_SHUTDOWN_SECONDS = 30  # seconds that a finished process waits for the others


def joined() -> bool:
    """Whether this process is one of several."""
    return jax.distributed.is_initialized()


def leave_others() -> None:
    """Returns when all processes have reached this point, or after half a minute."""
    jax.distributed.shutdown()


def join_others(machine: Machine, *, shared: bool) -> None:
    """Connects to the other processes, if any; only process 0 prints results afterwards.

    Raises:
      InputError: for incomplete flags, and when the others cannot be reached.
    """
    address = machine.coordinator_address
    given = {
        'coordinator_address': address,
        'num_processes': machine.num_processes,
        'process_id': machine.process_id,
    }
    absent = [name for name, value in given.items() if value is None]
    if len(absent) == len(given) and not machine.distributed:
        return
    if not shared:
        raise errors.InputError(
            'distributed',
            expected='one process: this program cannot use several',
            hint='leave out all flags of several processes',
        )
    if absent and not machine.distributed:
        raise errors.InputError(
            absent[0],
            f'none beside {", ".join(name for name in given if name not in absent)}',
            f'all of {", ".join(f"--{name}" for name in given)}',
            'or --distributed on a cluster that knows them',
        )
    if address is not None:
        host, _, port = address.rpartition(':')
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise errors.InputError('coordinator_address', repr(address), 'HOST:PORT')
        print(f'waiting for all {machine.num_processes} processes at {address}', file=sys.stderr)
    # JAX itself would end a process that waited in vain, with a C++ stack trace.
    gave_up = threading.Timer(JOIN_SECONDS, _nobody_came, [address])
    gave_up.start()
    try:
        jax.distributed.initialize(
            address,
            machine.num_processes,
            machine.process_id,
            initialization_timeout=JOIN_SECONDS + 30,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise errors.InputError(
            'distributed',
            f'no connection to the other processes: {error}',
            hint='without a cluster, give --coordinator_address, --num_processes and --process_id',
        ) from error
    finally:
        gave_up.cancel()
    processes.meet()
    if not processes.is_first():
        sys.stdout = io.StringIO()  # nobody reads it


def _nobody_came(address):
    where = f' at {address}' if address else ''
    print(
        f'--num_processes: not all processes connected{where} within {JOIN_SECONDS} s; check the '
        'output of the others, and start all at the same time',
        file=sys.stderr,
        flush=True,
    )
    os._exit(EXIT_BAD_INPUT)
