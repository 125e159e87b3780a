//! Sealing values: AES-256-GCM (NIST SP 800-38D) under a random key for each value, which is wrapped
//! by the same cipher under a key derived from the master key.
//!
//! What a value belongs to is authenticated with it twice, with the value and with its key: a value
//! moved to another name or version does not open.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::key::{LENGTH, MasterKey, Purpose};
use crate::value::Form;
use crate::{SecretValue, VaultError};

/// The form that this version writes: version, form of the value, nonce and wrapped key, nonce and
/// value.
const VERSION: u8 = 1;
/// The length of a tag, in bytes.
const TAG: usize = 16;
const WRAPPED: usize = NONCE_LEN + LENGTH + TAG;
const HEAD: usize = 2;

/// Seals and opens. Nonces are random; one key may have 2^32 of them, so the wrapping key, which is
/// used once for each value ever stored, is safe for longer than the vault will live.
pub(crate) struct Sealer {
    wrap: LessSafeKey,
    random: SystemRandom,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

fn cipher(key: &[u8; LENGTH]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes"))
}

impl Sealer {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self { wrap: cipher(&master.derive(Purpose::Wrap)), random: SystemRandom::new() }
    }

    /// Seals a value for `owner`, which names what it belongs to.
    pub(crate) fn seal(&self, owner: &str, value: &SecretValue) -> Result<Vec<u8>, VaultError> {
        let mut key = Zeroizing::new([0; LENGTH]);
        self.random.fill(key.as_mut()).map_err(|_| VaultError::Sealing)?;
        let form = match value.form() {
            Form::Text => 0,
            Form::Binary => 1,
        };
        let mut sealed = vec![VERSION, form];
        self.encrypt(&self.wrap, &aad(form, owner), key.as_ref(), &mut sealed)?;
        self.encrypt(&cipher(&key), &aad(form, owner), value.reveal_bytes(), &mut sealed)?;
        Ok(sealed)
    }

    /// Opens what was sealed for `owner`.
    pub(crate) fn open(&self, owner: &str, sealed: &[u8]) -> Result<SecretValue, VaultError> {
        self.try_open(owner, sealed).ok_or_else(|| VaultError::Damaged(owner.to_owned()))
    }

    fn try_open(&self, owner: &str, sealed: &[u8]) -> Option<SecretValue> {
        let (head, rest) = sealed.split_at_checked(HEAD)?;
        let &[VERSION, form] = head else { return None };
        let (wrapped, body) = rest.split_at_checked(WRAPPED)?;
        let aad = aad(form, owner);
        let unwrapped = decrypt(&self.wrap, &aad, wrapped)?;
        let key: &[u8; LENGTH] = unwrapped.as_slice().try_into().ok()?;
        let mut plain = decrypt(&cipher(key), &aad, body)?;
        let form = match form {
            0 => Form::Text,
            1 => Form::Binary,
            _ => return None,
        };
        SecretValue::restore(form, std::mem::take(&mut *plain))
    }

    fn encrypt(
        &self,
        key: &LessSafeKey,
        aad: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), VaultError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| VaultError::Sealing)?;
        // Room for the tag, so that the plain text is not left behind by a growing vector.
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + TAG));
        text.extend_from_slice(plain);
        let nonce_value = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_value, Aad::from(aad), &mut *text)
            .map_err(|_| VaultError::Sealing)?;
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&text);
        Ok(())
    }
}

fn decrypt(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = Zeroizing::new(text.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), text.as_mut_slice()).ok()?.len();
    text.truncate(length);
    Some(text)
}

fn aad(form: u8, owner: &str) -> Vec<u8> {
    let mut aad = vec![VERSION, form];
    aad.extend_from_slice(owner.as_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(dir: &std::path::Path) -> Sealer {
        Sealer::new(&MasterKey::create(dir).unwrap())
    }

    #[test]
    fn a_value_opens_for_its_owner_only_and_under_its_key_only() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealer = sealer(here.path());
        for value in [SecretValue::text("hunter2".into()), SecretValue::binary(vec![0, 255])] {
            let sealed = sealer.seal("a|1", &value).unwrap();
            assert!(sealer.open("a|1", &sealed).unwrap().same(&value));
            assert!(sealer.open("a|2", &sealed).is_err());
            assert!(super::tests::sealer(there.path()).open("a|1", &sealed).is_err());
            assert_ne!(sealed, sealer.seal("a|1", &value).unwrap());
            assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = sealer(dir.path());
        let sealed = sealer.seal("a", &SecretValue::text("x".into())).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open("a", &changed).is_err(), "byte {at}");
            assert!(sealer.open("a", &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
