"""Reverse-mode rules, a family of operators a file. The operator table names the rule of each operator."""
