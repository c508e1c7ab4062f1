//! What secrets and vars have in common: people refer to them by key, the API by id.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::api::{ApiClient, path_id};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::sanitize::clean;
use crate::domain::KeyName;

/// An item of an environment that has a key.
pub(in crate::cli) trait Keyed: DeserializeOwned {
    /// The singular, as commands and messages use it.
    const NAME: &'static str;
    /// The plural, as paths and lists of the API use it.
    const PLURAL: &'static str;
    /// The response that lists such items.
    type List: DeserializeOwned;

    fn items(list: Self::List) -> Vec<Self>;
    fn key(&self) -> &str;
    fn id(&self) -> &str;
}

/// The path of an environment's items.
pub(in crate::cli) fn list_path<T: Keyed>(environment: &str) -> String {
    format!("/api/environments/{environment}/{}", T::PLURAL)
}

/// The path of an item.
pub(in crate::cli) fn item_path<T: Keyed>(item: &T) -> Result<String, Failure> {
    Ok(format!("/api/{}/{}", T::PLURAL, path_id(item.id().to_owned())?))
}

/// Finds the item with this key; `None` if there is none.
pub(in crate::cli) fn look_up<T: Keyed>(
    client: &ApiClient,
    environment: &str,
    key: &KeyName,
) -> Result<Option<T>, Failure> {
    // In byte order, the key itself comes first among those that start with it.
    let path = format!("{}?prefix={key}&limit=1", list_path::<T>(environment));
    let response = client.get(&path).map_err(|error| error.naming_environment(environment))?;
    let items = T::items(response.read::<T::List>()?);
    Ok(items.into_iter().find(|item| item.key() == key.as_str()))
}

/// Finds the item with this key, and fails if there is none.
pub(in crate::cli) fn find<T: Keyed>(
    client: &ApiClient,
    environment: &str,
    key: &KeyName,
) -> Result<T, Failure> {
    look_up(client, environment, key)?.ok_or_else(|| {
        let (name, environment) = (T::NAME, clean(environment));
        Failure::failed(format!("no {name} named {key} in {environment}"))
            .hint(format!("List them: coffer {name} list --env {environment}"))
    })
}

/// Parses a key argument. The error does not repeat it, because it may be a value.
pub(in crate::cli) fn key(text: &str) -> Result<KeyName, Failure> {
    KeyName::parse(text)
        .map_err(|rule| Failure::wrong(format!("a key {rule}")).hint("For example DATABASE_URL."))
}

/// A secret as the API lists it.
#[derive(Deserialize)]
pub(in crate::cli) struct ListedSecret {
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
pub(in crate::cli) struct SecretList {
    pub secrets: Vec<ListedSecret>,
}

/// A var as the API lists it.
#[derive(Deserialize)]
pub(in crate::cli) struct ListedVar {
    pub id: String,
    pub key: String,
    pub value: String,
    pub description: Option<String>,
    #[serde(rename = "updatedAt")]
    pub updated_at: String,
}

#[derive(Deserialize)]
pub(in crate::cli) struct VarList {
    pub vars: Vec<ListedVar>,
}

macro_rules! keyed {
    ($type:ident $name:literal $plural:ident $list:ident) => {
        impl Keyed for $type {
            const NAME: &'static str = $name;
            const PLURAL: &'static str = stringify!($plural);
            type List = $list;

            fn items(list: $list) -> Vec<Self> {
                list.$plural
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

keyed!(ListedSecret "secret" secrets SecretList);
keyed!(ListedVar "var" vars VarList);
