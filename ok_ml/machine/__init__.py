"""The machine as a program meets it: Java, ports, locks, folders, memory, and who runs this."""
