"""Secrets and personal data, found and redacted; and whose code is left out on request."""
