"""Every environment variable of the product, in one place, with its default and its reason."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from `I2V_*`; an unknown field in code is an error, an unset variable takes its default."""

    model_config = SettingsConfigDict(env_prefix="I2V_", extra="ignore", frozen=True)

    home: Path = Path(".i2v")
    """Where a single node keeps its state."""
    database_url: str = ""
    """SQLAlchemy URL (`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`); empty: SQLite under `home`."""
    media_url: str = ""
    """fsspec URL (`file:///…`, `s3://…`); empty: a directory under `home`."""
    cards: Path | None = None
    """Overlay directory of cards and profiles: its ids replace or join the shipped ones."""
    models: Path | None = None
    """Root of local checkpoints: `<root>/<card id>` is loaded instead of the hub id."""
    secrets: Path | None = None
    """File of `NAME=value` lines with providers' keys, readable by its owner alone; the environment wins."""
    public_url: str | None = None
    """Where the Gateway is reached from outside (`https://…`): there providers call back; None: nowhere."""
    scratch: Path | None = None
    """Where workers keep the states of clips under way; None: shared memory where there is enough, else the
    system's temporary directory."""
    max_upload_bytes: int = Field(default=25 * 2**20, gt=0)
    """Largest photograph, and largest request body where nothing larger may be sent."""
    max_video_bytes: int = Field(default=100 * 2**20, gt=0)
    """Largest driving video: half a minute of 1080p at 25 Mbit/s."""
    max_audio_bytes: int = Field(default=20 * 2**20, gt=0)
    """Largest audio file: two minutes of uncompressed stereo at 44.1 kHz."""
    max_image_pixels: int = Field(default=40_000_000, gt=0)
    """Largest decoded photograph: above a 36-megapixel camera, below what exhausts memory (120 MB RGB)."""
    retain_s: float = 7 * 86_400.0
    """How long a finished clip is kept."""
    queue_ttl_s: float = 86_400.0
    """How long a job may wait before it expires."""
    default_due_s: float = 3_600.0
    """Order in the queue of a job without a deadline: as if it were due in an hour."""
    retry_window_s: float = 600.0
    """A client's retry with the same content inside this window is the same job."""
    lease_s: float = 20.0
    """A running attempt is lost when its worker was silent this long (four missed beats)."""

    checkpoint_s: float = 30.0
    """Between copies of a running clip's state in the media store: what a lost machine costs at most."""
    stall_s: float = 120.0
    """Silence of a worker's ranks that counts as a stall where no steps are counted, and in the first one."""
    stall_step_s: float = 60.0
    """The same between steps, for steps of less than a third of it."""

    @property
    def max_body_bytes(self) -> int:
        """Largest request body of a clip: two images, a driving video and a sound, each the largest there is.

        As files; as `data:` URIs, which take four bytes for three, not all of them fit at once.
        """
        return 2 * self.max_upload_bytes + self.max_video_bytes + self.max_audio_bytes + 2**20

    @property
    def resolved_database_url(self) -> str:
        """The database, with the default filled in."""
        if self.database_url:
            return self.database_url
        return f"sqlite+aiosqlite:///{self.home.resolve() / 'jobs.db'}"

    @property
    def resolved_media_url(self) -> str:
        """The media store, with the default filled in."""
        return self.media_url or (self.home.resolve() / "media").as_uri()
