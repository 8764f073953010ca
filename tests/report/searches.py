"""Records of model inversion that say what a test wants them to say."""

DRAWN = {'top1': 0.94, 'top1_ci95': [0.72, 0.99]}
"""People it never saw, from their templates: the generator can draw them."""


def targeted(top1, low, high, nonmembers):
    return {
        'people': 16,
        'gallery': 32,
        'top1': top1,
        'top1_ci95': [low, high],
        'controls': {'random_latents': {'top1': 1 / 32}, 'nonmembers': nonmembers},
    }


ABLE = targeted(0.9, 0.6, 0.98, DRAWN)
NOT_DRAWN = targeted(0.1, 0.02, 0.3, {'top1': 0.1, 'top1_ci95': [0.02, 0.3]})


def search(hit_rate, low, control, p_value, *, targeted=ABLE, untrained=True, **more):
    """`low` is the lower end of the hit rate's interval, `control` the strongest control's hit rate."""
    controls = {
        'random_latents': {'hit_rate': control},
        'nonmember_gallery': {'hit_rate': 0.02},
    }
    if untrained:
        controls['untrained_target'] = {'hit_rate': 0.0}
    return {
        'goal': 'membership',
        'setting': 'auxiliary',
        'reconstructions': 64,
        'gallery': {'members': 32, 'nonmembers': 32},
        'hit_rate': hit_rate,
        'hit_rate_ci95': [low, 2 * hit_rate - low],
        'nearest_is_member': 0.55,
        'nearest_is_member_ci95': [0.45, 0.65],
        'p_value': p_value,
        'nearest_p_value': 0.3,
        'distinct_identities': 9,
        'controls': controls,
        'excess': {
            'hit_rate': hit_rate - control,
            'hit_rate_ci95': [low - control, 2 * hit_rate - low - control],
            'over': 'random_latents',
            'p_value': p_value,
        },
        **({} if targeted is None else {'targeted': targeted}),
        **more,
    }
