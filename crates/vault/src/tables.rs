//! What is in the file: tables, keys and records.

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::VaultError;
use crate::parameters::ParameterRecord;
use crate::secrets::SecretRecord;

/// Name → record.
const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
/// ARN, version → sealed value.
const SECRET_VALUES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("secret_values");
/// Name → record.
const PARAMETERS: TableDefinition<&str, &[u8]> = TableDefinition::new("parameters");
/// Name, version → sealed value.
const PARAMETER_VALUES: TableDefinition<(&str, u64), &[u8]> =
    TableDefinition::new("parameter_values");
/// Facts of the file itself.
const FACTS: TableDefinition<&str, &[u8]> = TableDefinition::new("facts");

/// The fingerprint of the master key.
const FINGERPRINT: &str = "master_key";

/// Every table, open for writing.
pub(crate) struct Tables<'t> {
    secrets: Table<'t, &'static str, &'static [u8]>,
    pub(crate) secret_values: Table<'t, (&'static str, &'static str), &'static [u8]>,
    parameters: Table<'t, &'static str, &'static [u8]>,
    pub(crate) parameter_values: Table<'t, (&'static str, u64), &'static [u8]>,
    facts: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    /// Opens them all, and makes those that are not there yet.
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, VaultError> {
        Ok(Self {
            secrets: transaction.open_table(SECRETS)?,
            secret_values: transaction.open_table(SECRET_VALUES)?,
            parameters: transaction.open_table(PARAMETERS)?,
            parameter_values: transaction.open_table(PARAMETER_VALUES)?,
            facts: transaction.open_table(FACTS)?,
        })
    }

    /// The fingerprint of the key that values are sealed with, once there is one.
    pub(crate) fn fingerprint(&self) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.facts.get(FINGERPRINT)?.map(|value| value.value().to_vec()))
    }

    pub(crate) fn put_fingerprint(&mut self, fingerprint: &[u8]) -> Result<(), VaultError> {
        self.facts.insert(FINGERPRINT, fingerprint)?;
        Ok(())
    }

    pub(crate) fn secret(&self, name: &str) -> Result<Option<SecretRecord>, VaultError> {
        self.secrets.get(name)?.map(|record| decode(name, record.value())).transpose()
    }

    pub(crate) fn put_secret(&mut self, record: &SecretRecord) -> Result<(), VaultError> {
        let bytes = encode(&record.name, record)?;
        self.secrets.insert(record.name.as_str(), bytes.as_slice())?;
        Ok(())
    }

    /// Takes a secret away with all its values.
    pub(crate) fn remove_secret(&mut self, record: &SecretRecord) -> Result<(), VaultError> {
        for version in &record.versions {
            self.secret_values.remove((record.arn.as_str(), version.id.as_str()))?;
        }
        self.secrets.remove(record.name.as_str())?;
        Ok(())
    }

    /// Secrets whose time to be restored is over.
    pub(crate) fn secrets(&self) -> Result<Vec<SecretRecord>, VaultError> {
        all(&self.secrets)
    }

    pub(crate) fn parameter(&self, name: &str) -> Result<Option<ParameterRecord>, VaultError> {
        self.parameters.get(name)?.map(|record| decode(name, record.value())).transpose()
    }

    pub(crate) fn put_parameter(&mut self, record: &ParameterRecord) -> Result<(), VaultError> {
        let bytes = encode(&record.name, record)?;
        self.parameters.insert(record.name.as_str(), bytes.as_slice())?;
        Ok(())
    }

    /// Takes a parameter away with all its values.
    pub(crate) fn remove_parameter(&mut self, record: &ParameterRecord) -> Result<(), VaultError> {
        for version in &record.versions {
            self.parameter_values.remove((record.name.as_str(), version.number))?;
        }
        self.parameters.remove(record.name.as_str())?;
        Ok(())
    }
}

/// Every table that queries read, in one snapshot.
pub(crate) struct Snapshot {
    secrets: ReadOnlyTable<&'static str, &'static [u8]>,
    secret_values: ReadOnlyTable<(&'static str, &'static str), &'static [u8]>,
    parameters: ReadOnlyTable<&'static str, &'static [u8]>,
    parameter_values: ReadOnlyTable<(&'static str, u64), &'static [u8]>,
    /// Keeps the snapshot's pages.
    _transaction: ReadTransaction,
}

impl Snapshot {
    pub(crate) fn open(database: &Database) -> Result<Self, VaultError> {
        let transaction = database.begin_read()?;
        Ok(Self {
            secrets: transaction.open_table(SECRETS)?,
            secret_values: transaction.open_table(SECRET_VALUES)?,
            parameters: transaction.open_table(PARAMETERS)?,
            parameter_values: transaction.open_table(PARAMETER_VALUES)?,
            _transaction: transaction,
        })
    }

    pub(crate) fn secret(&self, name: &str) -> Result<Option<SecretRecord>, VaultError> {
        self.secrets.get(name)?.map(|record| decode(name, record.value())).transpose()
    }

    pub(crate) fn secrets(&self) -> Result<Vec<SecretRecord>, VaultError> {
        all(&self.secrets)
    }

    pub(crate) fn secret_value(&self, arn: &str, id: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.secret_values.get((arn, id))?.map(|value| value.value().to_vec()))
    }

    pub(crate) fn parameter(&self, name: &str) -> Result<Option<ParameterRecord>, VaultError> {
        self.parameters.get(name)?.map(|record| decode(name, record.value())).transpose()
    }

    pub(crate) fn parameters(&self) -> Result<Vec<ParameterRecord>, VaultError> {
        all(&self.parameters)
    }

    pub(crate) fn parameter_value(
        &self,
        name: &str,
        version: u64,
    ) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.parameter_values.get((name, version))?.map(|value| value.value().to_vec()))
    }
}

fn all<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Vec<T>, VaultError> {
    table
        .iter()?
        .map(|entry| {
            let (name, record) = entry?;
            decode(name.value(), record.value())
        })
        .collect()
}

fn encode(name: &str, record: &impl Serialize) -> Result<Vec<u8>, VaultError> {
    rmp_serde::to_vec_named(record).map_err(|_| VaultError::Damaged(name.to_owned()))
}

fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, VaultError> {
    rmp_serde::from_slice(bytes).map_err(|_| VaultError::Damaged(name.to_owned()))
}
