"""Settings of the corpus: the recipe's `[corpus]` table."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from codekiln import registry
from codekiln.corpus.contamination.settings import ContaminationSettings
from codekiln.corpus.licences.settings import LicenceSettings
from codekiln.corpus.mixture.settings import MixtureSettings
from codekiln.corpus.ordering.order import Order
from codekiln.corpus.ordering.split import BYTES_PER_TOKEN
from codekiln.corpus.privacy.settings import PrivacySettings
from codekiln.corpus.quality.settings import QualitySettings
from codekiln.corpus.sources.metadata import CANDIDATES
from codekiln.corpus.sources.text_settings import TextSource
from codekiln.languages import table
from codekiln.recipe import Settings

DEFAULT_THRESHOLD = 0.7  # The Stack's; the paper gives none
# Settings that act when documents are composed, and such as no piece of work depends on by
# itself: changing them reads nothing again.
COMPOSE = {
    *("order", "sample", "max_sample_tokens", "bytes_per_token"),
    *("held_out_rate", "held_out_unit", "quality", "licences"),
}
GLOBAL = {
    *("repositories", "row_columns", "row_memory_bytes", "metadata_file"),
    *("text", "mixture", "dedup_threshold"),
}


class CorpusSettings(Settings):
    """`[corpus]`: which repositories, and how they become documents."""

    repositories: list[str] = Field(
        default_factory=list,
        description="folders, git repositories (PATH@REVISION), archives, Parquet or JSONL with a "
        "row for each file, hf: data sets, URLs of stores; globs are expanded",
    )
    row_columns: dict[str, str] = Field(
        default_factory=dict,
        description="columns of rows of files by role (content, path, repository, stars, updated, "
        "licence, fork_of), where their names don't tell",
    )
    row_memory_bytes: int = Field(
        1 << 30, gt=0, description="about what grouping rows of files to repositories takes"
    )
    metadata_file: str = Field(
        "",
        description="JSONL, CSV or Parquet with stars, updated, licence and fork_of by repository",
    )
    text: list[TextSource] = Field(
        default_factory=list,
        description="natural language beside the repositories: [[corpus.text]] location = …",
    )
    mixture: MixtureSettings = Field(
        default_factory=lambda: MixtureSettings.model_validate({}),
        description="how much of what: shares, caps, repetitions",
    )
    quality: QualitySettings = Field(
        default_factory=lambda: QualitySettings.model_validate({}),
        description="which files are dropped for how they are made",
    )
    licences: LicenceSettings = Field(
        default_factory=lambda: LicenceSettings.model_validate({}),
        description="which licences a file may stand under",
    )
    privacy: PrivacySettings = Field(
        default_factory=lambda: PrivacySettings.model_validate({}),
        description="secrets and personal data that are redacted, and who is left out",
    )
    contamination: ContaminationSettings = Field(
        default_factory=lambda: ContaminationSettings.model_validate({}),
        description="test data looked for beyond the paper's rule",
    )
    languages: list[str] = Field(
        ["v1"],
        description="keep only these: names, families with their dialects, v1 (the paper's), v2 "
        "(DeepSeek-Coder-V2's 338); empty keeps all that the table knows",
    )
    max_file_bytes: int = Field(
        1 << 20, gt=0, description="a larger file is dropped unread, and counted"
    )
    max_repository_bytes: int = Field(
        2 << 30,
        gt=0,
        description="text kept of one repository, which bounds memory; the rest is dropped",
    )
    order: Order = Field(
        "scc",
        description="order of the files in a sample: scc, paper (Algorithm 1), path or random",
    )
    sample: Literal["subgraph", "repository"] = Field(
        "subgraph",
        description="one sample per connected subgraph (the paper), or one per repository",
    )
    max_sample_tokens: int = Field(
        0,
        ge=0,
        description="a longer sample is cut at file borders where the fewest dependencies are "
        "lost; 0: none is",
    )
    bytes_per_token: float = Field(
        BYTES_PER_TOKEN,
        gt=0,
        description="by which max_sample_tokens is estimated: there is no tokenizer yet",
    )
    dedup: Literal["repository", "subgraph", "file", "none"] = Field(
        "repository",
        description="what is dropped as a near-duplicate: whole repositories (the paper), "
        "connected subgraphs, or single files",
    )
    dedup_threshold: float = Field(
        DEFAULT_THRESHOLD,
        gt=0,
        le=1,
        description="what has at least this Jaccard similarity is a near-duplicate",
    )
    dedup_permutations: int = Field(
        1024, ge=16, le=4096, description="length of a MinHash signature in bytes, a power of two"
    )
    dedup_shingle: int = Field(5, ge=1, le=50, description="words in a shingle")
    decontaminate: list[str] = Field(
        default_factory=list,
        description="files or folders of test data; a file that shares 10 words with it is dropped",
    )
    decontaminate_shortest: int = Field(
        3,
        ge=3,
        le=10,
        description="test strings of this many to 9 words are matched exactly; 10 matches none so",
    )
    held_out_rate: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of the repositories kept out of training, chosen by hash of the name",
    )
    held_out_unit: Literal["repository", "sample"] = Field(
        "repository",
        description="what is held out: whole repositories, or samples (for a single repository)",
    )

    @field_validator("languages")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        known = {*table.languages(), *table.LISTS} if value else set()
        for name in value:
            if name not in known:
                near = registry.suggestion(name, known) or "see codekiln/languages/table.toml"
                raise ValueError(f"known languages, and {name!r} is none; {near}")
        return value

    @field_validator("row_columns")
    @classmethod
    def _roles(cls, value: dict[str, str]) -> dict[str, str]:
        for role in value:
            if role not in CANDIDATES and role not in ("content", "path"):
                near = registry.suggestion(role, ["content", "path", *CANDIDATES])
                raise ValueError(f"roles of columns, and {role!r} is none; {near}")
        return value

    @field_validator("dedup_permutations")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"a power of two, such as {1 << (value.bit_length() - 1)}")
        return value

    def reading(self) -> dict[str, Any]:
        """What the first step depends on: what is stored of each file."""
        rest = self.model_dump(mode="json", exclude=COMPOSE | GLOBAL)
        return rest | {"quality": self.quality.measuring()}

    def composing(self) -> dict[str, Any]:
        """What the third step depends on, beside the stored files."""
        return self.model_dump(mode="json", include=COMPOSE)
