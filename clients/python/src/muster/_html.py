"""Tables for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


def table(title: str, rows: Mapping[str, object]) -> str:
    """A table of what is there. All text is escaped, since names and messages come from outside."""
    shown = {name: value for name, value in rows.items() if value is not None and value != ""}
    body = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(str(value))}</td></tr>'
        for name, value in shown.items()
    )
    return f"<table><caption>{escape(title)}</caption>{body}</table>"
