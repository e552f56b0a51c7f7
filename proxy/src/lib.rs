//! The only listener: fronts per protocol, authority, sessions, agents, API, notify.
