"""An additive model of penalised splines: fitted in seconds, read as curves, with its errors."""
