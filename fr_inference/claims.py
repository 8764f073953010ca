"""A claim on an address: one run at a time writes there, as far as the store can ensure it.

The claim is an object that the run rewrites regularly. If the store can create an object only when
there is none (S3, Google Cloud Storage), just one of two runs that start together gets the claim;
with other stores both may. A killed run stops writing: after two minutes of silence the next run
takes over. A run that was merely suspended that long notices the loss of its claim before its next
upload, but an upload in progress continues. No object store can close these two gaps.
"""

import contextlib
import datetime
import json
import logging
import os
import secrets
import socket
import threading
import time

from fr_inference import addresses, errors

_LOG = logging.getLogger(__name__)
NAME = '.running.json'
_BEAT_SECONDS = 20.0
_SILENT_SECONDS = 120.0  # silence after which a run counts as dead
_OLD_SECONDS = 3600.0  # a claim older than this, by its own clock, is not waited for
_LOOK_SECONDS = 2.0
_MOST_BYTES = 1 << 16


class Claim:
    """The claim of this process, held until `release`."""

    def __init__(self, address: str, field: str):
        """Takes the claim, after waiting if another run may be dead.

        Raises:
          InputError: when another run writes there, or the store refuses.
        """
        self._object, self._field = addresses.joined(address, NAME), field
        self._address = address
        self._id, self._beats = secrets.token_hex(8), 0
        self._lost = False
        self._ended = threading.Event()
        self._take()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether another run took over."""
        return self._lost

    def check(self) -> None:
        """Raises InputError when another run took over."""
        if self._lost or self._held().get('id') != self._id:
            self._lost = True
            raise errors.InputError(
                self._field, f'{self._address}, which another run took over', hint='end one of them'
            )

    def release(self) -> None:
        """Releases the claim; if the store does not answer, others have to wait."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(errors.InputError):
            if self._held().get('id') == self._id:
                addresses.remove(self._object, self._field)

    def _take(self):
        while not addresses.write(self._object, self._said(), self._field, new=True):
            held = self._held()
            if held and self._is_dead(held):
                addresses.write(self._object, self._said(), self._field)
                if not _is_here(held):  # of two runs that take over, one remains
                    time.sleep(_LOOK_SECONDS)
                if self._held().get('id') == self._id:
                    return

    def _is_dead(self, held):
        """Whether the run of a claim has ended; waits for a sign of life."""
        if _is_here(held):
            if _is_alive(held['pid']):
                raise self._taken(held)
            return True
        age = time.time() - _number(held.get('time'))
        if age > _OLD_SECONDS:
            return True
        host = errors.shown(str(held.get('host')))[:80]
        said = '%s: %s: waiting %.0f s to see whether the run on %s still writes there'
        _LOG.warning(said, self._field, self._address, _SILENT_SECONDS, host)
        until = time.monotonic() + _SILENT_SECONDS
        while time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
            now = self._held()
            if not now:
                return False  # it ended: try to get the claim first
            if now != held:
                raise self._taken(now)
        return True

    def _taken(self, held):
        who = errors.shown(f'process {held.get("pid")} on {held.get("host")}')[:120]
        return errors.InputError(
            self._field,
            f'{self._address}, where another run is writing ({who})',
            hint='wait for it',
        )

    def _held(self):
        """Returns the contents of the claim at the address, {} if there is none."""
        (content,) = addresses.read_some([self._object], self._field, _MOST_BYTES)
        if isinstance(content, FileNotFoundError):
            return {}
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return {'id': ''}
        return found if isinstance(found, dict) else {'id': ''}

    def _said(self):
        now = time.time()
        said = {
            'id': self._id,
            'beat': self._beats,
            'host': socket.gethostname(),
            'machine': _machine(),
            'pid': os.getpid(),
            'time': now,
            'date': datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(
                timespec='seconds'
            ),
        }
        return json.dumps(said).encode()

    def _beat(self):
        while not self._ended.wait(_BEAT_SECONDS):
            with contextlib.suppress(errors.InputError):  # the store may answer again soon
                if self._held().get('id') != self._id:
                    self._lost = True
                    return
                self._beats += 1
                addresses.write(self._object, self._said(), self._field)


def _is_here(held):
    """Whether a claim belongs to a process that this one could see."""
    return held.get('machine') == _machine() and isinstance(held.get('pid'), int)


def _is_alive(pid):
    if os.name == 'nt':  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _machine():
    """A value shared by processes that see each other: machine, boot and container."""
    said = [socket.gethostname()]
    with contextlib.suppress(OSError):
        with open('/proc/sys/kernel/random/boot_id', encoding='utf-8') as file:
            said.append(file.read().strip())
        said.append(os.readlink('/proc/self/ns/pid'))
    return ' '.join(said)


def _number(value):
    return float(value) if isinstance(value, int | float) else 0.0
