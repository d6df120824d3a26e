"""Conversations to learn from: rows of JSON, checked, as documents."""
