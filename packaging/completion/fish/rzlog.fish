complete --keep-order --exclusive --command rzlog --arguments "(RZLOG_COMPLETE=fish rzlog -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
