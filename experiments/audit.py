"""Audits a target: writes audit.json, scores.csv, distances.npz and report.html.

  python -m experiments.audit --target=FILE --members=M --nonmembers=N --out=DIR

Membership inference always, and model inversion with --generator=G --evaluator=E. M, N and the other
faces are a folder with one sub-folder per person, a CSV manifest with the columns path,identity, or
procedural:SPEC. Exit code 2: bad input, 3: a gate of --fail_above was crossed.
"""

from absl import flags

from experiments import cli, gates, inputs, search_flags
from fr_inference.report.verdict import verdict

flags.adopt_module_key_flags(inputs)
flags.adopt_module_key_flags(search_flags)
_OTHER = flags.DEFINE_string('member_identities', None, "Other images of the members' people.")
_SHIFT = flags.DEFINE_string('shift', None, 'Faces of another source.')
_FAIL = flags.DEFINE_list(
    'fail_above',
    [],
    'Exit with 3 above these, e.g. auc:0.6,tpr@fpr=0.01:0.05,excess:0.1,identity_auc:0.7.',
)


def main() -> None:
    """Opens everything, audits, writes, checks the gates."""
    limits = [gates.parse(gate) for gate in _FAIL.value]
    result, report = inputs.audit(
        'experiments.audit',
        inversion=search_flags.request(),
        member_identities=inputs.faces(_OTHER),
        shift=inputs.faces(_SHIFT),
    )
    print(f'{verdict(result.record)}\nreport: {report}')
    gates.check(limits, result.record['membership'])


if __name__ == '__main__':
    cli.run(main)
