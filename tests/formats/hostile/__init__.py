"""Files that try to run code, fill memory, climb out or lie: a maker for each, by name in `CASES`."""

import pathlib

from tests.formats import writer
from tests.formats.hostile import archives as archives  # each adds its files to CASES
from tests.formats.hostile import containers, modules, natives
from tests.formats.hostile import onnx_graphs as onnx_graphs
from tests.formats.hostile.cases import CASES, GENERATORS, Maker, tiny
from tests.formats.hostile.pickles import MARKER as MARKER
from tests.formats.hostile.pickles import bombs as bombs

HONEST: dict[str, Maker] = {
    'honest_zip': lambda path: writer.save(path, tiny()),
    'honest_zip.onnx': lambda path: writer.save(path, tiny()),  # known by its content
    'honest_legacy': lambda path: writer.save(path, tiny(), 'legacy'),
    'honest_native': natives.native,
    'honest_old_native': natives.old_native,
    'honest_nvidia': modules.honest,
    'honest_rosinality': modules.honest_rosinality,
    'honest_with_objects': containers.honest_with_objects,
    'honest_torchscript': containers.honest_torchscript,
}
GENERATORS |= {'honest_nvidia', 'honest_rosinality'}


def make_all(folder: pathlib.Path) -> None:
    """Writes every case and the honest files to `folder`, called by their names."""
    for name, (_, maker) in CASES.items():
        maker(folder / file_name(name))
    for name, honest in HONEST.items():
        honest(folder / name)


def file_name(name: str) -> str:
    """What the file of a case is called."""
    return name.replace('/', '|')
