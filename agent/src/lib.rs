//! Dials out, believes only verified grants, opens terminals.
