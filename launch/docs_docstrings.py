"""Shows the examples of docstrings, from `>>>` to the next empty line, as code."""

import re

import griffe

_EXAMPLE = re.compile(r'^([ ]*)>>> .*?(?=\n[ ]*\n|\Z)', re.DOTALL | re.MULTILINE)


class Examples(griffe.Extension):
    """Puts fences around the examples of every docstring that is read."""

    def on_instance(self, *, obj, **_):
        """Changes the docstring of one object, before it is parsed."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(_fenced, obj.docstring.value)


def _fenced(found):
    lines = [f'{found[1]}```pycon', *found[0].split('\n'), f'{found[1]}```']
    return '\n'.join(lines)
