"""What the reports say, in each language: texts, sentences, figures in words."""
