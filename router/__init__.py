"""HTTP API, engine, jobs and media: everything between a client and a worker. Knows neither Ray nor torch."""
