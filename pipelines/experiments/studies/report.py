"""The report: one content, written as a self-contained HTML page and as Markdown."""

from __future__ import annotations

import base64
import dataclasses
import html
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.experiments.studies import figures, markdown, plan, provenance, tables
from pipelines.experiments.studies.report_style import PAGE
from pipelines.experiments.studies.results import Results
from pipelines.experiments.studies.tables import Cell, Table
from pipelines.experiments.studies.verdicts import verdicts
from ssl_recsys import files, schema

_FIGURES_DIR = "figures"


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
      title: its heading.
      paragraphs: plain text.
      tables: below the paragraphs.
      figures: below the tables: name, caption, SVG.
    """

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[tuple[str, str, bytes]] = ()


def write(
    directory: pathlib.Path,
    results: Results,
    info: schema.DatasetInfo,
    frequency: Mapping[str, Any] | None,
) -> None:
    """Writes report.html, report.md and figures/ into the study's directory.

    Args:
      directory: the study's directory.
      results: its results; the report says how many runs are missing.
      info: its dataset.
      frequency: what `item_frequency.measure` gives for the dataset, or None.
    """
    title = f"Self-supervised item retrieval on {info.name}"
    sections = content(results, info, frequency, provenance.read(directory))
    for section in sections:
        for name, _, svg in section.figures:
            files.write_text(directory / _FIGURES_DIR / f"{name}.svg", svg.decode("utf-8"))
    files.write_text(directory / "report.html", to_html(title, sections))
    files.write_text(directory / "report.md", to_markdown(title, sections))


def content(
    results: Results,
    info: schema.DatasetInfo,
    frequency: Mapping[str, Any] | None,
    starts: Sequence[Mapping[str, Any]],
) -> list[Section]:
    """The report's sections."""
    study = results.study
    drawn = {
        drawing.name: (drawing.name, drawing.caption, figures.to_svg(drawing))
        for drawing in figures.drawings(results, frequency)
    }

    def show(*names: str) -> list[tuple[str, str, bytes]]:
        return [drawn[name] for name in names if name in drawn]

    return [
        Section(
            "In short",
            _summary(results, info),
            [tables.headline_table(results), _verdict_table(results)],
        ),
        Section(
            "Methods compared", (), [tables.overall_table(results, one) for one in study.fractions]
        ),
        Section(
            "Head and tail",
            (_head_text(info),),
            [tables.slice_table(results, one) for one in study.fractions],
            show("head_tail", "item_frequency"),
        ),
        Section("Alpha", (), [tables.choice_table(results)], show("alpha")),
        Section("Dropout rate", (), (), show("dropout")),
        Section(
            "Training",
            (),
            [tables.rate_table(results), tables.speed_table(results)],
            show("training"),
        ),
        Section("Item embeddings", (), [tables.diagnostics_table(results)], show("embeddings")),
        Section("Data", (), [_data_table(info)]),
        Section("Protocol", _protocol(results)),
        Section("What it was run with", (), [_provenance_table(results, starts)]),
    ]


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The page, which needs no other file."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        if not (section.paragraphs or section.tables or section.figures):
            continue
        body.append(f"<section><h2>{html.escape(section.title)}</h2>")
        body += [f"<p>{html.escape(text)}</p>" for text in section.paragraphs]
        body += [_table_html(table) for table in section.tables]
        body += [_figure_html(*figure) for figure in section.figures]
        body.append("</section>")
    return PAGE.substitute(title=html.escape(title), body="\n".join(body))


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """The same for a reader of plain text; figures are files beside it."""
    lines = [f"# {markdown.escape(title)}"]
    for section in sections:
        if not (section.paragraphs or section.tables or section.figures):
            continue
        lines += ["", f"## {markdown.escape(section.title)}"]
        for text in section.paragraphs:
            lines += ["", markdown.escape(text)]
        for table in section.tables:
            lines += ["", *markdown.table(table)]
        for name, caption, _ in section.figures:
            shown = markdown.escape(caption)
            lines += ["", f"![{shown}]({_FIGURES_DIR}/{name}.svg)", "", shown]
    return "\n".join(lines) + "\n"


def _summary(results: Results, info: schema.DatasetInfo) -> list[str]:
    sizes = plan.stage_sizes(results.study)
    done, planned = len(results.records), sum(sizes.values())
    texts = [
        f"The study of Yao et al. (arXiv 2007.12865) on {info.name}: {info.num_items:,} items, "
        f"{info.num_pairs['train']:,} training pairs, {planned} training runs. Verdicts are "
        "computed from the numbers below: agree and disagree are given where a test over seeds "
        "tells the difference from chance (p < 0.05), else not decided; questions on the curves "
        "over alpha and the dropout rate rest on few seeds of validation data."
    ]
    if done < planned:
        texts.append(f"INCOMPLETE: {done} of {planned} runs are finished.")
    return texts


def _verdict_table(results: Results) -> Table:
    rows = [
        (one.question, [Cell([one.paper]), Cell([one.ours]), Cell([one.verdict])])
        for one in verdicts(results)
    ]
    return Table("Research questions", ("question", "the paper", "here", "verdict"), rows)


