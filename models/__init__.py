"""Value types, cards and the cost model (pure); runners and providers are leaf packages."""
