"""The flags of the first stage alone: further populations, and gates."""

from absl import flags

OPTIONS = (
    flags.DEFINE_string('member_identities', None, "Other images of the members' people."),
    flags.DEFINE_string('shift', None, 'Faces of another source.'),
)
FAIL = flags.DEFINE_list(
    'fail_above',
    [],
    'Exit with 3 above these, e.g. auc:0.6,tpr@fpr=0.01:0.05,excess:0.1,identity_auc:0.7.',
)
