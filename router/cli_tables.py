"""Decisions, jobs and models as tables for people; the CLI and the demo share them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.cli_words import progress_text, seconds_text, shape_text, time_text, usd_text
from router.client import Model, Video

Json = Mapping[str, Any]
SHOWN = 12
"""Rows of a long list that are shown; `--json` has them all."""
OPTIONS = {"deadline_s": "--deadline", "max_cost_usd": "--max-cost"}
"""Options that are not called as the fields of the API are."""
STATUS_STYLES = {
    "completed": "green",
    "failed": "red",
    "expired": "red",
    "cancelled": "yellow",
    "in_progress": "cyan",
}


def decision_view(decision: Json) -> RenderableType:
    """A Decision JSON: who could make the clip, why the best one was chosen, who could not, what to do.

    Args:
        decision: As `policies.render.decision_json` writes it and the API shows it.
    """
    chosen = decision["chosen"]
    parts: list[RenderableType] = [_features_line(decision["features"])]
    if chosen is None:
        parts.append(Text("No model can do this.", style="bold red"))
    else:
        parts += [_chosen_line(chosen, decision["profile"]), _candidates(decision), _scores(chosen)]
    if decision["rejected"]:
        parts.append(_rejected(decision["rejected"]))
    parts += [
        Text.assemble(("clash   ", "bold red"), clash["reason"]) for clash in decision.get("clashes", ())
    ]
    if decision["counter_offers"]:
        parts.append(_counter_offers(decision["counter_offers"]))
    parts += [Text.assemble(("note    ", "bold yellow"), line) for line in decision.get("notes", ())]
    advice = [Text.assemble(("advice  ", "bold yellow"), line) for line in decision["advice"]]
    return Group(*parts, *([Text(), *advice] if advice else []))


def clip_facts(video: Video, path: str) -> RenderableType:
    """What came out: the file, its shape, who made it, how long it took and what it cost."""
    lines = [Text.assemble(("clip    ", "bold green"), path, "  ", shape_text(_effective(video)))]
    usage = video.usage or {}
    made = [f"made by {video.served_model or video.model}"]
    if (actual := usage.get("actual_seconds")) is not None:
        made.append(f"in {seconds_text(actual)}")
    if (predicted := usage.get("predicted_seconds")) is not None:
        made.append(f"({seconds_text(predicted)} predicted)")
    made.append(f"for {usd_text(usage.get('usd'))}")
    if video.seed is not None:
        made.append(f"with seed {video.seed}")
    lines.append(Text("        " + " ".join(made)))
    return Group(*lines)


def job_view(video: Video) -> RenderableType:
    """One job in full: state, shape, attempts, error."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    detail = video.progress_detail
    rows: list[tuple[str, str | Text | None]] = [
        ("job", video.id),
        ("status", status_text(video)),
        ("progress", f"{video.progress} %" + (f", {progress_text(video)}" if detail else "")),
        ("prompt", video.prompt),
        ("asked for", video.model),
        ("served by", video.served_model),
        ("clip", shape_text(_effective(video))),
        ("created", time_text(video.created_at)),
        ("completed", time_text(video.completed_at)),
        ("kept until", time_text(video.expires_at)),
        ("remix of", video.remixed_from_video_id),
        ("cost", usd_text(video.usage.get("usd")) if video.usage else None),
        ("paid in all", usd_text(spent) if (spent := (video.usage or {}).get("spent_usd")) else None),
        ("error", Text(f"{video.error.code}: {video.error.message}", style="red") if video.error else None),
    ]
    for name, value in rows:
        if value:
            table.add_row(name, value if isinstance(value, Text) else Text(value))
    for attempt in video.attempts or ():
        reason = f": {attempt.error.get('message', '')}" if attempt.error else ""
        place = f"{attempt.model}/{attempt.offer} on {attempt.gpus} GPU(s)"
        table.add_row(f"attempt {attempt.attempt}", Text(f"{attempt.status}, {place}{reason}"))
        for call in attempt.calls:
            ended = call.outcome or call.state
            told = f"{call.provider}/{call.account} {call.ticket or '(no ticket)'}: {ended}"
            table.add_row("", Text(f"{told}, {usd_text(call.usd)}", style="dim"))
    return table


