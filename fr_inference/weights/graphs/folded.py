"""Says which BatchNorm layers of a graph kept statistics, and which seem to be folded into weights."""

from fr_inference.weights.graphs.graph_plan import Plan
from fr_inference.weights.graphs.operators import NORM

_MOST = 4  # number of names in a note


def notes(plan: Plan) -> tuple[str, ...]:
    """Returns remarks for the report, one line each.

    A convolution with a bias and no BatchNormalization after it is probably a folded pair: exporters
    in eval mode multiply its kernel by scale / sqrt(var + epsilon).
    """
    kept = list(dict.fromkeys(norm.name for norm in plan.norms.values()))
    users: dict[str, list[str]] = {}
    for node in plan.nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node.op)
    lost = [
        node
        for node in plan.nodes
        if node.op == 'Conv'
        and len(node.inputs) > 2
        and node.inputs[2]
        and NORM not in users.get(node.outputs[0], [])
    ]
    said = []
    if kept:
        listed = ', '.join(kept[:_MOST]) + (f', ... {kept[-1]}' if len(kept) > _MOST else '')
        said.append(f'BatchNorm layers with statistics: {len(kept)} ({listed})')
    else:
        said.append('no BatchNorm layer with statistics: only attacks on embeddings can be run')
    if lost:
        said.append(
            f'BatchNorm layers that seem folded into convolutions, without statistics: {len(lost)}; '
            'attacks on embeddings do not need them'
        )
    rounded = sum(node.op in ('QuantizeLinear', 'DynamicQuantizeLinear') for node in plan.nodes)
    if rounded:
        said.append(
            f'quantised: weights are floats again, values between layers are still rounded ({rounded} '
            'places); gradients pass as if they were not'
        )
    return tuple(said)
