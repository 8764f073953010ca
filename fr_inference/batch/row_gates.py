"""Finds gates that no row of a batch can answer, before the first row is audited."""

from collections.abc import Sequence

from fr_inference import config, errors, runs
from fr_inference.batch.table import Row
from fr_inference.data import sources
from fr_inference.report import gate_needs
from fr_inference.report.gate import Gate


def check(rows: Sequence[Row], gates: Sequence[Gate]) -> None:
    """Checks the gates if all rows have the same faces, seed and attacks.

    Otherwise each row is checked before it is measured, and fails by itself. So does a row whose
    faces cannot be opened, or whose backbone lacks something that a gate needs.

    Args:
      rows: the rows of the table.
      gates: of `gate.parse`.

    Raises:
      InputError: for a gate that no row can answer.
    """
    if gates and len({_asked(row) for row in rows}) == 1:
        runs.by_first(lambda: _check(rows[0], gates))


def _asked(row):
    """Everything that an answer depends on, except the backbone."""
    inputs, settings = row.inputs, row.settings
    faces = (inputs.members, inputs.nonmembers, inputs.identity_key, inputs.data_dir)
    return faces, settings.seed, settings.attacks, *_given(row)


def _given(row):
    return tuple(sorted({'auxiliary', 'generator', 'references'} & row.inputs.parts))


def _check(row, gates):
    gate_needs.check(gates, row.settings, given=_given(row))
    inputs = row.inputs
    reading = config.Reading(identity_key=inputs.identity_key, data_dir=inputs.data_dir)
    try:
        faces = {
            side: sources.open_faces(getattr(inputs, side), side, reading=reading)
            for side in ('members', 'nonmembers')
        }
    except errors.InputError:
        return  # each row reports it and is listed as failed
    gate_needs.check(gates, row.settings, given=_given(row), faces=faces)
