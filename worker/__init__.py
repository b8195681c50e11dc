"""The drain: takes entries from the queue and stores their events, each exactly once."""