def jobs_table(videos: Iterable[Video]) -> Table:
    """One line for each job."""
    table = _table("job", "status", ">%", "model", "clip", "created", "prompt")
    for video in videos:
        table.add_row(
            Text(video.id),
            status_text(video),
            str(video.progress),
            Text(video.served_model or video.model),
            shape_text(_effective(video)),
            time_text(video.created_at),
            Text(_shortened(video.prompt or "", 40)),
        )
    return table


def models_table(models: Iterable[Model]) -> Table:
    """One line for each card."""
    table = _table("model", "title", "tasks", "licence", "status", "readiness")
    styles = {"warm": "green", "cold": "cyan", "unhealthy": "red", "absent": "dim"}
    for model in models:
        status = model.status + (f" → {model.replacement}" if model.replacement else "")
        table.add_row(
            Text(model.id, style="bold"),
            Text(model.title),
            Text(", ".join(model.tasks)),
            Text(model.licence),
            Text(status),
            Text(model.readiness, style=styles.get(model.readiness, "")),
        )
    return table


def status_text(video: Video) -> Text:
    """The status in its colour."""
    return Text(video.status, style=STATUS_STYLES.get(video.status, ""))


def _effective(video: Video) -> Json | None:
    effective = video.geometry.effective if video.geometry is not None else None
    return effective.model_dump() if effective is not None else None


