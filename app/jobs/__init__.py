"""What the command line and the API do with a job: submit it, control it, dispatch its units, record its log."""
