"""What a person looks at: leaderboards, pictures, the story of a run, lists."""
