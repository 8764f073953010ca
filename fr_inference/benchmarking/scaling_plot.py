"""The benchmark's plot: rate over number of devices or workers, with the line of perfect scaling."""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

_STYLE: Any = {
    'svg.fonttype': 'none',
    'svg.hashsalt': 'scaling',
    'font.family': 'sans-serif',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """Rates of one task.

    Attributes:
      label: in the legend.
      counts: numbers of devices or workers, ascending.
      rates: for each count {'median', 'quartiles'}, from `timing.quartiles`.
      shares: for each count the share of the bound, 0 to 1; None for an unknown device.
    """

    label: str
    counts: Sequence[int]
    rates: Sequence[dict[str, Any]]
    shares: Sequence[float] | None = None


def draw(lines: Sequence[Line], *, title: str, over: str, rate: str, caption: str) -> str:
    """Returns an SVG file's text: rates and, if known, the shares of the bound below them.

    Args:
      lines: the rates to draw.
      title: text above the plot.
      over: the label of the horizontal axis.
      rate: name and unit of the rates.
      caption: text below the plot.
    """
    with matplotlib.rc_context(_STYLE):
        bounded = all(line.shares is not None for line in lines)
        figure = Figure(figsize=(7.6, 6.8 if bounded else 4.8), layout='constrained')
        rows = figure.subplots(
            1 + bounded, squeeze=False, sharex=True, height_ratios=[3, 1][: 1 + bounded]
        )
        axes = rows[0, 0]
        ticks = sorted({count for line in lines for count in line.counts})
        for line in lines:
            medians = [value['median'] for value in line.rates]
            ends = [value['quartiles'] for value in line.rates]
            below = [median - low for median, (low, _) in zip(medians, ends, strict=True)]
            above = [high - median for median, (_, high) in zip(medians, ends, strict=True)]
            drawn = axes.errorbar(
                line.counts, medians, (below, above), fmt='o-', capsize=4, label=line.label
            )
            tint = drawn.lines[0].get_color()
            perfect = [medians[0] * count / line.counts[0] for count in ticks]
            axes.plot(ticks, perfect, '--', color=tint, linewidth=1, alpha=0.7)
            if bounded:
                shares = [100 * share for share in line.shares or ()]
                rows[1, 0].plot(line.counts, shares, 'o-', color=tint)
        axes.plot([], [], '--', color='0.5', linewidth=1, label='perfect scaling')
        # On two logarithmic axes perfect scaling is a straight line at any speed.
        axes.set_xscale('log', base=2)
        axes.set_yscale('log')
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter('{x:g}')
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(ylabel=rate, title=title)
        axes.grid(linewidth=0.5, alpha=0.5)
        if bounded:
            rows[1, 0].set(ylabel='% of the bound', ylim=(0, 100))
            rows[1, 0].grid(linewidth=0.5, alpha=0.5)
        rows[-1, 0].set_xlabel(over)
        axes.legend(fontsize=9)
        figure.supxlabel(caption, fontsize=8.5, wrap=True)
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', metadata={'Date': None})
        return buffer.getvalue()


def of_devices(result: dict[str, Any], unit: str, title: str) -> str:
    """Draws what `scaling.measure` returns."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in result['rows']:
        groups.setdefault((row['name'], row['size']), []).append(row)
    lines = [
        Line(
            label=f'{name}, {size} a device',
            counts=[row['devices'] for row in rows],
            rates=[row['rate'] for row in rows],
            shares=[row['share_of_bound'] for row in rows] if 'share_of_bound' in rows[0] else None,
        )
        for (name, size), rows in groups.items()
    ]
    rounds = len(result['rows'][0]['seconds'])
    sentences = [
        f'The same batch on every device. Points: medians of {rounds} rounds. Bars: quartiles.',
        result.get('note', ''),
    ]
    if lines[0].shares is not None:
        sentences.append(
            'The bound: arithmetic at the chip'
            "'"
            's peak, or bytes at its bandwidth, whichever is longer.'
        )
    return draw(
        lines,
        title=title,
        over=f'devices ({result["device"]})',
        rate=f'{unit}/s',
        caption='\n'.join(filter(None, sentences)),
    )


def of_workers(result: dict[str, Any]) -> str:
    """Draws what `loading_speed.measure` returns."""
    rows = result['rows']
    lines = [
        Line(
            label=f'{kind}, {result["height"]}x{result["width"]} pixels',
            counts=[row['workers'] for row in rows if row['kind'] == kind],
            rates=[row['rate'] for row in rows if row['kind'] == kind],
        )
        for kind in dict.fromkeys(row['kind'] for row in rows)
    ]
    return draw(
        lines,
        title='loading: images read and decoded, nothing computed',
        over=f'threads or processes (of {result["cores"]} cores)',
        rate='images/s',
        caption=f'Points: medians of {len(rows[0]["seconds"])} passes over {result["images"]} images. '
        'Bars: quartiles.',
    )
