//! Where the server is and who we are: from the environment as for any AWS tool, or from the data
//! folder of a server on this machine.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use auth::{Credentials, RootKey};
use serde::{Deserialize, Serialize};
use shell::{Clock, SystemClock};

use crate::HttpTransport;

const FILE: &str = "endpoint.json";

/// What a server writes into its data folder when it is ready, so that tools on the same machine find
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Such as `http://127.0.0.1:4747`.
    pub endpoint: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// The server's process.
    pub process: u32,
}

impl Profile {
    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, data_dir: &Path) -> std::io::Result<()> {
        let path = data_dir.join(FILE);
        let temporary = data_dir.join(".endpoint.json.new");
        let mut file = fs::File::create(&temporary)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    }

    /// Reads it; none if no server has run with that folder.
    ///
    /// # Errors
    /// The file cannot be read, or is not one of ours.
    pub fn load(data_dir: &Path) -> Result<Option<Self>> {
        let path = data_dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("understand {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }
}

/// The data folder when none is named.
const DEFAULT_DIR: &str = "/var/lib/wharf";

/// Which server a command talks to.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Target {
    /// Data folder of a server on this machine; its address and keys are used, whatever AWS_* say
    /// [default: AWS_* where set, else /var/lib/wharf]
    #[arg(long, value_name = "DIR", env = "WHARF_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// The server's URL, with the keys of AWS_* [default: AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL", conflicts_with = "data_dir", global = true)]
    pub endpoint_url: Option<String>,
}

/// A server and the keys for it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where.
    pub endpoint: String,
    /// Which region it is.
    pub region: String,
    /// Who we are.
    pub credentials: Credentials,
}

impl Connection {
    /// The server that is meant: of the data folder that is named, else of the environment, else of
    /// the default data folder.
    ///
    /// # Errors
    /// There is none, or no keys for it.
    pub fn find(target: &Target) -> Result<Self> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::find_in(target, &environment)
    }

    fn find_in(target: &Target, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if let Some(dir) = &target.data_dir {
            return Self::of(dir, environment);
        }
        let endpoint = target.endpoint_url.clone().or_else(|| environment("AWS_ENDPOINT_URL"));
        let Some(endpoint) = endpoint else {
            return Self::of(Path::new(DEFAULT_DIR), environment);
        };
        let keys = environment("AWS_ACCESS_KEY_ID").zip(environment("AWS_SECRET_ACCESS_KEY"));
        let Some((id, secret)) = keys else {
            bail!(
                "no keys are known for {endpoint}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`wharf env` on the server's machine prints them), or name a server's folder with --data-dir"
            );
        };
        let mut credentials = Credentials::new(id, secret);
        credentials.session_token = environment("AWS_SESSION_TOKEN").map(Into::into);
        let region = environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION"));
        Ok(Self { endpoint, region: region.unwrap_or_else(|| "us-east-1".to_owned()), credentials })
    }

    /// The server of a data folder. A root key that was configured is not in the folder.
    fn of(dir: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let Some(profile) = Profile::load(dir)? else {
            bail!(
                "no server is known: {} is not the data folder of one.\nStart one with `wharf up`, name its folder with --data-dir, or set AWS_ENDPOINT_URL.",
                dir.display()
            );
        };
        let configured = environment("WHARF_ROOT_ACCESS_KEY_ID")
            .zip(environment("WHARF_ROOT_SECRET_ACCESS_KEY"))
            .map(|(id, secret)| Credentials::new(id, secret));
        let credentials = match configured {
            Some(credentials) => credentials,
            None => match RootKey::load(dir)? {
                Some(key) => key.credentials(),
                None => bail!(
                    "{} has no root key: its server was given one by its configuration. Set WHARF_ROOT_ACCESS_KEY_ID and WHARF_ROOT_SECRET_ACCESS_KEY to it.",
                    dir.display()
                ),
            },
        };
        Ok(Self { endpoint: profile.endpoint, region: profile.region, credentials })
    }

    /// What carries calls to the server.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn transport(&self) -> Result<HttpTransport> {
        let clock: Arc<dyn Clock> = SystemClock::shared();
        HttpTransport::new(self.clone(), clock).context("make an HTTP client")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_named_wins_over_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile {
            endpoint: "http://127.0.0.1:1".into(),
            region: "eu-west-1".into(),
            account: "123456789012".into(),
            process: 42,
        };
        profile.save(dir.path()).unwrap();
        RootKey::load_or_create(dir.path(), &mut stdx::SeededEntropy::new(1)).unwrap();
        let environment = |name: &str| match name {
            "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:2".to_owned()),
            "AWS_ACCESS_KEY_ID" => Some("AKIDEXAMPLE".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
            _ => None,
        };
        let named = Target { data_dir: Some(dir.path().into()), endpoint_url: None };
        let found = Connection::find_in(&named, &environment).unwrap();
        assert_eq!(
            (found.endpoint.as_str(), found.region.as_str()),
            ("http://127.0.0.1:1", "eu-west-1")
        );
        assert_ne!(found.credentials.access_key_id, "AKIDEXAMPLE");
        let found = Connection::find_in(&Target::default(), &environment).unwrap();
        assert_eq!(
            (found.endpoint.as_str(), found.region.as_str()),
            ("http://127.0.0.1:2", "us-east-1")
        );
        assert_eq!(found.credentials.access_key_id, "AKIDEXAMPLE");
        let bare = |name: &str| environment(name).filter(|_| name == "AWS_ENDPOINT_URL");
        let error = Connection::find_in(&Target::default(), &bare).unwrap_err().to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID") && error.contains("wharf env"));
    }

    #[test]
    fn a_profile_is_read_back_and_absence_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Profile::load(dir.path()).unwrap(), None);
        let profile = Profile {
            endpoint: "http://127.0.0.1:4747".into(),
            region: "eu-west-1".into(),
            account: "123456789012".into(),
            process: 42,
        };
        profile.save(dir.path()).unwrap();
        assert_eq!(Profile::load(dir.path()).unwrap(), Some(profile));
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(Profile::load(dir.path()).unwrap_err().to_string().contains("endpoint.json"));
    }
}
