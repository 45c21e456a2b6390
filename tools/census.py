"""Prints figures of a layout: ``python3 tools/census.py [TREE]``, of this checkout or of the one in the folder TREE.

Nothing is imported: sources are parsed, so that any commit can be measured with any Python that reads its syntax.
Docstrings are all strings that stand for themselves, below a constant too.
"""

import argparse
import ast
import io
import math
import statistics
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FEWEST_LINES = 40
MOST_LINES = 300
LONGEST_FUNCTION = 40
EXEMPT = {"log", "logger"}  # each module has its own
LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.If, ast.Try, ast.With, ast.ExceptHandler)


@dataclass(frozen=True)
class Module:
    """A source file: its path below the tree, what is parsed of it, and its lines of code and of comment alone."""

    path: Path
    syntax: ast.Module
    code_lines: int
    comment_lines: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names that an import of it is made of."""
        parts = self.path.with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts


def main(tree: Path) -> None:
    modules = read_tree(tree)
    if not modules:
        raise SystemExit(f"census: {tree} holds no package")
    sections = {
        "Folders: modules, code lines, comment lines in percent of these": folder_rows(modules),
        f"Modules under {FEWEST_LINES} code lines, besides __init__.py": small_rows(modules),
        f"Modules over {MOST_LINES} code lines": large_rows(modules),
        "Public names that several modules define": shared_name_rows(modules),
        "Function lengths, lines from def to the end": length_rows(modules),
        f"Functions above {LONGEST_FUNCTION} lines": long_function_rows(modules),
        "Cycles between folders by imports, a module directly in sisock/ being a folder": cycle_rows(modules),
    }
    print("\n\n".join(table(title, rows) for title, rows in sections.items()))


def table(title: str, rows: list[tuple]) -> str:
    texts = [[str(cell) for cell in row] for row in rows] or [["none"]]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in texts]
    return "\n  ".join([title, *lines])


def source_paths(tree: Path) -> list[Path]:
    """Return the source files of the packages at the top of a tree, in order."""
    return sorted(path for mark in tree.glob("*/__init__.py") for path in mark.parent.rglob("*.py"))


def read_tree(tree: Path) -> list[Module]:
    return [read_module(path.read_text(), path.relative_to(tree)) for path in source_paths(tree)]


def read_module(text: str, path: Path) -> Module:
    syntax = ast.parse(text)
    alone = (node for node in ast.walk(syntax) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    docstrings = {line for node in alone if isinstance(node.value.value, str) for line in lines_of(node)}
    code, comments = set(), 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments += token.line.lstrip().startswith("#")
        elif token.type not in LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    return Module(path, syntax, len(code - docstrings), comments)


def lines_of(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def folder_rows(modules: list[Module]) -> list[tuple]:
    """Return modules, code lines and share of comments of each folder, and of all."""
    groups = defaultdict(list)
    for module in modules:
        groups[f"{module.path.parent}/"].append(module)
    return [folder_row(name, group) for name, group in [*sorted(groups.items()), ("all", modules)]]


def folder_row(name: str, modules: list[Module]) -> tuple:
    code = sum(module.code_lines for module in modules)
    comments = sum(module.comment_lines for module in modules)
    return name, len(modules), code, f"{100 * comments / code:.1f} %" if code else "-"


def small_rows(modules: list[Module]) -> list[tuple]:
    small = [one for one in modules if one.code_lines < FEWEST_LINES and one.path.name != "__init__.py"]
    return counted(small)


def large_rows(modules: list[Module]) -> list[tuple]:
    return counted(module for module in modules if module.code_lines > MOST_LINES)


def counted(modules: Iterable[Module]) -> list[tuple]:
    return sorted((module.code_lines, str(module.path)) for module in modules)


def shared_name_rows(modules: list[Module]) -> list[tuple]:
    places = defaultdict(list)
    for module in modules:
        for name in sorted(public_names(module.syntax.body)):
            places[name].append(str(module.path))
    return [(name, ", ".join(paths)) for name, paths in sorted(places.items()) if len(paths) > 1]


def public_names(body: Iterable[ast.stmt]) -> set[str]:
    """Return the public functions, classes and constants that statements define, those in an ``if`` or ``try`` too."""
    return {name for name in defined_names(body) if not name.startswith("_")} - EXEMPT


def defined_names(body: Iterable[ast.AST]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
            yield statement.name
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            inside = (node for target in targets for node in ast.walk(target))
            yield from (node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
        elif isinstance(statement, BLOCKS):
            yield from defined_names(ast.iter_child_nodes(statement))


def function_lengths(modules: list[Module]) -> list[tuple[int, str]]:
    """Return length and place of each function, those inside others too; docstrings count, decorators don't."""
    return sorted(
        (len(lines_of(node)), f"{module.path}:{node.lineno} {node.name}")
        for module in modules
        for node in ast.walk(module.syntax)
        if isinstance(node, FUNCTIONS)
    )


def length_rows(modules: list[Module]) -> list[tuple]:
    lengths = [length for length, _ in function_lengths(modules)]
    if not lengths:
        return []
    ninetieth = lengths[math.ceil(0.9 * len(lengths)) - 1]
    return [("functions", len(lengths)), ("median", f"{statistics.median(lengths):g}"), ("90th percentile", ninetieth)]


def long_function_rows(modules: list[Module]) -> list[tuple]:
    return [row for row in function_lengths(modules) if row[0] > LONGEST_FUNCTION]


def cycle_rows(modules: list[Module]) -> list[tuple]:
    """Return the arrows on cycles, with how many imports each is; folders that reach one another are one group."""
    arrows = folder_arrows(modules)
    after = defaultdict(set)
    for start, end in arrows:
        after[start].add(end)
    groups: list[frozenset[str]] = []
    for folder in sorted(after):
        group = frozenset(other for other in reached(after, folder) if folder in reached(after, other))
        if group and group not in groups:
            groups.append(group)
    return [
        (f"group {number}", f"{start} -> {end}", count, "imports" if count > 1 else "import")
        for number, group in enumerate(groups, 1)
        for (start, end), count in sorted(arrows.items())
        if {start, end} <= group
    ]


def folder_arrows(modules: list[Module]) -> Counter[tuple[str, str]]:
    """Return how many imports lead from each folder to each other, wherever in a module they stand."""
    known = {module.names: folder_of(module) for module in modules}
    arrows: Counter[tuple[str, str]] = Counter()
    for module in modules:
        for names in imported(module):
            target = known.get(names) or known.get(names[:-1])  # a module, or a name in one
            if target and target != folder_of(module):
                arrows[folder_of(module), target] += 1
    return arrows


def folder_of(module: Module) -> str:
    if module.path.parent.name == "sisock":
        return ".".join(module.names)
    return ".".join(module.path.parent.parts)


def imported(module: Module) -> Iterator[tuple[str, ...]]:
    """Yield what a module imports, as the names between the dots."""
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.path.parent.parts
            start = above[: len(above) - node.level + 1] if node.level else ()
            origin = (*start, *(node.module.split(".") if node.module else ()))
            yield from ((*origin, alias.name) for alias in node.names)


def reached(after: dict[str, set[str]], start: str) -> set[str]:
    """Return what can be reached along arrows."""
    names: set[str] = set()
    waiting = [start]
    while waiting:
        new = after.get(waiting.pop(), set()) - names
        names |= new
        waiting.extend(new)
    return names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", nargs="?", type=Path, default=ROOT, help="folder of a checkout; this one unless given")
    main(parser.parse_args().tree)
