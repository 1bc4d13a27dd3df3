"""What is trained for each table and figure, and written into the ledger."""
