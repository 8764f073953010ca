"""Made-up rows of studies of defences."""

from fr_inference.report import what_helps

ACCESS = ('file', 'answers')


def block(value, low, high, name='auc'):
    return {name: value, f'{name}_ci95': [low, high]}


def cell(access, setting='partial', *, difference=None, valid=True, kind='open', excess=None):
    auc = 0.9 + (difference[0] if difference else 0)
    found = {
        'unit': 'image',
        'access': access,
        'references': False,
        'setting': setting,
        'key': f'combined-{access}/{setting}',
        'name': 'All attacks',
        'kind': kind,
        'valid': valid,
        'why': '' if valid else 'a control failed',
        'stands_in': False,
        **block(auc, auc - 0.05, auc + 0.05),
        'excess': block(*(excess or (auc - 0.5, auc - 0.6, auc - 0.4))),
    }
    return found | ({'difference': block(*difference) | {'paired': True}} if difference else {})


def undefended(*, settings=('partial',), excess=None):
    return {
        **{'name': 'undefended', 'label': 'no defence', 'defence': '', 'attacker': 'both'},
        **{'binds': list(ACCESS), 'status': 'done', 'report': 'undefended/report.html'},
        'cells': [cell(access, one, excess=excess) for access in ACCESS for one in settings],
        'verification': block(0.94, 0.92, 0.96, 'accuracy'),
    }


def row(
    label,
    attacker,
    *,
    file=None,
    answers=None,
    why='',
    valid=True,
    kind='open',
    accuracy=(0.93, -0.03, 0.01),
    settings=('partial',),
):
    given = {'file': file, 'answers': answers}
    found = {
        **{'name': label, 'label': label, 'defence': label, 'attacker': attacker},
        'binds': ['answers'] if label.startswith('answers-') else list(ACCESS),
    }
    if why:
        return found | {'status': 'not run', 'why': why}
    value, low, high = accuracy
    return found | {
        'status': 'done',
        'report': f'{label}/report.html',
        'cells': [
            cell(access, one, difference=change, valid=valid, kind=kind)
            for access, change in given.items()
            if change is not None
            for one in settings
        ],
        'verification': block(value, value - 0.02, value + 0.02, 'accuracy'),
        'verification_difference': block(value - 0.94, low, high, 'accuracy'),
    }


def record(rows, *, sha256='a' * 64):
    side = {'source': 'procedural:<hard>', 'people': 128, 'images': 512}
    return {
        'schema': what_helps.SCHEMA,
        'study': what_helps.STUDY,
        'provenance': {
            **{'command': 'study <it>', 'date': '2026-11-27T16:00:00+00:00', 'seed': 0},
            **{'git_commit': None, 'versions': {'jax': '1'}, 'devices': ['cpu']},
            **{'settings': {'seed': 0}, 'target_sha256': sha256},
        },
        'target': {'name': 'demo', 'architecture': 'tiny'},
        'data': {'members': side, 'nonmembers': side},
        'references': [],
        'rows': rows,
        'recommendation': what_helps.recommendation(rows),
    }
