"""The bot, tried as people would."""
