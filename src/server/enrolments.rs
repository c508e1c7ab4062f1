//! Who receives values: turns `config.toml` and the data directory into a catalog, at the start
//! and at each SIGHUP.
//!
//! ```text
//! <data dir>/local-workload.toml   [[workload]] name = "local", created by the first start
//! <data dir>/local-identity        its age identity, 0600
//! ```
//!
//! Owns: the only code that creates enrolments.
//! Must never: create one from anything but files on this host; replace only a part of the
//! catalog.
//! Called by: `serve`.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::audit::Action;
use crate::config::{self, Config, ConfigError, DeliveryConfig, FileFormConfig, WorkloadConfig};
use crate::delivery::{Catalog, FileAttributes, FileDelivery, FormName};
use crate::domain::EnvironmentName;
use crate::formats::{Format, Template};
use crate::http::State;
use crate::server::signals::ReloadSignals;
use crate::store;
use crate::vault::{BadRecipient, Enrolment, FileForm, Recipient, ToRecipients, generate_identity};

/// The workload that works without configuration.
pub(crate) const LOCAL: &str = "local";
const LOCAL_WORKLOAD: &str = "local-workload.toml";
const LOCAL_IDENTITY: &str = "local-identity";

/// Why a declaration is not valid.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// The configuration could not be read.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A recipient is not valid.
    #[error("[[workload]] {workload} recipients: {cause}.")]
    Recipient {
        /// The workload.
        workload: String,
        /// Why.
        cause: BadRecipient,
    },
    /// The declaration of a file is not valid.
    #[error("[[deliver]] {path} {problem}")]
    File {
        /// The path of the file.
        path: String,
        /// The setting, and what is wrong with it.
        problem: String,
    },
}

/// The path of the identity of the workload `local`.
pub(crate) fn local_identity(data_dir: &Path) -> PathBuf {
    data_dir.join(LOCAL_IDENTITY)
}

/// Collects everything that is declared: in the configuration, and the workload `local` of the
/// data directory, unless the configuration declares one of that name.
pub(super) fn catalog(config: &Config) -> Result<Catalog, DeclareError> {
    let mut workloads = config.workloads.clone();
    let own = config::workloads_in(&config.server.data_dir.join(LOCAL_WORKLOAD))?;
    let is_new =
        |one: &WorkloadConfig| !config.workloads.iter().any(|other| other.name == one.name);
    workloads.extend(own.into_iter().filter(is_new));
    let enrolments = workloads.into_iter().map(enrol).collect::<Result<_, _>>()?;
    let files = config.deliveries.iter().map(file).collect::<Result<_, _>>()?;
    Ok(Catalog::new(enrolments, files))
}

fn file(deliver: &DeliveryConfig) -> Result<FileDelivery, DeclareError> {
    let path = deliver.path.to_string_lossy().into_owned();
    let wrong = |key: &str, problem: String| DeclareError::File {
        path: path.clone(),
        problem: format!("{key}: {problem}"),
    };
    let (form, name) = match &deliver.form {
        FileFormConfig::Format(format) => {
            let parsed: Result<Format, _> = format.parse();
            let format = parsed.map_err(|rule| wrong("format", format!("{rule}.")))?;
            (FileForm::Format(format), FormName::Format(format.as_str()))
        }
        FileFormConfig::Template(at) => {
            let text = std::fs::read_to_string(at)
                .map_err(|error| wrong("template", format!("{}: {error}.", at.display())))?;
            let template = Template::parse(&text)
                .map_err(|bad| wrong("template", format!("{}: {bad}.", at.display())))?;
            (FileForm::Template(template), FormName::Template(at.to_string_lossy().into_owned()))
        }
    };
    let id = |key: &str, name: &Option<String>, table: &str| {
        let Some(name) = name else { return Ok(None) };
        number_of(name, Path::new(table)).map(Some).map_err(|problem| wrong(key, problem))
    };
    let attributes = FileAttributes {
        mode: deliver.mode,
        owner: id("owner", &deliver.owner, "/etc/passwd")?,
        group: id("group", &deliver.group, "/etc/group")?,
    };
    let (environment, keys) = (deliver.environment.clone(), deliver.keys.clone());
    let enrolment = Enrolment::file(path.clone(), environment, keys, form);
    Ok(FileDelivery {
        enrolment: Arc::new(enrolment),
        path: deliver.path.clone(),
        form: name,
        attributes,
        on_change: deliver.on_change.clone(),
        limit: Duration::from_secs(u64::from(deliver.timeout_seconds)),
    })
}

