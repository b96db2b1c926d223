//! The secret that our own tokens are signed with: given, read from a file, or made on first start.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::config::{Auth, Config, Hs256};
use crate::private;

/// The number of random bytes in a secret.
const BYTES: usize = Auth::SHORTEST_SECRET;

/// The secret. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A named file can't be read.
    #[error("can't read the token secret {path}: {}", crate::private::why(.error))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is there but holds nothing.
    #[error("the token secret {0} is empty; write 32 random bytes into it, or remove it to have one made")]
    Empty(PathBuf),
    /// It could be guessed.
    #[error(
        "the token secret {path} has {found} bytes and could be guessed; it needs {BYTES} bytes: {}",
        Auth::HOW_TO_MAKE_A_SECRET
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// The number of bytes that it has.
        found: usize,
    },
    /// A new one can't be stored.
    #[error("can't make a token secret at {path}: {}", crate::private::why(.error))]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Secret {
    /// The configured secret; when none is, the one in the data directory, which is made when it is not there. None where
    /// tokens that are signed with a secret are not believed.
    ///
    /// # Errors
    /// When it can't be read or stored, or could be guessed.
    pub fn load_or_create(config: &Config) -> Result<Option<Self>, SecretError> {
        let auth = &config.auth;
        if auth.hs256 == Hs256::Off {
            return Ok(None);
        }
        if let Some(secret) = &auth.secret {
            return Ok(Some(Self::of(secret.as_bytes())));
        }
        if let Some(path) = &auth.secret_file {
            return Self::read(path, auth).map(Some);
        }
        let path = Self::own_path(config);
        match Self::read(&path, auth) {
            Err(SecretError::Read { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                if Self::only_public(auth) { Ok(None) } else { Self::create(&path, auth).map(Some) }
            }
            Ok(left_over) if Self::only_public(auth) => {
                tracing::warn!(
                    "besides the tokens of the configured keys, those are believed that are signed with {}, which was made \
                     before: say auth.hs256 = \"off\", or \"on\" when they are meant",
                    path.display()
                );
                Ok(Some(left_over))
            }
            outcome => outcome.map(Some),
        }
    }

    /// True if [`Self::load_or_create`] would make one.
    #[must_use]
    pub fn is_to_be_made(config: &Config) -> bool {
        let auth = &config.auth;
        let is_wanted = auth.hs256 != Hs256::Off && !Self::only_public(auth);
        is_wanted && auth.secret.is_none() && auth.secret_file.is_none() && !Self::own_path(config).exists()
    }

    /// True if, by default, only tokens signed with others' public keys are accepted.
    fn only_public(auth: &Auth) -> bool {
        auth.hs256 == Hs256::Auto && auth.has_public_keys()
    }

    /// The path of the secret that the daemon makes when none is configured.
    #[must_use]
    pub fn own_path(config: &Config) -> PathBuf {
        config.data_dir.join("secret")
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.trim_ascii().len() < BYTES {
            tracing::warn!("the token secret is shorter than {BYTES} bytes and may be guessed; use a longer one");
        }
        Self(bytes.to_vec())
    }

    fn read(path: &Path, auth: &Auth) -> Result<Self, SecretError> {
        let read = |error| SecretError::Read { path: path.to_owned(), error };
        let bytes = private::read(path).map_err(read)?;
        // An editor or `echo` leaves a line end, which is not part of the secret.
        let secret = bytes.trim_ascii();
        if secret.is_empty() {
            return Err(SecretError::Empty(path.to_owned()));
        }
        if auth.is_too_short(secret) {
            return Err(SecretError::Short { path: path.to_owned(), found: secret.len() });
        }
        Ok(Self::of(secret))
    }

    /// Written whole beside its place and then linked there, so that of two first starts both end with the same one.
    fn create(path: &Path, auth: &Auth) -> Result<Self, SecretError> {
        let make = |error| SecretError::Make { path: path.to_owned(), error };
        let mut random = [0; BYTES];
        SysRng.try_fill_bytes(&mut random).map_err(|error| make(io::Error::other(error)))?;
        let text = URL_SAFE_NO_PAD.encode(random);
        if let Some(folder) = path.parent() {
            private::make_folder(folder).map_err(make)?;
        }
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let outcome = write_private(&draft, &text).and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome,
        });
        let _ = fs::remove_file(&draft);
        outcome.map_err(make)?;
        Self::read(path, auth)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path) -> Config {
        Config { data_dir: folder.join("data"), ..Config::default() }
    }

    #[test]
    fn it_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let made = Secret::load_or_create(&config).unwrap().unwrap();
        assert_eq!(Some(&made), Secret::load_or_create(&config).unwrap().as_ref());
        assert_eq!(URL_SAFE_NO_PAD.decode(made.bytes()).unwrap().len(), BYTES);
        assert_eq!(fs::read_dir(&config.data_dir).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(config.data_dir.join("secret")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_named_file_is_read_but_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        let path = folder.path().join("mine");
        config.auth.secret_file = Some(path.clone());
        assert!(matches!(Secret::load_or_create(&config), Err(SecretError::Read { .. })));
        fs::write(&path, "\n").unwrap();
        assert!(matches!(Secret::load_or_create(&config), Err(SecretError::Empty(_))));
        fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(Secret::load_or_create(&config).unwrap().unwrap().bytes(), b"0123456789abcdef0123456789abcdef");
        fs::write(&path, " 0123456789abcdef0123456789abcde \n").unwrap();
        assert!(matches!(Secret::load_or_create(&config), Err(SecretError::Short { found: 31, .. })));
        config.auth.allow_short_secret = true;
        assert_eq!(Secret::load_or_create(&config).unwrap().unwrap().bytes().len(), 31);
        config.auth.hs256 = Hs256::Off;
        assert_eq!(Secret::load_or_create(&config).unwrap(), None);
    }
}
