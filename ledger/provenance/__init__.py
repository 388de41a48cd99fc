"""What an artefact was made from, by whom and how: records, contributions, the environment."""
