//! The pure core of trueup: money, periods, orders, plans. No I/O, no clock, no randomness.