/// Resolves a user or group to its number: a number as it is, a name by the host's table
/// (passwd(5), group(5): name, password, number, separated by colons). Names from other sources,
/// such as LDAP, have to be given as numbers.
fn number_of(name: &str, table: &Path) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(table)
        .map_err(|error| format!("{}: {error}. Use a number instead.", table.display()))?;
    let line = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found =
        line.filter(|line| line.first() == Some(&name)).find_map(|line| line.get(2)?.parse().ok());
    found.ok_or_else(|| format!("{name:?} is not in {}. Use a number instead.", table.display()))
}

fn enrol(workload: WorkloadConfig) -> Result<Enrolment<ToRecipients>, DeclareError> {
    let WorkloadConfig { name, environments, recipients, keys } = workload;
    let parsed: Result<Vec<_>, _> = recipients.iter().map(|text| Recipient::parse(text)).collect();
    let recipients = parsed
        .map_err(|cause| DeclareError::Recipient { workload: name.as_str().to_owned(), cause })?;
    Ok(Enrolment::workload(name.as_str().to_owned(), environments, keys, recipients))
}

/// Enrols the workload `local` for these environments. Only for a first start: replaces the files
/// of an interrupted one.
pub(super) fn enrol_local(data_dir: &Path, environments: &[EnvironmentName]) -> io::Result<()> {
    if environments.is_empty() {
        return Ok(());
    }
    let (identity, recipient) = generate_identity();
    let names: Vec<_> = environments.iter().map(|name| format!("\"{name}\"")).collect();
    let declaration = format!(
        "# Created by the first start, so that `coffer run` works on this host right away: a\n\
         # program that can read {LOCAL_IDENTITY} receives the values of these environments.\n\
         # To end that, remove both files and send SIGHUP to the server.\n\
         [[workload]]\nname = \"{LOCAL}\"\nenvironments = [{}]\nrecipients = [\"{recipient}\"]",
        names.join(", ")
    );
    store::write_private(&data_dir.join(LOCAL_IDENTITY), &identity)?;
    store::write_private(&data_dir.join(LOCAL_WORKLOAD), &declaration)
}

/// Loads the configuration again, in the same way as the start.
pub(crate) type Reload = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Reloads the declared workloads and files at each SIGHUP. If they cannot be read or are not
/// valid, logs why and keeps the previous ones.
pub(super) async fn keep_reloading(
    state: &State,
    reload: Option<(ReloadSignals, Reload)>,
) -> Infallible {
    let Some((mut signals, reload)) = reload else { return std::future::pending().await };
    let reload = Arc::new(reload);
    loop {
        signals.next().await;
        let load = Arc::clone(&reload);
        let loaded = tokio::task::spawn_blocking(move || {
            load().map_err(Into::into).and_then(|config| catalog(&config))
        });
        match loaded.await {
            Ok(Ok(catalog)) => replace(state, catalog).await,
            Ok(Err(error)) => log::error!("reload failed, nothing was changed: {error}"),
            Err(error) => log::error!("reload failed, nothing was changed: {error}"),
        }
    }
}

async fn replace(state: &State, catalog: Catalog) {
    let workloads: Vec<_> = catalog.names().map(str::to_owned).collect();
    let files = catalog.files().iter().map(|file| file.enrolment.name().to_owned());
    let files: Vec<_> = files.collect();
    let counts = format!("{}, {}", count(workloads.len(), "workload"), count(files.len(), "file"));
    let names: Vec<_> = workloads.into_iter().chain(files).collect();
    if !state.declared.replace(catalog) {
        log::info!("reloaded: no changes (settings other than workloads and files need a restart)");
        return;
    }
    match names.as_slice() {
        [] => log::info!("reloaded: {counts}"),
        names => log::info!("reloaded: {counts} ({})", names.join(", ")),
    }
    let details =
        json!({ "declared": names.iter().take(30).collect::<Vec<_>>(), "count": names.len() });
    if let Err(error) = state.vault.record_host(Action::ServerReload, &details).await {
        log::error!("cannot record the reload in the audit log: {error}");
    }
}

/// `1 file`, `2 files`
fn count(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}
