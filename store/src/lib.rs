//! Ordered keys, compare-and-swap, watch, leases, objects.
