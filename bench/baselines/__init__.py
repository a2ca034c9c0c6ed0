"""Other libraries behind the interface of the strategies."""
