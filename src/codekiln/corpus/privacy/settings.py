"""Settings of redaction: the recipe's `[corpus.privacy]` table."""

from __future__ import annotations

from pydantic import Field

from codekiln.recipe import Settings


class PrivacySettings(Settings):
    """`[corpus.privacy]`: what is redacted in place, and whose code is left out."""

    secrets: bool = Field(
        default=True, description="keys, tokens and passwords become <KEY> and <PASSWORD>"
    )
    emails: bool = Field(default=True, description="e-mail addresses become <EMAIL>")
    ip_addresses: bool = Field(default=True, description="public IP addresses become <IP_ADDRESS>")
    phones: bool = Field(
        default=False,
        description="international telephone numbers become <PHONE>; the least precise",
    )
    opt_out: str = Field(
        default="",
        description="a file of repositories, globs, URLs and file hashes that are left out",
    )

    @property
    def redacts(self) -> bool:
        """Whether anything is to be redacted."""
        return self.secrets or self.emails or self.ip_addresses or self.phones
