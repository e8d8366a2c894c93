"""What the command line, the API and the pages do with a job: submit it, control it, dispatch its units, record its log."""
