"""Chat templates: how each family of base models writes a conversation. One Jinja file per family."""
