"""Three audits of embedded backbones, trained on drawn faces: they need no files."""

import pathlib
from collections.abc import Iterator

from fr_inference import addresses, config
from fr_inference.program_config import DEMONSTRATED, Demonstration

_LEAKY = 'procedural:hard,images=4,seed=1'
_EASY = 'procedural:easy,images=8,seed=1'
_FEW = 'procedural:easy,images=16,seed=4,people=32'
Audit = tuple[config.Inputs, config.Settings, config.Search | None, config.Output]


def audits(asked: Demonstration) -> Iterator[tuple[str, Audit]]:
    """Yields the title of each audit, and its options."""
    for name in asked.audits:
        said, inputs, settings, search = _AUDITS[name]
        target = f'demo_{name}'
        if asked.backbones is not None:
            target = _below(asked.backbones, target)
        out = asked.out if name == DEMONSTRATED[0] else _below(asked.out, name)
        yield (
            said,
            (
                config.Inputs(target=target, **inputs),
                config.Settings(**settings),
                config.Search(**search) if search else None,
                config.Output(out=out),
            ),
        )


def _below(folder, name):
    stored = addresses.is_address(folder)
    return addresses.joined(folder, name) if stored else str(pathlib.Path(folder) / name)


_AUDITS: dict[str, tuple[str, dict, dict, dict]] = {
    'leaky': (
        'A backbone that memorised its training images (this audit also trains a shadow)',
        {
            'members': f'{_LEAKY},people=128',
            'nonmembers': f'{_LEAKY},people=128,first=128',
            'auxiliary': f'{_LEAKY},people=256,first=256',
            'member_identities': f'{_LEAKY},people=128,start=4',
            'shift': 'procedural:easy,images=4,seed=2,people=64',
        },
        {'reach': True},
        {},
    ),
    'easy': (
        'A backbone that generalises',
        {'members': f'{_EASY},people=128', 'nonmembers': f'{_EASY},people=128,first=512'},
        {},
        {},
    ),
    'few': (
        'A backbone trained on few people, whose faces are reconstructed',
        {
            'members': _FEW,
            'nonmembers': f'{_FEW},first=32',
            'member_identities': f'{_FEW},start=16',
            'generator': 'demo_generator',
            'evaluator': 'demo_evaluator',
            'strangers': 'procedural:easy,images=1,seed=4,people=32768,first=5000',
        },
        {},
        {
            **{'draws': 2048, 'candidates': 128, 'keep': 128, 'steps': 30, 'pictures': 2},
            **{'prior': 5.0, 'centres': 32, 'targeted': 10},
        },
    ),
}
assert tuple(_AUDITS) == DEMONSTRATED
