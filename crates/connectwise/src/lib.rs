//! The ConnectWise dialect (client) and the Psa port on top of it (adapter).
