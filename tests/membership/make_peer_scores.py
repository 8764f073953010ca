"""Writes what two other projects' RMIA and BASE say about drawn logits to `peer_scores.npz`.

Needs both in folders of their own, and numpy, scipy, scikit-learn, pydantic and tqdm:

    git clone https://github.com/privacytrustlab/ml_privacy_meter  # commit e384af8fd931 was used
    git clone https://github.com/aidotse/LeakPro                   # commit c47752fad0fb was used
    python make_peer_scores.py ml_privacy_meter LeakPro

`run_rmia` of Privacy Meter takes arrays. LeakPro's attacks take models; what stands around them is
replaced, so that their own arithmetic is run on given logits.
"""

import importlib.util
import pathlib
import sys
import types
from unittest import mock

import numpy as np

IMAGES, POPULATION, REFERENCES, CLASSES = 40, 30, 3, 5
OFFSET, GAMMA, TEMPERATURE = 0.33, 2.0, 2.0


def main(meter: str, leakpro: str) -> None:
    """Writes the file beside this one."""
    generator = np.random.default_rng(2312)
    count = IMAGES + POPULATION
    logits = generator.normal(0, 3, (count, CLASSES)) + generator.normal(
        0, 1, (1 + REFERENCES, count, CLASSES)
    )
    logits[0, : IMAGES // 2, 0] += 4  # the target knows half of the images
    labels = np.zeros(count, int)
    scaled = logits / TEMPERATURE
    scaled = scaled - scaled.max(-1, keepdims=True)
    logs = (scaled - np.log(np.exp(scaled).sum(-1, keepdims=True)))[..., 0]
    np.savez(
        pathlib.Path(__file__).parent / 'peer_scores.npz',
        logs=logs,  # [1 + references, images + population], the target first
        meter_rmia=_meter(meter, np.exp(logs)),
        **_leakpro(pathlib.Path(leakpro), logits, labels),
    )


def _meter(folder, probable):
    sys.path.insert(0, folder)
    from modules.mia.attacks import rmia

    images, population = probable[:, :IMAGES], probable[:, IMAGES:]
    return rmia.run_rmia(
        images[0],
        images[1:].T,
        np.zeros((IMAGES, REFERENCES), bool),
        population[0],
        population[1:].T,
        OFFSET,
        REFERENCES,
    )


def _leakpro(folder, logits, labels):
    rmia, base = (_module(folder, name) for name in ('rmia', 'base'))
    every = np.arange(len(labels))
    shadows = list(logits[1:])
    handler = types.SimpleNamespace(
        get_labels=lambda rows: labels[rows],
        train_indices=every[:IMAGES],
        test_indices=every[IMAGES:],
        target_model=None,
    )

    def attack(kind, **more):
        one = kind.__new__(kind)
        one.handler = handler
        one.audit_dataset = {
            'data': every,
            'in_members': every[:IMAGES],
            'out_members': every[IMAGES:],
        }
        one.temperature, one.epsilon = TEMPERATURE, 1e-6
        one.configs = mock.MagicMock()
        vars(one).update(more)
        return one

    relative = attack(
        rmia.AttackRMIA,
        online=False,
        offline_a=OFFSET,
        gamma=GAMMA,
        z_data_sample_fraction=1.0,
        attack_data_indices=every[IMAGES:],
        load_for_optuna=True,
        ground_truth_indices=labels,
        logits_theta=logits[0],
        logits_shadow_models=shadows,
        shadow_models=[None] * REFERENCES,
        out_indices=np.ones((REFERENCES, len(every)), bool),
    )
    relative.prepare_attack()
    relative._run_attack()

    # Online it takes all models; offline those that were trained without the image, half of them.
    loaded = [logits[0], *shadows, *shadows]
    base.ShadowModelHandler.return_value.load_logits.side_effect = lambda name='', indx=-1: loaded[
        indx + 1
    ]
    found = {}
    for online, models in ((True, REFERENCES), (False, 2 * REFERENCES)):
        one = attack(
            base.AttackBASE,
            online=online,
            num_shadow_models=models,
            offline_scale_factor=OFFSET,
            shadow_model_indices=list(range(models)),
            out_indices=(np.arange(models) < REFERENCES)[:, None] & np.ones(len(every), bool),
        )
        one.run_attack()
        found['base_online' if online else 'base_offline'] = one.in_member_signals[:, 0]
    return {'leakpro_rmia': relative.in_member_signals[:, 0], **found}


def _module(folder, name):
    """Loads one attack of LeakPro without the framework around it."""
    stubs = {
        'attacks.mia_attacks.abstract_mia': mock.MagicMock(AbstractMIA=object),
        'attacks.utils.shadow_model_handler': mock.MagicMock(),
        'attacks.utils.utils': mock.MagicMock(softmax_logits=_softmax),
        'input_handler.abstract_input_handler': mock.MagicMock(),
        'input_handler.mia_handler': mock.MagicMock(),
        'reporting.mia_result': mock.MagicMock(),
        'signals.signal': mock.MagicMock(),
        'signals.signal_extractor': mock.MagicMock(PytorchModel=type('PytorchModel', (), {})),
        'utils.import_helper': mock.MagicMock(Self=object),
        'utils.logger': mock.MagicMock(),
    }
    path = folder / 'leakpro' / 'attacks' / 'mia_attacks' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {f'leakpro.{key}': stub for key, stub in stubs.items()}):
        spec.loader.exec_module(module)
    return module


def _softmax(logits, temperature):
    scaled = np.exp(logits / temperature - (logits / temperature).max(-1, keepdims=True))
    return scaled / scaled.sum(-1, keepdims=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
