"""Plans for those whom nobody plays: tools, checks, rules, prompts, and the plan of each."""
