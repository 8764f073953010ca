"""Measurements that no backbone made, in which one thing leaks; what every attack must keep to."""

import dataclasses

import numpy as np

from fr_inference.measuring.measurements import Measurements
from fr_inference.membership import attacks, labelled, trials
from fr_inference.membership.attacks.agreement import MOVED
from fr_inference.membership.labelled import Labelled
from fr_inference.metrics import intervals

PEOPLE, IMAGES, LAYERS, SIZE = 20, 2, 3, 6
DRAWS, REPLICATES = 100, 100
LEAKS = (
    *('distances', 'moments', 'length', 'anchors', 'agreement', 'agreement-distances', 'gradients'),
    *('direction', 'shortly-longer', 'shortly-closer', 'people'),
)
"""What may leak. The two of 'shortly' hide in how pictures differ: only calibration shows them."""


def drawn(seed: int, *leaks: str) -> Labelled:
    """Returns measurements of 20 members and 20 strangers, two images each, in which `leaks` leak.

    How good a picture is moves lengths and distances in the target, in the reference and in the blind
    backbone alike. Images of a person resemble each other.
    """
    assert set(leaks) <= set(LEAKS)
    generator = np.random.default_rng([29, seed])
    person = np.repeat(np.arange(2 * PEOPLE), IMAGES)
    member = person < PEOPLE

    def noise(width):
        shared = generator.normal(size=(2 * PEOPLE, width))[person]
        return (shared + generator.normal(size=shared.shape)) / np.sqrt(2)

    def leaked(name, by):
        return by * member[:, None] * (name in leaks)

    picture = noise(1)
    lengths = picture + 0.1 * noise(1) + leaked('length', 3.0) + leaked('shortly-longer', 0.6)
    logs = picture + 0.2 * noise(LAYERS) - leaked('distances', 3.0) - leaked('shortly-closer', 0.6)
    base = generator.normal(size=(2 * PEOPLE, SIZE))[person]
    spread = np.where(member & ('people' in leaks), 0.2, 1.0)[:, None]
    shown = base + spread * generator.normal(size=base.shape)
    shown[:, 0] += 3.0 - leaked('anchors', 3.0)[:, 0]  # strangers resemble each other
    moved = shown + (0.1 + leaked('direction', 0.4)) * generator.normal(size=base.shape)
    agreement = noise(MOVED + 2) - leaked('agreement', 1.0)
    changes = noise(2 * LAYERS) - leaked('agreement-distances', 1.0)
    names = tuple(f'p{number}' for number in person)

    def measured(logs, directions, lengths, **extra):
        units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        return Measurements(
            layers=tuple(f'layer{number}' for number in range(LAYERS)),
            distances=np.exp(logs).astype(np.float32),
            embeddings=(np.exp(lengths) * units).astype(np.float32),
            identities=names,
            index=np.arange(len(person), dtype=np.int32),
            extra={name.replace('_', '-'): part.astype(np.float32) for name, part in extra.items()},
        )

    target = measured(
        logs,
        moved,
        lengths,
        bn_moments=np.exp(noise(2 * LAYERS) - leaked('moments', 1.0)),
        agreement=np.concatenate([agreement, changes], axis=1),
        gradients=noise(4) - leaked('gradients', 1.0),
    )
    reference = measured(picture + 0.2 * noise(LAYERS), shown, picture + 0.1 * noise(1))
    blind = measured(noise(LAYERS), noise(SIZE), noise(1))
    seen = np.concatenate([4 * picture, 0.5 * noise(SIZE - 1)], axis=1).astype(np.float32)
    blind = dataclasses.replace(blind, embeddings=seen)
    return Labelled.of(target, member, {'base': reference}, blind)


def halves(images: Labelled, seed: int = 0) -> np.ndarray:
    """Returns the images that an attack is fitted on."""
    return labelled.fit_half(images.identities, images.member, seed)


def strangers(images: Labelled) -> Labelled:
    """Returns the images, none of which is a member's."""
    return images.relabelled(np.zeros(len(images), bool))


