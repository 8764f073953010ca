"""The terms of a report, one sentence each: shown on hover and focus, and listed at the end."""

import re

import markupsafe

TERMS = {
    'accuracy': (
        'accuracy',
        'The share of correct answers, averaged over members and strangers: 0.5 is guessing.',
    ),
    'auc': (
        'AUC',
        'The share of all pairs of a member and a stranger (or of the two groups that a row names) '
        'in which the first has the higher logit: 0.5 is guessing, 1 is never wrong.',
    ),
    'backbone': (
        'backbone',
        'The part of a face-recognition model that turns a photograph into an embedding; it is '
        'what this audit is about.',
    ),
    'batchnorm': (
        'BatchNorm layer',
        'A layer that stores the mean and variance of its inputs in training; the attack measures '
        'how far an image lies from them.',
    ),
    'blind': (
        'blind control',
        'The same attack on a backbone that never saw these people: what it reaches there has '
        'nothing to do with training.',
    ),
    'centre': (
        'class centre',
        'The point towards which training pulled the embeddings of all photographs of a person.',
    ),
    'control': (
        'control',
        'A check of the attack: the attack is run where there is nothing to find, so whatever it '
        'finds there is not a leak.',
    ),
    'cosine': (
        'cosine',
        'How alike two faces are to a backbone: 1 where their embeddings point the same way, 0 '
        'where they have nothing in common.',
    ),
    'coverage': (
        'coverage',
        'The share of photographs with at least one reconstruction among their neighbours.',
    ),
    'density': (
        'density',
        'How many photographs lie around a reconstruction, relative to how many lie around a '
        'photograph: 1 is equal.',
    ),
    'embedding': (
        'embedding',
        'The list of numbers that a backbone computes from a face; photographs of one person get '
        'similar ones.',
    ),
    'evaluator': (
        'evaluator',
        'A second backbone, which judges the reconstructions and which the search never used.',
    ),
    'excess': (
        'excess',
        'The figure of the attack minus that of its control: what training on these people adds.',
    ),
    'fpr': (
        'false-positive rate',
        'The share of strangers that the attack wrongly takes for members.',
    ),
    'frechet': (
        'Fréchet distance',
        'How differently two sets of faces are distributed in the embedding: 0 if means and '
        'covariances agree.',
    ),
    'further': (
        'further attack',
        'An attack that was not chosen beforehand; its result counts only by an interval that '
        'holds for all further attacks together (max-T), because the best of many is high by chance.',
    ),
    'gallery': (
        'gallery',
        'The people among whom the evaluator looks for the one most like a reconstruction: the '
        'members and the same number of strangers.',
    ),
    'generator': (
        'generator',
        'A network that draws faces of people who do not exist; a search steers it towards people '
        'that the backbone was trained on.',
    ),
    'hit': (
        'hit',
        'A reconstruction whose nearest person in the gallery is a member, with a cosine that '
        "passes the evaluator's threshold.",
    ),
    'interval': (
        '95 % interval',
        'A range for the true value: of 100 such intervals, each from other people of the same '
        'kind, about 95 contain it.',
    ),
    'logit': (
        'logit',
        'The attack\'s answer for a photograph or a person, as a number: above 0 means "member", '
        'below 0 "stranger"; the further from 0, the surer.',
    ),
    'member': (
        'member',
        'A photograph, or a person, that the backbone was trained on.',
    ),
    'null': (
        'null control',
        'The same attack on strangers only, half of whom are called members: there is nothing to '
        'find, so its interval should include 0.5.',
    ),
    'p': (
        'relabelling p',
        'The share of random relabellings of the gallery, as members and strangers, with at least '
        'as many hits: a small p means that chance does not explain the hits.',
    ),
    'pictures': (
        'pictures alone',
        'Plain statistics of the pictures, such as their brightness, in place of the backbone: if '
        'they tell the two sides apart as well as the attack does, the attack shows nothing about '
        'training.',
    ),
    'precision': (
        'precision',
        'The share of reconstructions that lie where photographs lie.',
    ),
    'recall': (
        'recall',
        'The share of photographs that lie where reconstructions lie.',
    ),
    'sha256': (
        'SHA-256',
        'A fingerprint of a file: files with the same fingerprint are identical.',
    ),
    'stranger': (
        'stranger',
        'A photograph, or a person, that the backbone was not trained on.',
    ),
    'template': (
        'stored template',
        "A person's embedding as a recognition system keeps it.",
    ),
    'top1': (
        'Top-1',
        'The share of reconstructions for which the evaluator finds the intended person to be the '
        'most similar of all members.',
    ),
    'top5': (
        'Top-5',
        'The share of reconstructions for which the evaluator finds the intended person among the '
        'five most similar members.',
    ),
    'tpr': (
        'found at 1 %',
        "The share of members found when the attack's threshold is so strict that it takes only 1 "
        '% of the strangers for members (10 % and 0.1 % likewise).',
    ),
}
"""Key -> (term, what it means)."""

SENTENCES = {
    'interval': '95.%.interval',
    'control': 'controls?',
    'generator': 'face generator',
    'template': 'stored embedding',
    'backbone': 'backbone',
    'stranger': 'strangers?',
    'member': 'members?',
}
"""Key -> pattern of its words in a verdict's sentences (not within other words or flags)."""
_PATTERN = re.compile(
    '|'.join(rf'(?<![\w-])(?P<{key}>{words})(?![\w-])' for key, words in SENTENCES.items())
)


class Glossary:
    """Marks the terms of one page, and remembers those that occur.

    Attributes:
      used: (key, term, what it means), in alphabetical order.
    """

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def term(self, key: str, text: str = '') -> markupsafe.Markup:
        """Returns the term as a link to its entry, with what it means as `data-tip`.

        Args:
          key: of `TERMS`.
          text: shown in place of the term.
        """
        self._keys.add(key)
        name, meaning = TERMS[key]
        return markupsafe.Markup(
            '<a class="term" href="#term-{0}" aria-describedby="term-{0}" data-tip="{1}">{2}</a>'
        ).format(key, meaning, text or name)

    def explained(self, text: str) -> markupsafe.Markup:
        """Returns a text in which the first occurrence of each term is a link."""
        parts, end = [], 0
        for found in _PATTERN.finditer(text):
            key = found.lastgroup
            if key is None or key in self._keys:
                continue
            parts += [markupsafe.escape(text[end : found.start()]), self.term(key, found[0])]
            end = found.end()
        return markupsafe.Markup('').join([*parts, text[end:]])

    @property
    def used(self) -> list[tuple[str, str, str]]:
        """The entries of the list at the end of the page."""
        found = [(key, *TERMS[key]) for key in self._keys]
        return sorted(found, key=lambda entry: entry[1].casefold())