def _head_text(info: schema.DatasetInfo) -> str:
    fewer = f"fewer than {info.head.min_count} training pairs"
    if info.head.rule == schema.HEAD_IN_TRAINING:
        few = "no training pair, as in the paper's Wikipedia" if info.head.min_count == 1 else fewer
        return f"Tail: test pairs whose item has {few}."
    return (
        f"Tail: test pairs whose item is not among the {100 * info.head.fraction:g} % of the items "
        "with the most training pairs, as in the paper's AAI"
        + (f", or has {fewer}." if info.head.min_count > 1 else ".")
    )


def _data_table(info: schema.DatasetInfo) -> Table:
    def row(label: str, text: str) -> tuple[str, list[Cell]]:
        return label, [Cell([text])]

    features = [
        f"{spec.name} ({spec.kind}" + (f", {spec.vocab_size:,} ids)" if spec.is_embedded else ")")
        for spec in info.features
    ]
    rows = [
        row("items", f"{info.num_items:,}"),
        *(row(f"{split} pairs", f"{info.num_pairs[split]:,}") for split in schema.PAIR_SPLITS),
        row("features", ", ".join(features)),
        row("split", ", ".join(f"{name} {value}" for name, value in info.split.items()) or "-"),
    ]
    for source in info.sources:
        name = pathlib.PurePath(str(source.get("path", ""))).name
        rows.append(row("source", f"{name}, sha256 {source.get('sha256')}"))
    return Table(f"The dataset {info.name}", ("", ""), rows)


def _protocol(results: Results) -> list[str]:
    study = results.study
    shown = [(name, value) for name, value in sorted(study.base.items()) if name != "data_dir"]
    return [
        f"1. The baseline is tuned over {len(study.learning_rates)} learning rates on validation "
        "pairs; all methods then have its rate, as in the paper.",
        "2. Each self-supervised method's alpha is chosen from "
        f"{', '.join(f'{alpha:g}' for alpha in study.alphas)} by Recall@50 on validation pairs, "
        f"with all training pairs and {_seeds(study.choosing_seeds)}; it is kept for smaller "
        "fractions.",
        "3. The dropout rate is swept at alpha 1 on validation pairs; nothing is chosen from it."
        if study.dropout_rates
        else "3. The dropout rate is not swept.",
        f"4. The final runs have {_seeds(study.final_seeds, 'other ')}. They alone read test "
        "pairs. Of each run the epoch counts whose validation Recall@50 is best.",
        "Metrics are per test pair against the whole corpus by exact search; equal scores count "
        "against the model (docs/evaluation.md).",
        "All runs share: " + ", ".join(f"{name} {value}" for name, value in shown) + ".",
        *(
            f"With {100 * fraction:g} % of the training pairs: at most {epochs} epochs."
            for fraction, epochs in study.max_epochs_at
        ),
    ]


def _seeds(number: int, other: str = "") -> str:
    return f"{number} {other}seed" + ("" if number == 1 else "s")


def _provenance_table(results: Results, starts: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[tuple[str, list[Cell]]] = []
    for start in starts:
        versions = ", ".join(f"{name} {value}" for name, value in start["versions"].items())
        memory = f", {start['memory_gb']} GB" if start["memory_gb"] else ""
        rows += [
            ("command", [Cell([start["command"]])]),
            ("commit", [Cell([start["commit"]])]),
            ("versions", [Cell([f"Python {start['python']}, {versions}"])]),
            ("hardware", [Cell([f"{start['processor']}, cores: {start['cores']}{memory}"])]),
        ]
    hours = sum(record.training_seconds for record in results.records.values()) / 3600
    time = f"{len(results.records)} runs, {hours:.2f} hours of training steps in all"
    rows.append(("time", [Cell([f"{time} (start-up and evaluation apart)"])]))
    return Table("Provenance", ("", ""), rows)


def _table_html(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(one)}</th>' for one in table.columns)
    rows = "\n".join(_row_html(table.columns, *row) for row in table.rows)
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    is_text = any(
        len(line) > 60 for _, cells in table.rows for cell in cells for line in cell.lines
    )
    kind = "text" if is_text else "numbers"
    return (
        f"<h3>{html.escape(table.title)}</h3>"
        f'<div class="scroll" tabindex="0"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _row_html(columns: Sequence[str], label: str, cells: Sequence[Cell]) -> str:
    # A phone shows a table of text without its head, each cell under its column's name.
    shown = "".join(
        f'<td data-column="{html.escape(column)}">{_cell_html(cell)}</td>'
        for column, cell in zip(columns[1:], cells, strict=True)
    )
    return f'<tr><th scope="row">{html.escape(label)}</th>{shown}</tr>'


def _cell_html(cell: Cell) -> str:
    first, *rest = [html.escape(line) for line in cell.lines]
    value = f"<strong>{first}</strong>" if cell.best else first
    return value + "".join(f'<span class="under">{line}</span>' for line in rest)


def _figure_html(name: str, caption: str, svg: bytes) -> str:
    data = base64.b64encode(svg).decode("ascii")
    return (
        f'<figure id="{name}"><img alt="{html.escape(caption)}" '
        f'src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
