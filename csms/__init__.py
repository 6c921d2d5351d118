"""Central system for prepaid electric-car charging."""

__version__ = "0.1.0"
