//! The values of vars, which are stored in chunks beside their rows.
//!
//! Called by: the verbs on vars; `deliver`, `backup` and `maintenance`, which read values.

use crate::audit::ResourceType;
use crate::domain::{VarId, Version};
use crate::store::{Bytes, CHUNK_BYTES, ReadError, Tx, VarChunks, VarRow, View};

use crate::vault::error::Error;

/// Stores a value in chunks. Returns the number of chunks.
pub(super) fn put_value(tx: &mut Tx<'_>, id: VarId, version: Version, value: &str) -> u16 {
    let mut chunks = 0;
    for chunk in value.as_bytes().chunks(CHUNK_BYTES) {
        tx.put::<VarChunks>(&(id, version, chunks), &Bytes(chunk.to_vec()));
        chunks += 1;
    }
    chunks
}

/// Removes every chunk of every value of a var.
pub(super) fn remove_values(tx: &mut Tx<'_>, id: VarId) -> Result<(), Error> {
    let chunks: Vec<_> = tx.keys::<VarChunks>(&id.to_bytes()).collect::<Result<_, _>>()?;
    for chunk in chunks {
        tx.remove::<VarChunks>(&chunk);
    }
    Ok(())
}

/// What the chunks say that a var's row names.
pub(super) enum StoredValue {
    Complete(String),
    /// A chunk is missing: the row was read before a write that replaced the value.
    Incomplete,
    Damaged,
}

/// Reads the value that a row names, chunk by chunk.
pub(super) fn stored_value(view: &impl View, row: &VarRow) -> Result<StoredValue, ReadError> {
    let mut value = Vec::new();
    for chunk in 0..row.chunks {
        match view.get::<VarChunks>(&(row.id, row.version, chunk)) {
            Ok(Some(bytes)) => value.extend(bytes.0),
            Ok(None) => return Ok(StoredValue::Incomplete),
            Err(ReadError::Damaged { .. }) => return Ok(StoredValue::Damaged),
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8(value).map_or(StoredValue::Damaged, StoredValue::Complete))
}

/// Reads the value that a row names, inside the writer, where nothing changes between the row and
/// its chunks.
pub(in crate::vault) fn value_of(view: &impl View, row: &VarRow) -> Result<String, Error> {
    match stored_value(view, row)? {
        StoredValue::Complete(value) => Ok(value),
        StoredValue::Incomplete | StoredValue::Damaged => Err(Error::Damaged(ResourceType::Var)),
    }
}

/// Returns whether the value that a row names is complete, and text.
pub(in crate::vault) fn value_is_whole(view: &impl View, row: &VarRow) -> Result<bool, ReadError> {
    Ok(matches!(stored_value(view, row)?, StoredValue::Complete(_)))
}
