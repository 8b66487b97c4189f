"""What if: the same night under other policies, compared and drawn, and the best one sought."""
