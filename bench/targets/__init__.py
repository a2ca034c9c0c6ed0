"""Ratios that jacengine is held to, and whether it holds them."""
