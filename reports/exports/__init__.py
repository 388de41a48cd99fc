"""The other forms of a report: SARIF, JUnit, Markdown, PDF, influence, disclosure."""
