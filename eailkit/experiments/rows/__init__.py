"""The rows of EAIL's tables: what each is, how it is trained and scored, what it costs, what claims it decides."""
