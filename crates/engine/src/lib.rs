//! The use cases of trueup, async through the ports Psa, Source, Store and Clock.
