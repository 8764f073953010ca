"""The parts of the device check: each measures something and adds rows to the record."""

import dataclasses
import time
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from fr_inference.benchmarking import (
    chips,
    device_parity,
    inversion_speed,
    loading_speed,
    other_forms,
    random_weights,
    resampling_speed,
    scaling,
    scoring_speed,
    torch_timed_peer,
    training_speed,
)
from fr_inference.benchmarking.device_record import Record, parity_line, speed_line
from fr_inference.benchmarking.device_sizes import Sizes
from fr_inference.config import Search
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

_MOST_COMPILING = 120.0  # seconds for PyTorch to compile


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """The arguments of every part.

    Attributes:
      record: the record of the results.
      sizes: all sizes.
      device: the device to check.
      chip: its data sheet.
      ends: deadline, in seconds of `time.monotonic`.
      stylegan2_ada: a checkout of NVIDIA's networks.
      waiting: part -> rows that its peers will be compared with.
    """

    record: Record
    sizes: Sizes
    device: jax.Device
    chip: chips.Chip | None
    ends: float
    stylegan2_ada: str | None = None
    waiting: dict[str, 'Ours'] = dataclasses.field(default_factory=dict)

    def left(self) -> float:
        """Returns the seconds that are left."""
        return self.ends - time.monotonic()

    def backbone(self, name: str, dtype: str | None = None) -> Target:
        """Returns a backbone of the requested size."""
        config = {**self.sizes.config.get(name, {}), 'dtype': dtype or self.sizes.dtype}
        spec, side = registry.VARIANTS[name].input, self.sizes.side
        spec = spec if side is None else registry.sized(spec, side, side)
        return random_weights.backbone(name, config, spec)

    def reached(self, bar: str | None, value: float | None) -> None:
        """Compares a figure with its bar, unless the sizes are those of a test."""
        if bar is not None and value is not None and self.sizes.side is None:
            self.record.reached(bar, value)

    def rate(self, task: scaling.Task, unit: str, label: str = '') -> dict[str, Any]:
        """Measures a task, adds its row, and returns it."""
        (row,) = scaling.measure([task], [1], self.sizes.rounds)['rows']
        row |= {'unit': unit, 'label': label}
        self.record.add(row, f'{label + ": " if label else ""}{speed_line(row, unit)}')
        return row


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ours:
    """A row of our results that peers are compared with.

    Attributes:
      row: of `scaling.measure`.
      items: number of items per call.
      asked: what PyTorch should time, see `tests/benchmarking/torch_timed.py`.
      bar: the ratio to reach, or None.
      label: of the peer.
    """

    row: dict[str, Any]
    items: int
    asked: dict[str, Any]
    bar: str | None
    label: str


def cause(error: BaseException) -> str:
    """Returns an error in one line."""
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {lines[0][:200]}'


def expect(record: Record) -> None:
    """Sets the bars."""
    record.expect('peak', 'scoring IResNet-100 of the bfloat16 peak', 0.45, '%')
    record.expect('iresnet50', 'scoring IResNet-50 over PyTorch', 1.5, 'times')
    record.expect('iresnet100', 'scoring IResNet-100 over PyTorch', 1.5, 'times')
    record.expect('search', 'search with the smaller StyleGAN2 over PyTorch', 2.0, 'times')
    record.expect('search_large', 'search with the larger StyleGAN2 over PyTorch', 2.0, 'times')


def parity(check: Check) -> None:
    """Compares distances, embeddings, gradients and a short search with the CPU's."""
    host = chips.host()
    if host is None:
        check.record.note('no comparison: JAX was started without the CPU (JAX_PLATFORMS)')
        return
    small = check.sizes.side is not None
    exact = device_parity.PRECISIONS[0], device_parity.PRECISIONS[-1]
    precisions = exact if small else device_parity.PRECISIONS
    network = check.backbone('iresnet18', 'float32')
    if small:
        generator, target = _generator(check, 0), network
    else:
        generator, target = open_generator('demo_generator'), open_target('demo_leaky')
    for row in device_parity.backbone(network, check.device, host, precisions):
        check.record.add(row, parity_line(row))
    for row in device_parity.search(generator, target, check.device, host, precisions):
        check.record.add(row, parity_line(row))


