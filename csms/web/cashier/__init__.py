"""The cash desk: find a card, top it up, sell one. Everything here can be done with a keyboard and a card reader alone."""
