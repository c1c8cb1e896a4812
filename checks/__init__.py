"""One file a check. Each module's docstring is the check's page (``auditor explain``)."""
