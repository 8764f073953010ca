"""The flags that both audits share: a backbone, its faces, and how they are attacked."""

import pathlib
import shlex
import sys
from typing import Any

from absl import flags

from experiments import cli
from fr_inference import auditing, checkpoint, checks
from fr_inference.convert.open import locate, open_target
from fr_inference.data import sources
from fr_inference.membership import distances
from fr_inference.membership.measured import Settings, Shadow

_TARGET = flags.DEFINE_string(
    'target', None, 'The backbone: a checkpoint file or directory.', required=True
)
_MEMBERS = flags.DEFINE_string('members', None, 'Images it was trained on.', required=True)
_NONMEMBERS = flags.DEFINE_string(
    'nonmembers', None, 'Images of other people from the same source.', required=True
)
_AUXILIARY = flags.DEFINE_string('auxiliary', None, 'Faces for a shadow: nobody of the above.')
_SHADOW = flags.DEFINE_string('shadow', None, 'Native checkpoint trained on part of --auxiliary.')
_SHADOW_INIT = flags.DEFINE_string('shadow_init', None, 'What a shadow trained here starts from.')
_BLIND = flags.DEFINE_string('blind', None, 'A backbone that never saw the members.')
_OUT = flags.DEFINE_string('out', None, 'Folder for the results.', required=True)
_SCALING = flags.DEFINE_enum(
    'scaling', 'variance', distances.SCALINGS, 'What squared differences are divided by (b_i).'
)
_HIDDEN = flags.DEFINE_integer(
    'hidden', 0, "Units of a hidden layer in the attack model; 0 is the paper's, without one."
)
_SEED = cli.define_seed('Of splits, searches, controls and intervals.')
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images scored at a time.')
_SKIP_BAD = flags.DEFINE_bool('skip_bad', False, 'Leave unreadable images out and list them.')
_ALLOW = flags.DEFINE_bool('allow_overlap', False, 'Go on when the parts share people or images.')
_THUMBNAILS = flags.DEFINE_bool('thumbnails', True, 'Show faces in the report.')


def audit(program: str, **more: Any) -> tuple[auditing.Audit, pathlib.Path]:
    """Opens what the flags name, audits, and writes the results.

    Args:
      program: for the record.
      **more: further arguments of `auditing.audit_target`.

    Returns:
      (the audit, the report's path).
    """
    target = open_target(_TARGET.value)
    shadow = None
    if _SHADOW.value:
        digests = checkpoint.read_members(locate(_SHADOW.value))
        checks.require(
            digests is not None,
            f'--shadow: {_SHADOW.value} has no members.csv, the list of its training images',
        )
        shadow = Shadow(target=open_target(_SHADOW.value, flag='--shadow'), digests=digests or [])
    start, blind = backbone(_SHADOW_INIT), backbone(_BLIND)
    out = cli.make_folder(_OUT.value, '--out', auditing.FILES)
    result = auditing.audit_target(
        target,
        sources.open_faces(_MEMBERS.value, '--members'),
        sources.open_faces(_NONMEMBERS.value, '--nonmembers'),
        settings=Settings(
            scaling=_SCALING.value,
            hidden=_HIDDEN.value,
            seed=_SEED.value,
            batch_size=_BATCH.value,
            skip_bad=_SKIP_BAD.value,
            allow_overlap=_ALLOW.value,
        ),
        auxiliary=faces(_AUXILIARY),
        shadow=shadow,
        shadow_start=start,
        blind=blind,
        training_digests=checkpoint.read_members(locate(_TARGET.value)),
        blind_digests=checkpoint.read_members(locate(_BLIND.value)) if _BLIND.value else None,
        workdir=out,
        command=shlex.join(['python', '-m', program, *sys.argv[1:]]),
        progress=cli.progress,
        **more,
    )
    result.save(out, thumbnails=_THUMBNAILS.value)
    return result, out / 'report.html'


def faces(flag: flags.FlagHolder) -> Any:
    """Opens the faces that an optional flag names; None without them."""
    return sources.open_faces(flag.value, f'--{flag.name}') if flag.value else None


def backbone(flag: flags.FlagHolder) -> Any:
    """Opens the backbone that an optional flag names; None without it."""
    return open_target(flag.value, flag=f'--{flag.name}') if flag.value else None
