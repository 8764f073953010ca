"""What was tried in the search for stored templates: `python -m tests.auditing.search_ablation`.

  python -m tests.auditing.search_ablation --target=demo_easy --auxiliary=demo_leaky \\
      --generator=demo_generator --evaluator=demo_evaluator \\
      --faces=procedural:easy,images=5,seed=11,people=320,first=9000 --templates=100 --seed=11 \\
      --out=runs/ablation

Compares, for the same templates, the search from the best random latents with variants of it: the mean
of the path's last half, and the candidate that agrees best with the mean of all in an auxiliary backbone
(ALSUV, arXiv 2407.02403); more steps on features of the generator in a small ball (IF-GMI, arXiv
2407.13863); fewer candidates and steps; and a start from a map from embeddings to latents. Templates,
gallery and figures are those of `reconstruction_table`. Writes OUT/ablation.json.
docs/results/inversion.md has the results.
"""

import argparse
import dataclasses
import functools
import json
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.linear_model import RidgeCV

from fr_inference import rng
from fr_inference.config import Search
from fr_inference.data import sources
from fr_inference.data.faces import from_arrays
from fr_inference.inversion import candidate, goals, judge, search, starts, subject
from fr_inference.inversion import scene as scenes
from fr_inference.measuring import measurements
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target
from tests.auditing import reconstruction_table as table

PAIRS = (512, 1024, 2048, 4096)
LAYER, BALL = 'b8_conv1', 0.1  # which features are moved, and how far as a share of their length
FEATURE_STEPS, FEATURE_RATE = 15, 0.02


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searched:
    """A backbone with its pool, and what is wanted of it."""

    made: subject.Subject
    goal: goals.Goal
    how: Search

    def program(self, make, *static, total):
        """Returns a program of `candidate` for `total` examples."""
        constants = dataclasses.replace(self.made.constants, weights=self.goal.weights)
        return candidate.mapped(make, static, constants, total=total, most=self.how.search_batch)

    def begun(self, each: int, steps: int, near: np.ndarray | None = None):
        """Returns the states of `each` candidates for each template, and their optimiser.

        They start at the best random latents, or the first of each at `near` [G, ...].
        """
        how = dataclasses.replace(self.how, candidates=each, keep=each)
        numbers = search.best(self.goal, how, self.made.pool, self.goal.wanted).reshape(-1)
        optimiser = candidate.Optimiser(
            name=how.optimiser, learning_rate=how.learning_rate, steps=steps
        )
        begin = self.program(candidate.beginning, self.made.scene, optimiser, total=len(numbers))
        states = begin((numbers, np.repeat(self.goal.wanted, each, axis=0)))
        if near is not None:
            states = search._with_starts(states, near, each)
        return states, optimiser

    def path(self, each: int, steps: int, near: np.ndarray | None = None):
        """Returns the states after the steps, and the means of the latents of their last half."""
        states, optimiser = self.begun(each, steps, near)
        step = self.program(
            *(candidate.advancing, self.made.scene, self.how.pictures),
            *(self.goal.term, optimiser, 1),
            total=len(states['draw']),
        )
        late = []
        for done in range(steps):
            states, _ = step(states)
            if done >= steps // 2:
                late.append(np.array(states['white']))
        return states, np.mean(late, axis=0)

    def looked(self, states, white=None):
        """Evaluates candidates, or other latents in their place, as the end of a search does."""
        kept = {name: np.array(states[name]) for name in ('draw', 'wanted', 'white', 'best')}
        if white is not None:
            kept |= {'white': white, 'best': white.copy()}
        look = self.program(
            *(candidate.looking, self.made.scene, self.how.pictures, self.goal.term),
            total=len(kept['draw']),
        )
        return look(kept)


def winners(objective: np.ndarray, each: int) -> np.ndarray:
    """Returns the row of the best of each `each` candidates.

    >>> winners(np.array([1.0, 2.0, 5.0, 3.0]), 2).tolist()
    [1, 2]
    """
    first = np.arange(0, len(objective), each)
    return first + objective.reshape(-1, each).argmax(1)


def agreeing(embeddings: np.ndarray, each: int) -> np.ndarray:
    """Returns the row of each `each` candidates that is nearest to the mean of all of them.

    Args:
      embeddings: [M, D], unit, of an auxiliary backbone.
      each: candidates of a template.
    """
    groups = embeddings.reshape(-1, each, embeddings.shape[1])
    cosines = np.einsum('gcd,gd->gc', groups, judge.unit(groups.mean(1)))
    return winners(cosines.reshape(-1), each)


