//! Values that may be secrets: read where they are used, never written anywhere (invariant 7).

use std::{env, fs, io, path::PathBuf};

use millstream_spec::Setting;

/// Largest file that is read as a setting: certificates and keys are far smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A setting that cannot be read. Never holds the value.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// `{ env = "X" }` without X.
    #[error("environment variable `{name}` is not set on this host")]
    EnvMissing {
        /// The variable.
        name: String,
    },
    /// The variable holds something that is not UTF-8.
    #[error("environment variable `{name}` is not UTF-8")]
    EnvNotText {
        /// The variable.
        name: String,
    },
    /// `{ file = "/p" }` that cannot be read.
    #[error("cannot read the file `{}` on this host", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is far larger than any secret.
    #[error("the file `{}` is larger than {FILE_BYTES_MAX} bytes", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl SettingError {
    /// What to do about it, one line.
    pub fn remedy(&self) -> String {
        match self {
            SettingError::EnvMissing { name } | SettingError::EnvNotText { name } => {
                format!("set `{name}` for the scheduler and for the agents' executors")
            }
            SettingError::File { path, .. } | SettingError::FileTooLarge { path } => {
                format!(
                    "put `{}` on the scheduler's host and on every agent, readable by the job's user",
                    path.display()
                )
            }
        }
    }
}

/// The text of a setting: as it is, from the environment, or from a file without its last line break.
pub fn resolve(setting: &Setting) -> Result<String, SettingError> {
    match setting {
        Setting::Value(text) => Ok(text.clone()),
        Setting::Env(name) => match env::var(name) {
            Ok(text) => Ok(text),
            Err(env::VarError::NotPresent) => Err(SettingError::EnvMissing { name: name.clone() }),
            Err(env::VarError::NotUnicode(_)) => Err(SettingError::EnvNotText { name: name.clone() }),
        },
        Setting::File(path) => {
            let failed = |source| SettingError::File { path: path.clone(), source };
            if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
                return Err(SettingError::FileTooLarge { path: path.clone() });
            }
            let text = fs::read_to_string(path).map_err(failed)?;
            let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
            Ok(line.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_files_and_the_environment() {
        assert_eq!(resolve(&Setting::Value("x\n".into())).expect("a value"), "x\n");
        // CARGO_PKG_NAME is set for every test: changing the environment would race with other tests.
        assert_eq!(resolve(&Setting::Env("CARGO_PKG_NAME".into())).expect("set by cargo"), "millstream-topology");
        let missing = resolve(&Setting::Env("MILLSTREAM_NO_SUCH_VARIABLE".into())).expect_err("not set");
        assert!(missing.to_string().contains("`MILLSTREAM_NO_SUCH_VARIABLE` is not set"), "{missing}");

        let path = env::temp_dir().join(format!("millstream-setting-{}", std::process::id()));
        for (text, expected) in [("secret\n", "secret"), ("secret\r\n", "secret"), ("two\n\n", "two\n"), ("", "")] {
            fs::write(&path, text).expect("a temporary file");
            assert_eq!(resolve(&Setting::File(path.clone())).expect("a file"), expected);
        }
        fs::remove_file(&path).expect("the file is there");
        let gone = resolve(&Setting::File(path)).expect_err("removed");
        assert!(gone.remedy().contains("every agent"), "{}", gone.remedy());
    }
}