def scoring(check: Check) -> None:
    """Scores with IResNet-50: in full, its forward pass alone, and with images from the host."""
    _scored(check, 'iresnet50')
    target = check.backbone('iresnet50')
    (plain,) = scoring_speed.tasks(target, [check.sizes.batch], plain=True, held=True)
    check.rate(plain, 'images')
    (whole,) = scoring_speed.tasks(target, [check.sizes.batch])
    check.rate(whole, 'images', 'with its images from the host')


def scoring_large(check: Check) -> None:
    """IResNet-100."""
    _scored(check, 'iresnet100')


def scoring_peer(check: Check) -> None:
    """PyTorch beside IResNet-50."""
    if 'iresnet50' not in check.waiting:
        _scored(check, 'iresnet50')
    _beside(check, check.waiting['iresnet50'])


def scoring_large_peer(check: Check) -> None:
    """PyTorch beside IResNet-100."""
    if 'iresnet100' not in check.waiting:
        _scored(check, 'iresnet100')
    _beside(check, check.waiting['iresnet100'])


def _scored(check, name):
    sizes = check.sizes
    target = check.backbone(name)
    (task,) = scoring_speed.tasks(target, [sizes.batch], held=True)
    row = check.rate(task, 'images')
    if name == 'iresnet100':
        check.reached('peak', row.get('share_of_peak'))
    check.waiting[name] = Ours(
        row=row,
        items=task.items,
        asked=_of_backbone(check, name) | {'what': 'scoring', 'size': sizes.batch},
        bar=name if name in ('iresnet50', 'iresnet100') else None,
        label='PyTorch, channels-last with hooks',
    )


def _of_backbone(check, name):
    target = check.backbone(name)
    config = {key: value for key, value in target.config.items() if key != 'dtype'}
    return {
        'arch': name,
        'config': config,
        'height': target.input.height,
        'width': target.input.width,
        'dtype': check.sizes.dtype,
        'rounds': check.sizes.rounds,
    }


def _beside(check, ours):
    """Times PyTorch at the same size: compiled, or uncompiled if compiling fails."""
    for compiled in (True, False) if check.sizes.compiled else (False,):
        name = f'{ours.label}{", torch.compile" * compiled}'
        # A longer compilation would leave no time for later parts.
        most = min(_MOST_COMPILING, check.left() - 5.0)
        try:
            found = torch_timed_peer.measure(ours.asked | {'compiled': compiled}, most)
        except torch_timed_peer.NotMeasured as error:
            check.record.note(f'{name}: {error}')
            continue
        rate = ours.items / float(np.median(found['seconds']))
        ratio = ours.row['rate']['median'] / rate
        check.reached(ours.bar, ratio)
        check.record.add(
            {'name': name, 'rate': rate, 'ours_over_it': ratio, 'asked': ours.asked, **found},
            f'{name}: {rate:.5g} {ours.row["unit"]}/s; ours is {ratio:.2f} times as fast; '
            f'first call {found["first_call_seconds"]:.1f} s',
        )
        return


def _generator(check, number):
    sizes = check.sizes
    return random_weights.generator(sizes.resolutions[number], sizes.dtype, **sizes.generator)


def _searched(check, number, bar):
    sizes, size = check.sizes, check.sizes.candidates[number]
    (task,) = inversion_speed.tasks(_generator(check, number), check.backbone('iresnet50'), [size])
    asked = _of_backbone(check, 'iresnet50') | {
        'what': 'search',
        'size': size,
        'steps': task.items // task.size,
        'pictures': Search().pictures,
        'resolution': sizes.resolutions[number],
        'base': sizes.generator.get('channel_base', 32768),
        'most': sizes.generator.get('channel_max', 512),
        'stylegan2_ada': None,
    }
    check.waiting[bar] = Ours(
        row=check.rate(task, 'candidate-steps'),
        items=task.items,
        asked=asked,
        bar=bar,
        label='PyTorch, our StyleGAN2',
    )


def _searched_beside(check, number, bar):
    if bar not in check.waiting:
        _searched(check, number, bar)
    ours = check.waiting[bar]
    _beside(check, ours)
    if check.stylegan2_ada is None:
        check.record.note("NVIDIA's networks: not given (--stylegan2_ada=FOLDER)")
        return
    asked = ours.asked | {'stylegan2_ada': check.stylegan2_ada}
    _beside(check, dataclasses.replace(ours, asked=asked, label="PyTorch, NVIDIA's StyleGAN2"))


