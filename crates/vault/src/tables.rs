//! What is in the file: tables, keys and records.

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::VaultError;
use crate::certificates::CertificateRecord;
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
/// ARN → record.
const CERTIFICATES: TableDefinition<&str, &[u8]> = TableDefinition::new("certificates");
/// ARN → sealed private key.
const CERTIFICATE_KEYS: TableDefinition<&str, &[u8]> = TableDefinition::new("certificate_keys");
/// Token of a request → ARN.
const CERTIFICATE_TOKENS: TableDefinition<&str, &str> = TableDefinition::new("certificate_tokens");
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
    certificates: Table<'t, &'static str, &'static [u8]>,
    certificate_keys: Table<'t, &'static str, &'static [u8]>,
    certificate_tokens: Table<'t, &'static str, &'static str>,
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
            certificates: transaction.open_table(CERTIFICATES)?,
            certificate_keys: transaction.open_table(CERTIFICATE_KEYS)?,
            certificate_tokens: transaction.open_table(CERTIFICATE_TOKENS)?,
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

impl Tables<'_> {
    pub(crate) fn certificate(&self, arn: &str) -> Result<Option<CertificateRecord>, VaultError> {
        self.certificates.get(arn)?.map(|record| decode(arn, record.value())).transpose()
    }

    /// How many certificates there are.
    pub(crate) fn certificates(&self) -> Result<usize, VaultError> {
        Ok(usize::try_from(self.certificates.len()?).unwrap_or(usize::MAX))
    }

    /// Puts a certificate in, with its sealed key if that is new.
    pub(crate) fn put_certificate(
        &mut self,
        record: &CertificateRecord,
        key: Option<&[u8]>,
    ) -> Result<(), VaultError> {
        let bytes = encode(&record.arn, record)?;
        self.certificates.insert(record.arn.as_str(), bytes.as_slice())?;
        if let Some(key) = key {
            self.certificate_keys.insert(record.arn.as_str(), key)?;
        }
        Ok(())
    }

    /// Takes a certificate away with its key.
    pub(crate) fn remove_certificate(&mut self, arn: &str) -> Result<(), VaultError> {
        self.certificates.remove(arn)?;
        self.certificate_keys.remove(arn)?;
        self.certificate_tokens.retain(|_, named| named != arn)?;
        Ok(())
    }

    /// The certificate that a request with that token made.
    pub(crate) fn certificate_by_token(
        &self,
        token: &str,
    ) -> Result<Option<CertificateRecord>, VaultError> {
        let arn = self.certificate_tokens.get(token)?.map(|arn| arn.value().to_owned());
        arn.map_or(Ok(None), |arn| self.certificate(&arn))
    }

    pub(crate) fn put_certificate_token(
        &mut self,
        token: &str,
        arn: &str,
    ) -> Result<(), VaultError> {
        self.certificate_tokens.insert(token, arn)?;
        Ok(())
    }
}

/// Every table that queries read, in one snapshot.
pub(crate) struct Snapshot {
    secrets: ReadOnlyTable<&'static str, &'static [u8]>,
    secret_values: ReadOnlyTable<(&'static str, &'static str), &'static [u8]>,
    parameters: ReadOnlyTable<&'static str, &'static [u8]>,
    parameter_values: ReadOnlyTable<(&'static str, u64), &'static [u8]>,
    certificates: ReadOnlyTable<&'static str, &'static [u8]>,
    certificate_keys: ReadOnlyTable<&'static str, &'static [u8]>,
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
            certificates: transaction.open_table(CERTIFICATES)?,
            certificate_keys: transaction.open_table(CERTIFICATE_KEYS)?,
            _transaction: transaction,
        })
    }

    pub(crate) fn secret(&self, name: &str) -> Result<Option<SecretRecord>, VaultError> {
        self.secrets.get(name)?.map(|record| decode(name, record.value())).transpose()
    }

    pub(crate) fn secrets(&self) -> Result<Vec<SecretRecord>, VaultError> {
        all(&self.secrets)
    }

    pub(crate) fn certificate(&self, arn: &str) -> Result<Option<CertificateRecord>, VaultError> {
        self.certificates.get(arn)?.map(|record| decode(arn, record.value())).transpose()
    }

    pub(crate) fn certificates(&self) -> Result<Vec<CertificateRecord>, VaultError> {
        all(&self.certificates)
    }

    /// A certificate's sealed key.
    pub(crate) fn certificate_key(&self, arn: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.certificate_keys.get(arn)?.map(|value| value.value().to_vec()))
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