def in_ball(moved: jax.Array, radius: jax.Array) -> jax.Array:
    """Returns `moved`, shortened to `radius` where it is longer."""
    length = jnp.sqrt(jnp.sum(jnp.square(moved)) + 1e-12)
    return moved * jnp.minimum(1.0, radius / length)


def with_moved_features(render, moved):
    """Returns (image, features before) of a rendering with `moved` added to a layer's output."""
    seen = []

    def add(layer, arguments, options, context):
        found = layer(*arguments, **options)
        if context.module.name != LAYER or context.method_name != '__call__':
            return found
        seen.append(found)
        return found if moved is None else found + moved

    with nn.intercept_methods(add):
        image = render()
    return image, seen[0]


def feature_steps(searched: Searched, latents: np.ndarray, wanted: np.ndarray):
    """Moves a layer's features of each picture towards its template, in a ball around them.

    Returns:
      [M, R, R, 3] uint8 images, and [M, D] unit embeddings of the target.
    """
    scene, constants = searched.made.scene, searched.made.constants
    render = functools.partial(scene.render, constants.generator)
    adam = optax.adam(FEATURE_RATE)

    @jax.jit
    def one(latent, wanted, key):
        _, features = with_moved_features(lambda: render(latent), None)
        radius = BALL * jnp.sqrt(jnp.sum(jnp.square(features)))

        def away(moved, key):
            image, _ = with_moved_features(lambda: render(latent), moved)
            seen = scenes.pictures(scene, constants.target, image, key, searched.how.pictures)
            return -goals.MATCH * wanted @ seen.embedding.mean(0)

        def step(state, number):
            moved, memory = state
            gradient = jax.grad(away)(moved, jax.random.fold_in(key, number))
            with jax.numpy_dtype_promotion('standard'):
                updates, memory = adam.update(gradient, memory, moved)
            return (in_ball(moved + updates, radius), memory), None

        begin = jnp.zeros_like(features)
        (moved, _), _ = jax.lax.scan(step, (begin, adam.init(begin)), jnp.arange(FEATURE_STEPS))
        image, _ = with_moved_features(lambda: render(latent), moved)
        still = scenes.transform(key, image, scene.input, scenes.STILL)
        seen = scene.see(constants.target, still)
        return jnp.clip(jnp.round(image), 0, 255).astype(jnp.uint8), seen.embedding

    keys = jax.random.split(rng.stream(constants.key, 'features'), len(latents))
    found = [
        one(latent, goal, key) for latent, goal, key in zip(latents, wanted, keys, strict=True)
    ]
    return tuple(np.stack(part) for part in zip(*found, strict=True))


