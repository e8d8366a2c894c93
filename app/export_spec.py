"""What a user asks for of an export, and the spec that its job carries: which images of a dataset, and in which form."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain import ExportFormat
from app.paper_texts import NO_TEXTS, PaperTexts
from app.rules import CompressionRules
from app.spec import ALSO, BALANCE, MAX_IMAGES, MAX_PER_LABEL, WHERE, Also, Captions, Compression, JobSpec, Seed
from app.strict import Strict

__all__ = ["ExportRequest", "ExportSpec", "describe"]

COMPRESSION = "Encoding and size, made of the bytes that were fetched; default: the images as the dataset has them."


class ExportRequest(Strict):
    """An export of a dataset: the format, in which form, and which of its images."""

    export_format: ExportFormat
    also: Also = Field(default_factory=list, max_length=10, description=ALSO)
    storage_tier: Literal["standard"] = "standard"
    captions: Captions = Field(default="first", description="Captions in a .txt (webdataset, captions): the first, or all, one on a line.")
    where: str | None = Field(default=None, max_length=4000, description=WHERE)
    max_per_label: int | None = Field(default=None, ge=1, le=MAX_IMAGES, description=MAX_PER_LABEL)
    balance: bool = Field(default=False, description=BALANCE)
    compression: Compression | None = Field(default=None, description=COMPRESSION)
    shard_samples: int | None = Field(default=None, ge=1, description="Maximum samples in one shard; default: the setting.")
    shard_bytes: int | None = Field(default=None, ge=1_000_000, description="Maximum bytes in one shard; default: the setting.")
    seed: Seed = Field(default=0, description="Decides which images max_per_label and balance leave out.")


class ExportSpec(BaseModel):
    """What an export's job was asked to do, settled. All but format and tier is recorded in the export's ``options``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    export_format: ExportFormat
    storage_tier: Literal["standard"] = "standard"
    also: list[ExportFormat] = Field(default_factory=list)
    compression: CompressionRules | None = None
    captions: Captions = "first"
    where: str | None = None
    max_per_label: int | None = None
    balance: bool = False
    seed: int = 0
    papers: PaperTexts = NO_TEXTS
    shard_samples: int = 10_000
    shard_bytes: int = 1_000_000_000

    @classmethod
    def of_build(cls, spec: JobSpec) -> "ExportSpec":
        """The export of a build, which holds all that the build kept, or of a lock. The texts of its papers are those of the version."""
        if spec.lock is not None:
            return cls.of_export(spec.export_format, spec.storage_tier, spec.lock.header["export"]["options"])
        names = ("export_format", "storage_tier", "captions", "shard_samples", "shard_bytes")
        return cls(**{name: getattr(spec, name) for name in names})

    @classmethod
    def of_export(cls, export_format: Any, storage_tier: Any, options: Mapping[str, Any]) -> "ExportSpec":
        """The spec of an export's row."""
        return cls(export_format=export_format, storage_tier=storage_tier, **options)

    @property
    def options(self) -> dict[str, Any]:
        """What is recorded with the export."""
        return self.model_dump(mode="json", exclude={"export_format", "storage_tier", "also"})

    @property
    def asked(self) -> dict[str, Any]:
        """What its manifest says of it: the options that are no defaults."""
        defaults = ExportSpec(export_format=self.export_format).options | {"papers": self.options["papers"]}
        return {name: value for name, value in self.options.items() if value != defaults[name]}

    @property
    def formats(self) -> list[ExportFormat]:
        """The formats that are written, the first one first."""
        return [self.export_format, *self.also]

    @property
    def is_limited(self) -> bool:
        """Whether the images of a label are limited."""
        return self.balance or self.max_per_label is not None


def describe(options: Mapping[str, Any] | None) -> str:
    """The recorded options of an export that are no defaults, in a few words."""
    if options is None:
        return ""
    spec = ExportSpec.of_export("files", "standard", options)
    rules = spec.compression
    words = [] if rules is None else [rules.words]
    words += [f"where {spec.where}"] if spec.where else []
    words += [f"at most {spec.max_per_label} of a label"] if spec.max_per_label else []
    words += ["balanced"] if spec.balance else []
    words += ["all captions"] if spec.captions == "all" else []
    return ", ".join(words)
