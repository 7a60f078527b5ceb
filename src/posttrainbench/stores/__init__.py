"""Where things lie on disk: run directories, ledgers, checkpoints, folders that an enemy wrote."""
