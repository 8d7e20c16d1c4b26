"""Drawings of results: pages, tables, SVG and traces. They read records, never a living machine."""