def interval(name: str, setting: str, seed: int, *leaks: str, shadow: tuple[str, ...] = ()):
    """Returns the ends of the AUC's interval of an attack on `drawn(seed, *leaks)`.

    Args:
      name: of the attack.
      setting: what it knows.
      seed: of the draw.
      leaks: what leaks in the target.
      shadow: what leaks in the shadow, in the setting 'auxiliary'.
    """
    attack = one(name)
    images = drawn(seed, *leaks)
    fit = halves(images, seed)
    if setting == 'auxiliary':
        three = drawn(1000 + seed, *shadow), strangers(drawn(2000 + seed)), images
        trial = trials.transfer_attack(attack, *three, ~fit, seed)
    else:
        trial = trials.run_attack(attack, images, fit, seed, setting)
    scored = trial.scored
    values, samples = intervals.aucs(
        scored.scores[None],
        scored.member,
        scored.identities,
        seed=seed,
        replicates=REPLICATES,
    )
    people = min(intervals.people_per_side(scored.identities, scored.member))
    return intervals.interval(float(values[0]), samples[:, 0], people)


def one(name: str) -> attacks.Attack:
    """Returns an attack, with its parts where it combines others."""
    return next(attack for attack in attacks.chosen((attacks.ALL,)) if attack.name == name)


def assert_found(name: str, setting: str, *leaks: str) -> None:
    """Asserts that the attack finds what leaks in all of eight draws but one."""
    lows = [interval(name, setting, seed, *leaks, shadow=leaks)[0] for seed in range(8)]
    assert sum(low > 0.5 for low in lows) >= 7, lows


def assert_nothing(name: str, setting: str, *shadow: str) -> None:
    """Asserts that of 100 draws without a leak at least 90 intervals contain 0.5.

    Each goes the whole way: halves, features, fit, scores, interval. In the setting 'auxiliary' the
    shadow leaks all the same.
    """
    inside = 0
    for seed in range(DRAWS):
        low, high = interval(name, setting, seed, shadow=shadow)
        inside += low <= 0.5 <= high
    assert inside >= 90


def assert_keeps_to_its_half(name: str) -> None:
    """Asserts what `Attack.examples` promises of labels, of other images and of the examples."""
    attack, images = one(name), drawn(5, *LEAKS)
    fit = halves(images)
    found = attack.examples(images, fit, 3)
    assert found.features.shape[1]
    assert np.isfinite(found.features).all()
    turned = attack.examples(images.relabelled(images.member ^ ~fit), fit, 3)
    keep = fit | (np.cumsum(~fit) <= (~fit).sum() / 2)
    assert 0 < (~keep).sum() < (~fit).sum()
    fewer = attack.examples(images.select(keep), fit[keep], 3)
    if attack.unit == 'image':
        assert found.names == images.identities
        np.testing.assert_array_equal(found.member, images.member)
        np.testing.assert_array_equal(found.fit, fit)
        np.testing.assert_array_equal(turned.features, found.features)
        rest = found.features[keep]
    else:
        assert len(found.names) == len(set(found.names)) == 2 * PEOPLE

        def by_name(examples):
            return dict(zip(examples.names, examples.features.tolist(), strict=True))

        assert by_name(turned) == by_name(found)
        rest = found.features[np.isin(found.names, fewer.names)]
    # One thread more or less in a product of matrices rounds otherwise.
    np.testing.assert_allclose(fewer.features, rest, rtol=1e-5, atol=1e-6)
    if 'auxiliary' in attack.settings:  # where labels of the target are not known at all
        every = np.ones(len(images), bool)
        given = attack.examples(images, every, 3).features
        np.testing.assert_array_equal(attack.examples(strangers(images), every, 3).features, given)


def without_layers(images: Labelled) -> Labelled:
    """Returns the images as a backbone without BatchNorm shows them."""
    return dataclasses.replace(images, layers=(), distances=images.distances[:, :0])