def search(check: Check) -> None:
    """Times search steps with the smaller StyleGAN2 and IResNet-50."""
    _searched(check, 0, 'search')


def search_peer(check: Check) -> None:
    """PyTorch beside them."""
    _searched_beside(check, 0, 'search')


def search_large(check: Check) -> None:
    """Times search steps with the larger StyleGAN2 and IResNet-50."""
    _searched(check, 1, 'search_large')


def search_large_peer(check: Check) -> None:
    """PyTorch beside them."""
    _searched_beside(check, 1, 'search_large')


def search_forms(check: Check) -> None:
    """The same steps with other forms of StyleGAN2's resampling."""
    for name in ('plain', 'phases'):
        with other_forms.taken(name, check.device.platform):
            (task,) = inversion_speed.tasks(
                _generator(check, 0), check.backbone('iresnet50'), check.sizes.candidates[:1]
            )
            check.rate(task, 'candidate-steps', name)


def resampling(check: Check) -> None:
    """Times StyleGAN2's resampling and its gradient, in every form."""
    side, width, count = check.sizes.resampled
    for dtype in ('float32', 'bfloat16'):
        for row in resampling_speed.measure(
            side, width, count, dtype, check.device.platform, check.sizes.rounds
        ):
            check.record.add(row, f'{row["name"]}: {1e3 * row["seconds"]["median"]:.4g} ms')


def mobile(check: Check) -> None:
    """Times MobileFaceNet, plain and with depthwise convolutions as shifts, and PyTorch."""
    _scored(check, 'mobilefacenet_prelu')
    _beside(check, check.waiting['mobilefacenet_prelu'])
    with other_forms.taken('shifts', check.device.platform):
        target = check.backbone('mobilefacenet_prelu')
        (task,) = scoring_speed.tasks(target, [check.sizes.batch], held=True)
        check.rate(task, 'images', 'depthwise in shifts')


def batches(check: Check) -> None:
    """Times scoring at other batch sizes: smaller ones, then larger ones while the rate rises."""
    for name in ('iresnet100', 'iresnet50'):
        tasks = scoring_speed.tasks(check.backbone(name), check.sizes.sweep, held=True)
        for row in _rising(check, tasks, 'images'):
            if name == 'iresnet100':
                check.reached('peak', row.get('share_of_peak'))


def candidates(check: Check) -> None:
    """Times the search with more candidates at a time."""
    tasks = inversion_speed.tasks(
        _generator(check, 0), check.backbone('iresnet50'), check.sizes.more_candidates
    )
    for _ in _rising(check, tasks, 'candidate-steps'):
        pass


def _rising(check, tasks: Iterable[scaling.Task], unit):
    """Measures until the rate stops rising, or memory or time runs out."""
    best = 0.0
    for task in tasks:
        if check.left() < 30:
            check.record.note(f'{task.name}: no time for {task.size} and more at a time')
            return
        try:
            row = check.rate(task, unit)
        except jax.errors.JaxRuntimeError as error:
            if 'RESOURCE_EXHAUSTED' not in str(error):
                raise
            check.record.note(f'{task.name}: {task.size} at a time do not fit in the memory')
            return
        yield row
        if row['rate']['median'] < best:
            return
        best = row['rate']['median']


def training(check: Check) -> None:
    """Times training steps of IResNet-18 and IResNet-50."""
    for name in ('iresnet18', 'iresnet50'):
        task = training_speed.task(check.backbone(name), check.sizes.training)
        check.rate(task, 'images', 'training')


def decoding(check: Check) -> None:
    """Times reading and decoding JPEG files on the processor's cores."""
    side = check.sizes.side or 112
    with loading_speed.opened(None, side) as faces:
        found = loading_speed.measure(
            faces, height=side, width=side, batch_size=256, rounds=check.sizes.rounds
        )
    for row in found['rows']:
        label = f'{row["workers"]} {row["kind"]} of {found["cores"]} cores'
        check.record.add(row, f'{label}: {row["rate"]["median"]:.0f} images/s decoded')
