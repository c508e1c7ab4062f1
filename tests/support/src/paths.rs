//! Paths of the API. Paths inside an environment use `development`.

pub const SECRETS: &str = "/api/environments/development/secrets";
pub const VARS: &str = "/api/environments/development/vars";
pub const SETTINGS: &str = "/api/environments/development/settings/configuration";
pub const ENVIRONMENTS: &str = "/api/environments";
pub const KEYS: &str = "/api/admin/keys";
pub const ROTATE: &str = "/api/admin/keys/rotate";
pub const BACKUP: &str = "/api/admin/backup";
pub const STATUS: &str = "/api/admin/status";
pub const LOGS: &str = "/api/audit-logs";
pub const EXPORT: &str = "/api/audit-logs/export";
pub const IMPORT: &str = "/api/environments/development/secrets/import";
pub const IMPORT_VARS: &str = "/api/environments/development/vars/import";
pub const USERS: &str = "/api/users";
pub const ACCOUNTS: &str = "/api/admin/service-accounts";
pub const TOKENS: &str = "/api/admin/tokens";
pub const LOGIN: &str = "/api/auth/login";
pub const REGISTER: &str = "/api/auth/register";
pub const REGISTRATION: &str = "/api/auth/registration";
pub const LOGOUT: &str = "/api/auth/logout";
pub const ME: &str = "/api/auth/me";
