//! The vault: the only module where plaintext exists.
//!
//! Owns: the verbs on environments, secrets and vars; the policy that decides about them; the keys
//! and the cipher; deliveries, backups and maintenance.
//! Must never: return plaintext in any other way than `reveal` (to a person) and `deliver` (sealed
//! to recipients, or into a file), each for a ticket of `policy`; know HTTP; trust a flag in the
//! database that the cipher does not confirm.
//! Called by: `http`, one verb per request; `access`, `delivery`, `server` and `cli`.
//!
//! A verb takes a [`Permit`]: proof that the caller was authorized for its level and target. Checks
//! that depend on a row are made inside the writer, where nothing can change between the check and
//! the write.
//!
//! Each line may use the lines above it:
//!
//! ```text
//! fingerprint  error  plaintext  secret_rows  audit_rows  verb_result
//! effective_access  idempotency
//! policy                     permits and tickets
//! guarded_change  crypto/    the second check of a credential; keys and ciphers
//! unlocked
//! service                    the `Vault` itself
//! lookup  replay
//! verbs/
//! keys/
//! deliver/  backup/
//! maintenance/
//! ```
//!
//! `policy` is below `crypto` because the cipher opens a value only for a ticket, and only `policy`
//! can build one.

mod audit_rows;
pub mod backup;
mod crypto;
mod deliver;
mod effective_access;
mod error;
mod fingerprint;
mod guarded_change;
mod idempotency;
mod keys;
mod lookup;
mod maintenance;
mod plaintext;
mod policy;
mod replay;
mod secret_rows;
mod service;
mod unlocked;
mod verb_result;
mod verbs;

pub use audit_rows::ExportedRow;
pub use crypto::backup_key::BackupKey;
pub use crypto::passphrase::{BadPassphrase, BadSealedKey, NotSealed, Passphrase, SealedRootKey};
pub use crypto::random::Random;
pub use crypto::recipients::{AgeError, BadRecipient, Identities, Recipient, generate_identity};
pub use crypto::root_key::{BadRootKey, RootKey, RootKeys};
pub use crypto::service_keys::TokenKey;
pub use deliver::{
    Bundle, BundleError, Enrolment, FileContent, FileForm, NotFilled, SealedBundle, ToFile,
    ToRecipients, name_digest,
};
pub use effective_access::{check_credential, session_principal, token_principal, user_label};
pub use error::{CopyRefusal, Error};
pub use fingerprint::Fingerprint;
pub use guarded_change::GuardedChange;
pub use idempotency::{IdempotencyRecord, Lookup, Render};
pub use keys::rotation::{KeyInfo, KeyStatus, RotationInfo};
pub use keys::unlock::{sealed_under, unlock};
pub use keys::unlock_error::UnlockError;
pub use lookup::Page;
pub use maintenance::audit_log::{AuditPage, AuditQuery, export_audit, verify_audit};
pub use maintenance::doctor::{DoctorReport, examine_repaired, examine_stopped};
pub use maintenance::repair::{record_compaction, repair, repair_index};
pub use maintenance::retention::PruneError;
pub use maintenance::status::ServerStatus;
pub use plaintext::{Plaintext, Revealed};
pub use policy::{Administer, Caller, InScope, Level, Own, Permit, Read, Reveal, Target, Write};
pub use service::{Vault, VaultLimits};
pub use unlocked::{DatabaseId, FirstStart, Unlocked};
pub use verb_result::{
    Copied, CopyOutcome, HasVerbResult, ImportOutcome, ImportReport, Imported, RotationBegun,
    VerbResult,
};
pub use verbs::copy::Copying;
pub use verbs::environments::NewEnvironment;
pub use verbs::import::{Import, ImportedSecret, read_dotenv};
pub use verbs::secrets::{NewSecret, SecretPatch};
pub use verbs::settings::SettingsPatch;
pub use verbs::value::{Alphabet, Generate, NewValue};
pub use verbs::vars::{NewVar, VarPatch};

pub use crate::audit::Verification;
pub use crate::store::{Extent, Unavailable};
