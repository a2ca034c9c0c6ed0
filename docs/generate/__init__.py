"""Generates the sections of pages that repeat what the code or the reports say."""
