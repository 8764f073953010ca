"""The flags that say how to open faces, the same for every program that does.

A program adds `**faces_flags.options()` to its call of `sources.open_faces`, and shows them in its help
with `flags.adopt_module_key_flags(faces_flags)`.
"""

from absl import flags

SOURCES = (
    'Folder with one sub-folder per person, CSV manifest (path,identity), insightface .rec, '
    'tfds:NAME:SPLIT or procedural:SPEC.'
)

OPTIONS = (
    flags.DEFINE_string(
        'identity_key',
        None,
        'Feature of tfds sets that says who it is; label, else identity, by default.',
    ),
    flags.DEFINE_string(
        'data_dir', None, 'Folder of tfds sets; the one that tfds uses by default.'
    ),
)


def options() -> dict[str, str | None]:
    """Returns what these flags say, as keyword arguments of `sources.open_faces`."""
    return {flag.name: flag.value for flag in OPTIONS}
