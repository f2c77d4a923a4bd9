"""The reference page of all controls, written from the controls themselves."""

from collections.abc import Sequence

from qlrf_pipelines.domain.compliance import Control, Framework, framework_rows
from resources.controls import FolderControls

_HEAD = """\
# Controls

Generated from `policies/`; do not edit. See also
[how verdicts come about](../guide/compliance.md).

A control is judged over the facts it lists; where one is missing, its verdict is `never_proven`.
"""


def controls_markdown() -> str:
    """Every framework and control, as one page of Markdown."""
    store = FolderControls()
    controls, frameworks = store.load(), store.frameworks()
    parts = [_HEAD, _frameworks(controls, frameworks), _index(controls)]
    return "\n".join([*parts, *map(_control, controls)])


def _frameworks(controls: Sequence[Control], frameworks: Sequence[Framework]) -> str:
    rows = framework_rows(controls, frameworks)
    lines = ["## Frameworks", ""]
    for framework in frameworks:
        lines += [f"### {framework.name}, {framework.version} (`{framework.id}`)", ""]
        lines += ["| requirement | in our words | controls |", "|---|---|---|"]
        for item in framework.requirements:
            serving = ", ".join(
                f"[{row['control_id']}](#{row['control_id']})"
                for row in rows
                if (row["framework"], row["requirement"]) == (framework.id, item.id)
            )
            lines.append(f"| {item.id} | {item.title} | {serving} |")
        lines.append("")
    return "\n".join(lines)


def _index(controls: Sequence[Control]) -> str:
    lines = ["## All controls", "", "| control | severity | kind | title |", "|---|---|---|---|"]
    lines += [f"| [{c.id}](#{c.id}) | {c.severity} | {_kind(c)} | {c.title} |" for c in controls]
    return "\n".join([*lines, ""])


def _control(control: Control) -> str:
    served = "; ".join(
        f"{name} {', '.join(ids)}" for name, ids in sorted(control.frameworks.items())
    )
    lines = [f"### {control.id}", "", f"**{control.title}.** {control.description}", ""]
    lines += [f"- Severity: {control.severity}; {_kind(control)}"]
    if control.facts:
        lines.append("- Facts: " + ", ".join(f"`{fact}`" for fact in control.facts))
    lines += [f"- Serves: {served}", f"- To do: {control.remediation}", ""]
    return "\n".join(lines)


def _kind(control: Control) -> str:
    return "manual" if control.sql is None else "automated"
