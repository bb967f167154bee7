"""A client's day in eight steps: ask, decide, submit, follow, fetch, remix, be refused, tidy up.

Start a server first (`.venv/bin/i2v serve`), then run this file with the same environment:

    .venv/bin/python examples/quickstart.py

It talks to `http://127.0.0.1:8000`, or to the server that `I2V_SERVER` names, and leaves its clips in
`demo-output/quickstart`, or in the directory given as its argument. Everything here goes over HTTP: this file
would run on any machine that has the client and can reach the server.
"""

from __future__ import annotations

import sys
from pathlib import Path

from router.client import ApiError, Client, Video

PHOTOGRAPH = Path(__file__).resolve().parent / "photographs" / "landscape.jpg"


def main(out: Path) -> None:
    """Go through the steps; every error ends the script."""
    out.mkdir(parents=True, exist_ok=True)
    with Client() as client:
        look_around(client)
        decide(client)
        clip = submit(client)
        follow(client, clip)
        fetch(client, clip, out)
        other = remix(client, clip, out)
        be_refused(client)
        tidy_up(client, clip, other)


def look_around(client: Client) -> None:
    """1. Is the server ready, and what can it run?

    A `warm` model has a replica up, a `cold` one must start one first; an `absent` one is only a card.
    """
    health = client.health()
    if not health.ready:
        raise SystemExit(f"{client.server} is not ready: {health.checks}")
    here = [f"{model.id} ({model.readiness})" for model in client.models() if model.readiness != "absent"]
    print("1. models here:", ", ".join(here))


def decide(client: Client) -> None:
    """2. A dry run: the same decision that a submission would get, and nothing is made."""
    decision = client.route(PHOTOGRAPH, "Slow push in", camera=["push_in"], objective="preview", seconds=2)
    chosen = decision["chosen"]
    print(f"2. would be made by {chosen['model']} in {chosen['predicted']['seconds']} s, because")
    for name in ("makes", "camera_fit"):
        print(f"   {name}: {chosen['scores'][name]['reason']}")
    for row in decision["rejected"][:2]:
        print(f"   not by {row['model']} ({row['filter']}): {row['reason']}")


def submit(client: Client) -> Video:
    """3. Submit. The answer means that the job is in the database and survives any crash from here on.

    Every call of the client may be repeated: it draws an `Idempotency-Key` of its own and sends again when a
    connection is lost. Give your own key to make repeats safe across restarts of *your* program, too.
    """
    clip = client.create(
        PHOTOGRAPH,
        "Slow push in over the landscape",
        camera=["push_in"],
        objective="preview",
        seconds=2,
        size="480x320",
        seed=7,
        tags=["quickstart"],
    )
    print(f"3. {clip.id} is {clip.status}")
    return clip


def follow(client: Client, clip: Video) -> None:
    """4. Follow its events until it is final. A lost connection is taken up again where it broke.

    `client.wait(clip.id)` does the same by polling, at the pace that the server advises.
    """
    kinds = [event.type for event in client.events(clip.id)]
    print("4. events:", " ".join(kind for at, kind in enumerate(kinds) if kind not in kinds[:at]))


def fetch(client: Client, clip: Video, out: Path) -> None:
    """5. Download the clip and its pictures; a file appears only when it is complete.

    A failed job is a good answer that says `failed` and why; only the download of a clip that does not exist
    is an error.
    """
    done = client.retrieve(clip.id)
    if done.status != "completed":
        raise SystemExit(f"{done.id} {done.status}: {done.error}")
    video = client.download(clip.id, out / "clip.mp4")
    client.download(clip.id, out / "thumbnail.jpg", "thumbnail")
    client.download(clip.id, out / "spritesheet.jpg", "spritesheet")
    usage = done.usage or {}
    print(f"5. {video} by {done.served_model} in {usage['actual_seconds']} s")
    print(f"   {usage['predicted_seconds']} s were predicted")


def remix(client: Client, clip: Video, out: Path) -> Video:
    """6. The same photograph with other words; what is not said stays as it was."""
    other = client.wait(client.remix(clip.id, "Pan left", camera=["pan_left"]).id)
    client.download(other.id, out / "remix.mp4")
    print(f"6. {other.id} is a remix of {other.remixed_from_video_id}: {other.status}, {other.size}")
    return other


def be_refused(client: Client) -> None:
    """7. Ask for what no model can do: the answer says why, and what would fit instead."""
    try:
        client.create(PHOTOGRAPH, "Slow push in", model="parallax", size="3840x2160")
    except ApiError as error:
        print(f"7. refused with {error.status} {error.code}; what would fit:")
        for offer in error.body["decision"]["counter_offers"]:
            print(f"   {offer['change']}")
    else:
        raise SystemExit("a 4K clip was accepted")


def tidy_up(client: Client, *clips: Video) -> None:
    """8. Delete: cancels what still runs, then removes the job, its words and its media."""
    for clip in clips:
        client.delete(clip.id)
    print(f"8. deleted {len(clips)} jobs; {sum(1 for _ in client.list())} are left")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output/quickstart"))
