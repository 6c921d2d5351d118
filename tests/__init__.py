"""Tests, mirroring csms/ folder by folder."""
