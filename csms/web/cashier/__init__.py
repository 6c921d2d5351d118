"""The cash desk: find a card, top it up, sell one. A keyboard and a card reader are enough for all of it."""
