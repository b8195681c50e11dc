"""What every process needs around its role: log, queue client, status pages, stop signal."""
