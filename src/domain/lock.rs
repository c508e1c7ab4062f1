//! The policy for poisoned locks.
//!
//! A lock is poisoned when a thread panics while holding it. Code in coffer holds a lock only to
//! look up, insert, remove or replace an entry, so a panic cannot leave the data half changed.
//! Therefore poisoning is ignored: one panic must not make every later request fail.
//!
//! Owns: this policy.
//! Must never: be used where a panic between two statements under the lock breaks an invariant.
//! Called by: everything with a `Mutex` or an `RwLock`.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks a mutex and ignores poisoning.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading and ignores poisoning.
pub fn read_lock<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing and ignores poisoning.
pub fn write_lock<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
