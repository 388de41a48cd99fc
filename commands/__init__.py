"""What is typed: one file per command group; the only folder that joins audit, generator, reports and ledger."""
