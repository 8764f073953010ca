"""Comparisons and records that say what a test wants them to say."""

from fr_inference.membership.comparison import Comparison


def block(auc, low, high, people=60, rates=(0.4, 0.123, None)):
    names = ('0.1', '0.01', '0.001')
    return {
        'auc': auc,
        'auc_ci95': [low, high],
        'accuracy': auc - 0.05,
        'accuracy_ci95': [low - 0.05, high - 0.05],
        'tpr_at_fpr': dict(zip(names, rates, strict=True)),
        'tpr_at_fpr_ci95': {
            name: None if rate is None else [rate - 0.05, rate + 0.05]
            for name, rate in zip(names, rates, strict=True)
        },
        'members': 2 * people,
        'nonmembers': 2 * people,
        'identities': people,
    }


FOUND = block(0.8, 0.75, 0.85)
NULL, BAD_NULL = block(0.51, 0.45, 0.57), block(0.875, 0.574, 1.0)
BLIND, BAD_BLIND = block(0.52, 0.46, 0.58), block(0.7, 0.6, 0.8)


def excess(low, high):
    return {'auc': (low + high) / 2, 'auc_ci95': [low, high]}


def comparison(
    attack='bn-distance',
    *,
    setting='partial',
    unit='image',
    figures=FOUND,
    null=NULL,
    blind=BLIND,
    over=(0.2, 0.4),
    title='BatchNorm distances',
    headline=None,
    **more,
):
    """An attack that shows a leak, unless told otherwise; `over` are the ends of its excess."""
    return Comparison(
        attack=attack,
        title=title,
        setting=setting,
        unit=unit,
        headline=attack == 'bn-distance' and setting == 'partial' if headline is None else headline,
        figures=figures,
        null=null,
        blind=blind,
        excess=None if over is None else excess(*over),
        **{'access': 'file', **more},
    )


def combined(access='file', *, references=False, **more):
    """All attacks of an access together."""
    name = f'combined-{access}' + '-references' * references
    return comparison(name, title='All attacks', access=access, references=references, **more)


def further(attack='norm', *, reach=(0.1, 0.5), **more):
    """One that the verdict does not rest on; `reach` are the ends of its max-T excess."""
    best_of = {'auc_ci99': [0.6, 0.9], 'excess_ci99': list(reach)}
    more = {'title': f'The {attack}', 'access': 'answers', **more}
    return comparison(attack, further=True, best_of=best_of, **more)


def on_people(**more):
    more = {'figures': block(0.9, 0.8, 0.97), **more}
    return comparison('people', unit='person', title='Embeddings of a person', **more)


def brightness(**more):
    """What a newcomer adds."""
    return comparison('brightness', setting='strangers', title='Brightness', **more)


def record(*found):
    """The part of `audit.json` that the verdict and the gate read."""
    return {'membership': {'comparisons': [one.to_json() for one in found]}}


def data(people=64, images=4, **members):
    """The part `data` of `audit.json`: equally many people on both sides."""
    side = {'people': people, 'images': people * images}
    return {'members': side | members, 'nonmembers': side}
