"""Opens every hostile file in a folder, one after the other, and prints what each attempt took."""

import contextlib
import dataclasses
import functools
import gc
import io
import json
import pathlib
import resource
import sys

from experiments import convert_weights
from fr_inference import errors
from fr_inference.cli import options
from fr_inference.weights import stylegan2_files
from tests.formats.hostile import CASES, GENERATORS, HONEST, file_name


def _peak_megabytes() -> float:
    """Peak resident memory since `_forget_peak`, or of the whole process where Linux is not at hand."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path('/proc/self/status').read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/self/clear_refs').write_text('5')


def _open(path: pathlib.Path, name: str, fields: list[str], flags: options.Flags) -> None:
    try:
        if name in GENERATORS:
            stylegan2_files.open_generator(path)
        else:
            convert_weights.main(flags)
    except errors.InputError as error:
        fields.append(error.field)
        raise


def _main(folder: pathlib.Path) -> None:
    results = {}
    for name in (*CASES, *HONEST):
        path = folder / file_name(name)
        said, code = io.StringIO(), 0
        fields: list[str] = []
        sys.argv = ['convert_weights', f'--source={path}', f'--out={folder / "out"}']
        _forget_peak()
        started = resource.getrusage(resource.RUSAGE_SELF)
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                opening = functools.partial(_open, path, name, fields)
                dataclasses.replace(convert_weights.PROGRAM, main=opening).run()
            except SystemExit as stop:
                code = stop.code or 0
            except BaseException as error:  # a bug, told as one
                code = 1
                said.write(repr(error)[:500])
            gc.collect()  # what is left behind and complains then does so on this file's account
            gc.freeze()  # what is imported and remembered is not looked through after each file
        used = resource.getrusage(resource.RUSAGE_SELF)
        results[name] = {
            'code': code,
            'err': said.getvalue(),
            'fields': fields,
            'seconds': used.ru_utime - started.ru_utime,
            'megabytes': _peak_megabytes(),
        }
    print(json.dumps(results))


if __name__ == '__main__':
    _main(pathlib.Path(sys.argv[1]))