def _table(*columns: str) -> Table:
    """A plain table; a column that begins with `>` is a number and aligned right."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        right = column.startswith(">")
        table.add_column(
            column.removeprefix(">"),
            justify="right" if right else "left",
            header_style="dim",
            no_wrap=right,
            overflow="fold",
        )
    return table


def _titled(title: str, table: Table) -> Group:
    # Not the table's own title: that is wrapped to the table's width.
    return Group(Text(f"\n{title}", style="bold"), table)


def _features_line(features: Json) -> Text:
    image, prompt = features["image"], features["prompt"]
    faces = len(image["faces"])
    words = [f"{image['width']}x{image['height']} {image['orientation']}"]
    sure = image["subject_confidence"]
    words.append(f"{image['subject']} ({sure:.0%} sure)" if sure else "subject unknown")
    if faces:
        words.append(f"{faces} face{'s' if faces > 1 else ''}")
    if prompt["camera"]:
        words.append("camera: " + ", ".join(prompt["camera"]))
    motions = [*prompt["subject_motion"], *prompt["environment_motion"]]
    if motions:
        words.append("motion: " + ", ".join(motions))
    if prompt["intensity"]:
        words.append(prompt["intensity"])
    return Text.assemble(("seen    ", "bold"), " · ".join(words))


def _chosen_line(chosen: Json, profile: str) -> Text:
    name = f"{chosen['model']}/{chosen['offer']}"
    rest = f"  {shape_text(chosen['geometry'])}  (profile {profile})"
    return Text.assemble(("chosen  ", "bold green"), (name, "bold"), rest)


def _candidates(decision: Json) -> Group:
    groups = _by_clip(decision["candidates"])
    table = _table(
        *("model/offer", "clip", ">GPUs", "also on", ">utility", ">makes in", ">waits"),
        *(">cost", ">quality", ">on time"),
    )
    for place, (candidate, others) in enumerate(groups[:SHOWN]):
        predicted = candidate["predicted"]
        table.add_row(
            Text(f"{candidate['model']}/{candidate['offer']}"),
            shape_text(candidate["geometry"]),
            str(candidate["gpus"]),
            ", ".join(map(str, sorted(others))),
            f"{candidate['utility']:.3f}",
            seconds_text(predicted["seconds"]),
            seconds_text(predicted["wait_seconds"]),
            usd_text(predicted["usd"]),
            f"{predicted['quality']:.2f}",
            f"{predicted['on_time']:.0%}",
            style="bold" if place == 0 else "",
        )
    return _titled(_counted("Candidates, best first", len(groups)), table)


def _by_clip(candidates: Sequence[Json]) -> list[tuple[Json, set[int]]]:
    """One entry for each offer and clip, best first: its best candidate and the other GPU counts."""
    groups: dict[tuple[object, ...], tuple[Json, set[int]]] = {}
    for candidate in candidates:
        key = (candidate["model"], candidate["offer"], *candidate["geometry"].values())
        best, others = groups.setdefault(key, (candidate, set()))
        if candidate["gpus"] != best["gpus"]:
            others.add(candidate["gpus"])
    return list(groups.values())


def _scores(chosen: Json) -> Group:
    table = _table("score", ">value", ">weight", "because")
    for name, score in chosen["scores"].items():
        table.add_row(name, f"{score['value']:.2f}", f"{score['weight']:g}", Text(score["reason"]))
    return _titled(f"Why {chosen['model']}", table)


def _rejected(rejected: Sequence[Json]) -> Group:
    table = _table("model/offer", "filter", "because")
    for row in _spread(rejected):
        # A retired model has no offer left.
        name = f"{row['model']}/{row['offer']}" if row["offer"] else row["model"]
        table.add_row(Text(name), Text(row["filter"]), Text(row["reason"]))
    return _titled(_counted("Rejected", len(rejected)), table)


def _spread(rejected: Sequence[Json]) -> Iterable[Json]:
    """The first of each filter before the second of any, so that a short list shows every kind of reason."""
    seen: dict[str, int] = {}
    ranked = []
    for index, row in enumerate(rejected):
        turn = seen[row["filter"]] = seen.get(row["filter"], 0) + 1
        ranked.append((turn, index))
    shown = sorted(index for _, index in islice(sorted(ranked), SHOWN))
    return [rejected[index] for index in shown]


def _counter_offers(offers: Sequence[Json]) -> Group:
    table = _table("change", "options", "then", "clip", ">makes in", ">cost", ">saves")
    for offer in offers:
        chosen = offer["chosen"]
        table.add_row(
            Text(offer["change"], style="bold"),
            Text(flags_text(offer.get("patch", {}))),
            Text(f"{chosen['model']}/{chosen['offer']}"),
            shape_text(chosen["geometry"]),
            seconds_text(chosen["predicted"]["seconds"]),
            usd_text(chosen["predicted"]["usd"]),
            _saves_text(offer.get("saves", {})),
        )
    return _titled("What would fit", table)


def flags_text(patch: Json) -> str:
    """A counter-offer's patch as the options of `i2v run` and `i2v route`."""
    return " ".join(_flag(field, value) for field, value in patch.items())


def _flag(field: str, value: object) -> str:
    option = OPTIONS.get(field, "--" + field.replace("_", "-"))
    if value is None or value is False:
        return f"no {option}"
    if value is True:
        return option
    if field == "camera" and isinstance(value, list):
        return " ".join(f"{option} {move}" for move in value)
    shown = ",".join(map(str, value)) if isinstance(value, list) else value
    return f"{option} {shown:g}" if isinstance(shown, float) else f"{option} {shown}"


def _saves_text(saves: Json) -> str:
    """What is saved; what is not is left out."""
    parts = []
    if (seconds := saves.get("seconds")) is not None and seconds > 0:
        parts.append(seconds_text(seconds))
    if (usd := saves.get("usd")) is not None and usd > 0:
        parts.append(usd_text(usd))
    return ", ".join(parts)


def _counted(title: str, total: int) -> str:
    return title if total <= SHOWN else f"{title} ({SHOWN} of {total}; --json shows all)"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
