//! Who gets values: from `config.toml` and the data directory to a catalogue,
//! at the start and whenever the operator sends SIGHUP.
//!
//! ```text
//! <data dir>/local-workload.toml   [[workload]] name = "local", made by the first start
//! <data dir>/local-identity        its age identity, 0600
//! ```
//!
//! The only place that makes enrolments. Must never: make one of anything but
//! files of this host; leave the catalogue half replaced.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::audit::Action;
use crate::config::{self, Config, ConfigError, DeliveryConfig, FileFormConfig, WorkloadConfig};
use crate::delivery::{Catalogue, FileAttributes, FileDelivery, FormName};
use crate::domain::EnvironmentName;
use crate::formats::{Format, Template};
use crate::http::State;
use crate::store;
use crate::vault::{BadRecipient, Enrolment, FileForm, Recipient, ToRecipients, generate_identity};

/// The workload that works at once.
pub(crate) const LOCAL: &str = "local";
const LOCAL_WORKLOAD: &str = "local-workload.toml";
const LOCAL_IDENTITY: &str = "local-identity";

/// Why a declaration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// The configuration as a whole.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A recipient is none.
    #[error("[[workload]] {workload} recipients: {cause}.")]
    Recipient {
        /// Whose.
        workload: String,
        /// Why.
        cause: BadRecipient,
    },
    /// A file cannot be delivered as it is declared.
    #[error("[[deliver]] {path} {problem}")]
    File {
        /// Its path.
        path: String,
        /// Which setting, and what is wrong.
        problem: String,
    },
}

/// The identity of the workload `local`, if this data directory has one.
pub(crate) fn local_identity(data_dir: &Path) -> PathBuf {
    data_dir.join(LOCAL_IDENTITY)
}

/// Everything that is declared: what the configuration says, and the workload
/// `local` of the data directory, unless the configuration has one of that name.
pub(crate) fn catalogue(config: &Config) -> Result<Catalogue, DeclareError> {
    let mut workloads = config.workloads.clone();
    let own = config::workloads_in(&config.server.data_dir.join(LOCAL_WORKLOAD))?;
    let is_new =
        |one: &WorkloadConfig| !config.workloads.iter().any(|other| other.name == one.name);
    workloads.extend(own.into_iter().filter(is_new));
    let enrolments = workloads.into_iter().map(enrol).collect::<Result<_, _>>()?;
    let files = config.deliveries.iter().map(file).collect::<Result<_, _>>()?;
    Ok(Catalogue::new(enrolments, files))
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

/// The number of a user or group: one that is given, or that of a name in the
/// host's table (passwd(5), group(5): name, password, number, separated by colons).
/// Names from elsewhere (LDAP and the like) have to be given as numbers.
fn number_of(name: &str, table: &Path) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(table)
        .map_err(|error| format!("{}: {error}. Give a number.", table.display()))?;
    let line = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found =
        line.filter(|line| line.first() == Some(&name)).find_map(|line| line.get(2)?.parse().ok());
    found.ok_or_else(|| format!("there is no {name} in {}. Give a number.", table.display()))
}

fn enrol(workload: WorkloadConfig) -> Result<Enrolment<ToRecipients>, DeclareError> {
    let WorkloadConfig { name, environments, recipients, keys } = workload;
    let parsed: Result<Vec<_>, _> = recipients.iter().map(|text| Recipient::parse(text)).collect();
    let recipients = parsed
        .map_err(|cause| DeclareError::Recipient { workload: name.as_str().to_owned(), cause })?;
    Ok(Enrolment::workload(name.as_str().to_owned(), environments, keys, recipients))
}

/// Enrols the workload `local` for environments. Only for a first start: what an
/// earlier one has left that was cut off is replaced.
pub(crate) fn enrol_local(data_dir: &Path, environments: &[EnvironmentName]) -> io::Result<()> {
    if environments.is_empty() {
        return Ok(());
    }
    let (identity, recipient) = generate_identity();
    let names: Vec<_> = environments.iter().map(|name| format!("\"{name}\"")).collect();
    let declaration = format!(
        "# Made by the first start, so that `coffer run` works at once on this machine: a\n\
         # program that can read {LOCAL_IDENTITY} can use the values of these environments.\n\
         # Remove both files (and send SIGHUP) to end that.\n\
         [[workload]]\nname = \"{LOCAL}\"\nenvironments = [{}]\nrecipients = [\"{recipient}\"]",
        names.join(", ")
    );
    store::write_private(&data_dir.join(LOCAL_IDENTITY), &identity)?;
    store::write_private(&data_dir.join(LOCAL_WORKLOAD), &declaration)
}

/// Reads the configuration again, as the start read it.
pub(crate) type Reread = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// On each SIGHUP, puts what is declared then in force. What cannot be read or is
/// wrong leaves the old in force, and says why.
pub(crate) async fn keep_declaring(state: &State, reread: Option<(Hangups, Reread)>) -> Infallible {
    let Some((mut hangups, reread)) = reread else { return std::future::pending().await };
    let reread = Arc::new(reread);
    loop {
        hangups.next().await;
        let again = Arc::clone(&reread);
        let read = tokio::task::spawn_blocking(move || {
            again().map_err(Into::into).and_then(|config| catalogue(&config))
        });
        match read.await {
            Ok(Ok(catalogue)) => declare(state, catalogue).await,
            Ok(Err(error)) => log::error!("SIGHUP: what was declared stays in force: {error}"),
            Err(error) => log::error!("SIGHUP: what was declared stays in force: {error}"),
        }
    }
}

async fn declare(state: &State, catalogue: Catalogue) {
    let files = catalogue.files().iter().map(|file| file.enrolment.name().to_owned());
    let names: Vec<_> = catalogue.names().map(str::to_owned).chain(files).collect();
    if !state.declared.replace(catalogue) {
        log::info!("SIGHUP: nothing else is declared; other settings need a restart");
        return;
    }
    log::info!(
        "SIGHUP: declared now: {}",
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    );
    let details =
        json!({ "declared": names.iter().take(30).collect::<Vec<_>>(), "count": names.len() });
    if let Err(error) = state.vault.record_host(Action::ServerReload, &details).await {
        log::error!("that something else is declared is not in the audit log: {error}");
    }
}

/// SIGHUPs, from the moment on that this is made; nowhere else but on Unix are
/// there any.
pub(crate) struct Hangups {
    #[cfg(unix)]
    signals: tokio::signal::unix::Signal,
}

impl Hangups {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signals: {
                use tokio::signal::unix::{SignalKind, signal};
                signal(SignalKind::hangup())?
            },
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if self.signals.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
