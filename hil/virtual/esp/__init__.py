"""A virtual ESP32-C3 on unicorn: the native chip, its boot ROM's serial loader, and a port with DTR and RTS."""
