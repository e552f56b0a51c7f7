//! The engine that forgets: a map in memory, for tests and for programs that keep nothing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};

use super::core::{Engine, Pairs, Rules, Writes};
use super::{Kv, KvError};

type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
struct Map(Mutex<Keys>);

impl Map {
    fn lock(&self) -> Result<MutexGuard<'_, Keys>, KvError> {
        self.0.lock().map_err(|_| KvError::Stopped)
    }
}

/// A new empty store in memory.
pub fn memory() -> impl Kv {
    Rules::new(Map::default())
}

impl Engine for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.lock()?.get(key).cloned())
    }
    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Pairs, KvError> {
        let map = self.lock()?;
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let range = map.range::<[u8], _>((from, Bound::Unbounded));
        Ok(range.take_while(|(key, _)| key.starts_with(prefix)).take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
    fn apply(&self, writes: Writes) -> Result<(), KvError> {
        let mut map = self.lock()?;
        for (key, value) in writes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }
    fn sync(&self, _revision: u64) -> Result<(), KvError> {
        Ok(())
    }
}
