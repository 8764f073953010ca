"""Audits a target for membership: writes audit.json, scores.csv, distances.npz and report.html.

  python -m experiments.audit --target=FILE --members=M --nonmembers=N --out=DIR

M, N and the other faces are a folder with one sub-folder per person, a CSV manifest with the columns
path,identity, or procedural:SPEC. Exit code 2: bad input, 3: a gate of --fail_above was crossed.
"""

import shlex
import sys

from absl import flags

from experiments import cli, gates
from fr_inference import auditing, checkpoint, checks
from fr_inference.convert.open import locate, open_target
from fr_inference.data import sources
from fr_inference.membership import distances
from fr_inference.membership.stage import Settings, Shadow
from fr_inference.report.verdict import verdict

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
_OTHER = flags.DEFINE_string('member_identities', None, "Other images of the members' people.")
_SHIFT = flags.DEFINE_string('shift', None, 'Faces of another source.')
_OUT = flags.DEFINE_string('out', None, 'Folder for the results.', required=True)
_SCALING = flags.DEFINE_enum(
    'scaling', 'variance', distances.SCALINGS, 'What squared differences are divided by (b_i).'
)
_HIDDEN = flags.DEFINE_integer(
    'hidden', 0, "Units of a hidden layer in the attack model; 0 is the paper's, without one."
)
_SEED = cli.define_seed('Of splits, controls and intervals.')
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images scored at a time.')
_SKIP_BAD = flags.DEFINE_bool('skip_bad', False, 'Leave unreadable images out and list them.')
_ALLOW = flags.DEFINE_bool('allow_overlap', False, 'Go on when the parts share people or images.')
_THUMBNAILS = flags.DEFINE_bool('thumbnails', True, 'Show faces in the report.')
_FAIL = flags.DEFINE_list(
    'fail_above',
    [],
    'Exit with 3 above these, e.g. auc:0.6,tpr@fpr=0.01:0.05,excess:0.1,identity_auc:0.7.',
)


def main() -> None:
    """Opens everything, audits, writes, checks the gates."""
    limits = [gates.parse(gate) for gate in _FAIL.value]
    target = open_target(_TARGET.value)
    shadow = None
    if _SHADOW.value:
        digests = checkpoint.read_members(locate(_SHADOW.value))
        checks.require(
            digests is not None,
            f'--shadow: {_SHADOW.value} has no members.csv, the list of its training images',
        )
        shadow = Shadow(target=open_target(_SHADOW.value, flag='--shadow'), digests=digests or [])

    def faces(flag):
        return sources.open_faces(flag.value, f'--{flag.name}') if flag.value else None

    def backbone(flag):
        return open_target(flag.value, flag=f'--{flag.name}') if flag.value else None

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
        shadow_start=backbone(_SHADOW_INIT),
        blind=backbone(_BLIND),
        member_identities=faces(_OTHER),
        shift=faces(_SHIFT),
        training_digests=checkpoint.read_members(locate(_TARGET.value)),
        blind_digests=checkpoint.read_members(locate(_BLIND.value)) if _BLIND.value else None,
        workdir=out / 'shadow',
        command=shlex.join(['python', '-m', 'experiments.audit', *sys.argv[1:]]),
        progress=cli.progress,
    )
    result.save(out, thumbnails=_THUMBNAILS.value)
    print(f'{verdict(result.record)}\nreport: {out / "report.html"}')
    gates.check(limits, result.record['membership'])


if __name__ == '__main__':
    cli.run(main)
