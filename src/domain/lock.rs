//! The policy for poisoned locks.
//!
//! A lock is poisoned when a thread panics while holding it. Code in coffer holds a lock only to
//! look up, insert, remove or replace an entry, so a panic cannot leave the data half changed, and
//! everything behind such a lock is a cache, a counter or a handle. Therefore a poisoned lock is
//! used as if nothing had happened: one panic must not turn into a failure of every later request.
//!
//! Owns: this policy.
//! Must never: be used for data whose invariants span more than one statement under the lock.
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
