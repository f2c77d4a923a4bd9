"""The evidence of a drill as files: the PDF, written whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import Unavailable

if TYPE_CHECKING:
    from qlrf_pipelines.domain.drills import DrillRecord
    from qlrf_pipelines.ports.world import World


def report_document(world: "World", record: "DrillRecord") -> dict[str, Any]:
    """The sealed evidence of a closed drill as JSON."""
    from qlrf_pipelines.services.drill_report import drill_report

    return drill_report(world, record.drill.tenant, record.drill.id).as_json


def write_report(world: "World", record: "DrillRecord", path: Path, *, force: bool) -> None:
    """Write the report of a closed drill as a PDF.

    Raises:
        Refused: the drill is not closed, or there is a file of that name.
        Unavailable: the file cannot be written.
    """
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.drill_report import drill_report, drill_report_pdf
    from qlrf_pipelines.services.packs import replace_file

    report = drill_report(world, record.drill.tenant, record.drill.id)
    data = drill_report_pdf(wiring.reports(), report)
    temporary = path.with_name(f".{path.name}.{world.ids.new()}.part")
    try:
        temporary.write_bytes(data)
        replace_file(temporary, path, force=force)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error}; check space and rights.") from error
    finally:
        temporary.unlink(missing_ok=True)
