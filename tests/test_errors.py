"""Bad input: one line that a terminal can show, whatever a stranger's file holds."""

import pickle

from fr_inference.errors import InputError


def test_one_printable_line():
    error = InputError('a\nb.csv', 'x\x1b[2J', 'é\u2028y', '\udcff', inside='line\t3')
    assert str(error) == r'a b.csv: line\t3: found x\x1b[2J, expected é y; \udcff'
    assert str(error).isprintable()
    assert error.field == 'a\nb.csv'  # callers get it as it is
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(error.within('members')) == f'members: {error}'
