"""What the settings of the path of an event are by default; how they are read: test_settings.py."""

from core.ingest_settings import LOG_LEVELS, IngestSettings


def test_defaults() -> None:
    """Without a setting a gateway is a sidecar that promises a sync to disk and bounds all."""
    settings = IngestSettings()
    assert (settings.host, settings.port, settings.uds) == ("127.0.0.1", 8080, "")
    assert (settings.ack, settings.partitions, settings.spool_dir) == ("fsynced", 1, "")
    assert (settings.master_key, settings.operator_token) == (None, "")
    assert settings.log_level in LOG_LEVELS
