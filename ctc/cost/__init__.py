"""What a spec will cost: machines, how long, how often, and a dated book of prices. Offline, always the same."""
