"""Records -> leaderboard: what counts (policy), how it adds up (aggregate), how sure it is (uncertainty)."""
