"""The Raspberry Pi Pico: RP2040, two Cortex-M0+."""
