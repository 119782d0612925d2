"""Virtual microcontrollers on unicorn: a native machine and a boot ROM of our own for each."""
