//! Who is who, and who may be made into whom: keys behind what may be asked of them, certificates, sign-in links, joins.
//! Nothing here decides access; `access::decide` does. No key leaves this room, but for a backup.

pub(crate) mod access_tokens;
pub(crate) mod again;
pub(crate) mod ask;
pub(crate) mod grants;
pub(crate) mod keyring;
pub(crate) mod logins;
pub(crate) mod old;
pub(crate) mod one_time;
pub(crate) mod people;
pub(crate) mod sealed;
pub(crate) mod ssh;
pub(crate) mod tls;
