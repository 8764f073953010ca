"""What a backbone was recognised as, in lines."""

from fr_inference.measuring import distances
from fr_inference.models import registry
from fr_inference.models.target import Target


def lines(target: Target) -> list[str]:
    """Returns architecture, size, BatchNorm layers, input and digest, one line each."""
    layers = distances.layer_names(target)
    config = ', '.join(f'{name}={value}' for name, value in target.config.items())
    spec = target.input
    return [
        f'architecture: {target.architecture}' + (f' with {config}' if config else ''),
        f'parameters: {registry.count_parameters(target.variables):,}',
        f'BatchNorm layers: {len(layers)}' + (f' ({layers[0]} to {layers[-1]})' if layers else ''),
        f'input: {spec.height} high x {spec.width} wide, RGB, '
        f'mean {_listed(spec.mean)}, std {_listed(spec.std)}',
        *target.notes,
        f'sha256: {target.sha256}',
    ]


def _listed(values):
    return ' '.join(f'{value:g}' for value in values)
