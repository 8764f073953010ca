"""Hooks of MkDocs: pages made of other files, links that leave docs/, equations, tables of options.

A page of docs/ is read as a file, too, so its links name files of the repository. Here they become links
of the site. A link to a file that does not exist is a warning, which fails the build.
"""

import ast
import json
import logging
import pathlib
import posixpath
import re

from latex2mathml import converter
from mkdocs.structure.files import File

_LOG = logging.getLogger('mkdocs.hooks.docs_pages')
_ROOT = pathlib.Path(__file__).resolve().parent.parent

# Page of the site -> the file that it is made of.
_MADE_OF = {
    'launching.md': 'launch/README.md',
    'contributing.md': 'CONTRIBUTING.md',
    'changes.md': 'CHANGELOG.md',
    'tutorial.md': 'docs/tutorial.ipynb',
}
_PAGES = {source: page for page, source in _MADE_OF.items()}

_LINK = re.compile(r'(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)')
_CODE = re.compile(r'(^```.*?^```|`[^`\n]+`)', re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r'^\$\$\n(.*?)\n\$\$$', re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r'\$`([^`]+)`\$')
_OPTIONS = re.compile(r'^<!-- options of (\w+) -->$', re.MULTILINE)


def on_config(config):
    """Adds the studies to the navigation, in the order of their names."""
    studies = sorted((_ROOT / 'docs/results').rglob('*.md'))
    index = (_ROOT / 'docs/results/README.md').read_text(encoding='utf-8')
    for study in studies:
        page = study.relative_to(_ROOT / 'docs').as_posix()
        if page != 'results/README.md':
            config.nav[-1]['Results'].append(page)
            if page.removeprefix('results/') not in index:
                _LOG.warning('docs/results/README.md does not name %s', page)
    return config


def on_files(files, config):
    """Adds the pages that are made of files elsewhere."""
    for page, source in _MADE_OF.items():
        text = (_ROOT / source).read_text(encoding='utf-8')
        if source.endswith('.ipynb'):
            text = _notebook(json.loads(text), posixpath.basename(source))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Puts in options and equations, and leads links into the site."""
    place = page.file.src_uri
    markdown = _OPTIONS.sub(lambda found: _table(found[1]), markdown)
    markdown = _BLOCK.sub(lambda found: converter.convert(found[1], display='block'), markdown)
    # Within a span: Markdown takes a line that begins with an equation for a block.
    markdown = _INLINE.sub(lambda found: f'<span>{converter.convert(found[1])}</span>', markdown)
    parts = _CODE.split(markdown)  # every second one is code
    parts[::2] = [_LINK.sub(lambda found: _led(found, place), part) for part in parts[::2]]
    return ''.join(parts)


def _led(found, place):
    """A link of a page, from a file of the repository to a page of the site."""
    label, address = found.groups()
    path, _, anchor = address.partition('#')
    if '://' in address or address.startswith('mailto:') or not path:
        return found[0]
    folder = posixpath.dirname(_MADE_OF.get(place, f'docs/{place}'))
    file = posixpath.normpath(posixpath.join(folder, path))
    if not (_ROOT / file).exists():
        _LOG.warning('%s links to %s, which does not exist', place, file)
    if (_ROOT / file).is_dir() and (_ROOT / file / 'README.md').exists():
        file += '/README.md'
    wanted = _PAGES.get(file) or (file.removeprefix('docs/') if file.startswith('docs/') else '')
    if not wanted:
        return label  # a file that the site does not show
    led = posixpath.relpath(wanted, posixpath.dirname(place) or '.')
    return f'[{label}]({led}{"#" + anchor if anchor else ""})'


def _table(name):
    """The options of a class of config.py, as the declarations say."""
    tree = ast.parse((_ROOT / 'fr_inference/config.py').read_text(encoding='utf-8'))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    rows = ['| option | default | what |', '|---|---|---|']
    for node in _with_bases(name, classes):
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.value, ast.Call):
                default, text, *_ = field.value.args
                said = ast.unparse(default)
                said = {'...': 'required', 'None': '', '()': ''}.get(said, f'`{said}`')
                text = ast.literal_eval(text).replace('|', '\\|').replace('*', '\\*')
                rows.append(f'| `{field.target.id}` | {said} | {text} |')
    return '\n'.join(rows)


def _with_bases(name, classes):
    for base in classes[name].bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _with_bases(base.id, classes)
    yield classes[name]


def _notebook(notebook, name):
    """A page of a notebook: its text, its code, and what the code printed."""
    parts = []
    for cell in notebook['cells']:
        text = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown':
            parts.append(text)
            continue
        parts.append(f'```python\n{text}\n```')
        for output in cell['outputs']:
            data = output.get('data', {})
            if 'image/png' in data:
                image = ''.join(data['image/png']).strip()
                parts.append(
                    f'<img alt="Output of the cell above" src="data:image/png;base64,{image}">'
                )
            else:
                printed = ''.join(output.get('text') or data.get('text/plain') or [])
                parts.append(f'```text\n{printed.rstrip()}\n```')
    parts[0] += f'\n\n<a href="{name}">The notebook</a> itself runs in Jupyter.'
    return '\n\n'.join(parts)
