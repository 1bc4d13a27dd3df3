"""What was recorded: the ledger of runs, and the papers' own numbers."""
