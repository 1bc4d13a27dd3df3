"""Running the notebooks and showing what they left: execution, pages, report, doctor."""
