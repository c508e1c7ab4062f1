//! What secrets and vars have in common: rows of an environment that people call
//! by their keys, while the API takes their ids.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::api::{Client, path_id};
use crate::cli::terminal::error::Failure;
use crate::domain::KeyName;

/// Rows that have keys.
pub(in crate::cli) trait Keyed: DeserializeOwned {
    /// What one is called.
    const NAME: &'static str;
    /// What the API calls them: in paths, and in lists.
    const PLURAL: &'static str;
    /// An answer with a list of them.
    type Many: DeserializeOwned;

    fn rows(many: Self::Many) -> Vec<Self>;
    fn key(&self) -> &str;
    fn id(&self) -> &str;
}

/// The path of an environment's rows.
pub(in crate::cli) fn list_path<T: Keyed>(environment: &str) -> String {
    format!("/api/environments/{environment}/{}", T::PLURAL)
}

/// The path of a row.
pub(in crate::cli) fn row_path<T: Keyed>(row: &T) -> Result<String, Failure> {
    Ok(format!("/api/{}/{}", T::PLURAL, path_id(row.id().to_owned())?))
}

/// The row with this key, if there is one.
pub(in crate::cli) fn look_up<T: Keyed>(
    client: &Client,
    environment: &str,
    key: &KeyName,
) -> Result<Option<T>, Failure> {
    // Of all keys that begin with this one it is the first, in byte order.
    let path = format!("{}?prefix={key}&limit=1", list_path::<T>(environment));
    let rows = T::rows(client.get(&path)?.read::<T::Many>()?);
    Ok(rows.into_iter().find(|row| row.key() == key.as_str()))
}

/// The row with this key.
pub(in crate::cli) fn find<T: Keyed>(
    client: &Client,
    environment: &str,
    key: &KeyName,
) -> Result<T, Failure> {
    look_up(client, environment, key)?.ok_or_else(|| {
        let (name, environment) = (T::NAME, crate::cli::terminal::output::clean(environment));
        Failure::failed(format!("there is no {name} {key} in {environment}"))
            .hint(format!("`coffer {name} list --env {environment}` shows those there are."))
    })
}

/// A key as an argument. What is none is not repeated: it may be a value.
pub(in crate::cli) fn key(text: &str) -> Result<KeyName, Failure> {
    KeyName::parse(text)
        .map_err(|rule| Failure::wrong(format!("a key {rule}")).hint("For example DATABASE_URL."))
}

#[derive(Deserialize)]
pub(in crate::cli) struct Secret {
    pub id: String,
    pub key: String,
    pub description: Option<String>,
    #[serde(rename = "neverReveal")]
    pub never_reveal: bool,
    pub version: u32,
    #[serde(rename = "updatedAt")]
    pub updated_at: String,
}

#[derive(Deserialize)]
pub(in crate::cli) struct Secrets {
    pub secrets: Vec<Secret>,
}

#[derive(Deserialize)]
pub(in crate::cli) struct Var {
    pub id: String,
    pub key: String,
    pub value: String,
    pub description: Option<String>,
    #[serde(rename = "updatedAt")]
    pub updated_at: String,
}

#[derive(Deserialize)]
pub(in crate::cli) struct Vars {
    pub vars: Vec<Var>,
}

macro_rules! keyed {
    ($type:ident $name:literal $plural:ident $many:ident) => {
        impl Keyed for $type {
            const NAME: &'static str = $name;
            const PLURAL: &'static str = stringify!($plural);
            type Many = $many;

            fn rows(many: $many) -> Vec<Self> {
                many.$plural
            }

            fn key(&self) -> &str {
                &self.key
            }

            fn id(&self) -> &str {
                &self.id
            }
        }
    };
}

keyed!(Secret "secret" secrets Secrets);
keyed!(Var "var" vars Vars);
