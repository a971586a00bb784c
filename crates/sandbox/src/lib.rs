//! A stateful ConnectWise to develop, demo and test against. Shares no type with the client.
