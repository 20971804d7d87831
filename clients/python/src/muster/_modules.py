"""The caller's own modules, as executors import them: one archive of their sources."""

from __future__ import annotations

import importlib.util
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Union

#: A module or its name, or a path of a module's file or of a package's folder.
ModuleSource = Union[ModuleType, str, "os.PathLike[str]"]

#: The same sources make the same archive, so that whoever has it already is known by its digest.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_NOT_SHIPPED = ("__pycache__",)


def pack(modules: Sequence[ModuleSource]) -> bytes:
    """A zip archive from which all of these can be imported.

    Of a module within a package the whole package is taken, as it could not be imported without. A module without
    a source, such as a compiled one, is a ``ValueError``: executors need it installed.
    """
    written = io.BytesIO()
    names: set[str] = set()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in modules:
            for name, file in _files(_source(module)):
                if name not in names:
                    names.add(name)
                    archive.writestr(zipfile.ZipInfo(name, _TIMESTAMP), file.read_bytes())
    return written.getvalue()


def _source(module: ModuleSource) -> Path:
    """The file of a module, or the folder of a package."""
    if isinstance(module, ModuleType):
        return _source_of_name(module.__name__)
    text = os.fspath(module)
    if os.sep not in text and not text.endswith(".py"):
        return _source_of_name(text)
    path = Path(text)
    if path.is_dir() or (path.is_file() and path.suffix == ".py"):
        return path.resolve()
    raise ValueError(f"{path} is neither a module's file nor a package's folder")


def _source_of_name(name: str) -> Path:
    top = name.partition(".")[0]
    if top == "__main__":
        raise ValueError("functions of __main__ travel by themselves: only what can be imported is shipped")
    try:
        found = importlib.util.find_spec(top)
    except ValueError:
        # A module that was made without a specification.
        found = None
    if found is None:
        raise ValueError(f"there is no module {top}")
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations)))
    if found.origin is None or not found.origin.endswith(".py"):
        raise ValueError(f"the module {top} has no source that could be shipped: executors need it installed")
    return Path(found.origin)


def _files(source: Path) -> Iterator[tuple[str, Path]]:
    if source.is_file():
        yield source.name, source
        return
    for file in sorted(source.rglob("*")):
        inner = file.relative_to(source.parent)
        if file.is_file() and not any(part in _NOT_SHIPPED for part in inner.parts):
            yield str(inner), file
