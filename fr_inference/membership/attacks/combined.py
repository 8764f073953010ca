"""All attacks on images of one access together: a logistic regression on their logits.

The attacks are stacked. One regression on all features would memorise the people when there are
only some hundred features and some hundred people. The logits are cross-fitted by person
(`cross_fitting`). There is one combination for each access, so that an audit says who learns what;
the first that can be run heads the report.
"""

from fr_inference.membership import attack
from fr_inference.membership.comparison import ACCESS, SETTINGS


def _combined(access, references):
    seen = {'answers': 'the embeddings', 'file': 'the file'}[access]
    return attack.Attack(
        name=f'combined-{access}' + '-references' * references,
        title=f'All attacks on {seen}' + ' with a reference' * references,
        source='stacked generalisation, Wolpert 1992',
        access=access,
        references=references,
        unit='image',
        needs='an attack that can be run' + ', and a reference network' * references,
        settings=SETTINGS,
        signs=(1.0,),
        combines=True,
    )


ATTACKS = tuple(_combined(access, also) for access in ACCESS for also in (True, False))