def maps(embeddings: np.ndarray, white: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Returns starts for each template, map -> [G, ...] whitened latents.

    Args:
      embeddings: [N, D] of the random latents.
      white: [N, L] the latents.
      wanted: [G, D] of unit length.
    """
    cosines = np.asarray(wanted, np.float64) @ judge.unit(embeddings).T
    order = np.argsort(-cosines, axis=1)
    best = order[:, 0]
    model = RidgeCV(alphas=np.logspace(-2, 4, 13)).fit(judge.unit(embeddings), white)
    ridge = model.predict(wanted)
    return {
        'best random latent': white[best],
        'ridge regression': ridge,
        'best random latent, moved by the ridge': white[best]
        + ridge
        - model.predict(judge.unit(embeddings[best])),
        'mean of the 4 nearest': white[order[:, :4]].mean(1),
        'weighted mean': starts.near(wanted, embeddings, white),
    }


def cosines_of_starts(searched: Searched) -> dict[str, dict[str, float]]:
    """Returns pairs -> map -> mean cosine of its starts with the templates."""
    wanted, pool = searched.goal.wanted, searched.made.pool.embeddings
    draw = searched.program(candidate.drawing, searched.made.scene, total=len(pool))
    white = np.array(draw(np.arange(len(pool), dtype=np.int32)))
    states, _ = searched.begun(1, 1)
    found: dict[str, dict[str, float]] = {}
    for pairs in PAIRS:
        if pairs > len(pool):
            continue
        found[str(pairs)] = {}
        for name, start in maps(pool[:pairs], white[:pairs], wanted).items():
            seen = searched.looked(states, np.float32(start))['embedding']
            found[str(pairs)][name] = round(float((seen * wanted).sum(1).mean()), 3)
    return found


def reconstructions(searched: Searched, auxiliary) -> dict[str, tuple[int, np.ndarray, np.ndarray]]:
    """Returns variant -> (candidate-steps for each template, images, the target's embeddings)."""
    wanted, made = searched.goal.wanted, searched.made
    found = {}

    def add(name, steps, looked, rows):
        found[name] = steps, looked['image'][rows], looked['embedding'][rows]

    def embedded(looked):
        images = from_arrays(looked['image'], range(len(looked['image'])), 'candidates')
        return judge.unit(measurements.measure(auxiliary, images).embeddings)

    states, _ = searched.begun(1, 1)
    draws = len(made.pool)
    add(f'best of {draws} random latents', 0, searched.looked(states), slice(None))

    states, mean = searched.path(4, 30)
    last, averaged = searched.looked(states), searched.looked(states, mean)
    best = winners(last['objective'], 4)
    add('4 candidates, 30 steps', 120, last, best)
    add("the mean of the path's last half", 120, averaged, winners(averaged['objective'], 4))
    add('the candidate that agrees with all', 120, last, agreeing(embedded(last), 4))
    add('both', 120, averaged, agreeing(embedded(averaged), 4))
    moved = feature_steps(searched, last['latent'][best], wanted)
    found['then 15 steps on features'] = 120 + FEATURE_STEPS, *moved

    states, _ = searched.path(4, 15)
    last = searched.looked(states)
    add('4 candidates, 15 steps', 60, last, winners(last['objective'], 4))
    add('1 candidate, 15 steps', 15, last, np.arange(0, len(last['image']), 4))

    draw = searched.program(candidate.drawing, made.scene, total=draws)
    white = np.array(draw(np.arange(draws, dtype=np.int32)))
    near = starts.near(wanted, made.pool.embeddings, white)
    states, _ = searched.path(1, 15, near)
    add('1 candidate, 15 steps, from the weighted mean', 15, searched.looked(states), slice(None))
    return found


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ('target', 'auxiliary', 'generator', 'evaluator', 'faces'):
        flags.add_argument(f'--{name}', required=True)
    flags.add_argument('--templates', type=int, help='that many, drawn by the seed; all by default')
    flags.add_argument('--draws', type=int, default=4096)
    flags.add_argument('--seed', type=int, default=0)
    flags.add_argument('--out', type=pathlib.Path, required=True)
    given = flags.parse_args()
    target, evaluator = open_target(given.target), open_target(given.evaluator)
    auxiliary, generator = open_target(given.auxiliary), open_generator(given.generator)
    judge.check_evaluator(evaluator, target)
    judge.check_evaluator(evaluator, auxiliary)
    faces = sources.open_faces(given.faces, 'faces')
    seen, in_target = (measurements.measure(one, faces) for one in (evaluator, target))
    names = np.array(in_target.identities)
    who = table.people(names, {'evaluator': seen.embeddings}, seed=given.seed)
    drawn = rng.numpy_generator(given.seed, 'templates').permutation(who.templates)
    rows = np.sort(drawn[: given.templates])
    how = Search(draws=given.draws, candidates=4, steps=30, pictures=2, keep=4)
    goal = goals.templates(in_target.embeddings[rows], strength=how.strength, prior=how.prior)
    made = subject.prepare(target, generator, how, seed=given.seed)
    searched = Searched(made=made, goal=goal, how=how)

    kept: dict = {'templates': len(rows), 'gallery': len(who.galleries['evaluator'].names)}
    kept['starts'] = cosines_of_starts(searched)
    print(json.dumps(kept, indent=1), flush=True)
    kept['searches'] = {}
    found = reconstructions(searched, auxiliary)
    hits = {}
    for label, (_, images, _) in found.items():
        pictures = from_arrays(images, range(len(images)), 'reconstructions')
        values = {'evaluator': measurements.measure(evaluator, pictures).embeddings}
        hits[label] = table.shown(values, names[rows].tolist(), who.galleries)
    for label, (steps, _, embeddings) in found.items():
        cosine = float((embeddings * goal.wanted).sum(1).mean())
        row = {'candidate_steps': steps, 'cosine': round(cosine, 3)}
        base = '4 candidates, 30 steps' if steps > 15 else '1 candidate, 15 steps'
        for figure, hit in hits[label].items():
            name = figure.removeprefix('evaluator: ')
            row[name] = table.share(hit)
            if label != base:
                row[f'{name}, change'] = table.difference(hit, hits[base][figure], seed=given.seed)
        kept['searches'][label] = row
        print(label, row, flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / 'ablation.json').write_text(json.dumps(kept, indent=1) + '\n')


if __name__ == '__main__':
    main()
