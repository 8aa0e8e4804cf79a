//! Values that may be secrets: read where they are used, never written anywhere (invariant 7).

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use millstream_spec::{Setting, kafka_options};
use nix::fcntl::OFlag;

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
    /// A device, a pipe, a folder: nobody can say how much there is to read, or whether it ever ends.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// A Kafka property that a job may not set: an earlier release let it pass, or the value comes from a secret.
    #[error("`{name}` in source.kafka.options is not for jobs")]
    Option {
        /// The property.
        name: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The process ends.
    #[error("interrupted while reading a setting")]
    Interrupted,
    /// The file is far larger than what was meant.
    #[error("the file `{}` is larger than {bytes_max} bytes", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// How large it may be.
        bytes_max: u64,
    },
}

impl SettingError {
    /// What to do about it, one line.
    pub fn remedy(&self) -> String {
        match self {
            SettingError::EnvMissing { name } | SettingError::EnvNotText { name } => {
                format!("set `{name}` for the scheduler and for the agents' executors")
            }
            SettingError::Interrupted => "try again".to_owned(),
            SettingError::Option { remedy, .. } => format!("{remedy}; then deploy the job again"),
            SettingError::File { path, .. }
            | SettingError::NotAFile { path }
            | SettingError::FileTooLarge { path, .. } => {
                format!(
                    "put `{}` on the scheduler's host and on every agent, readable by the job's user",
                    path.display()
                )
            }
        }
    }
}

/// The text of a setting: as it is, from the environment, or from a file without its last line break. Blocks.
pub fn resolve(setting: &Setting) -> Result<String, SettingError> {
    match setting {
        Setting::Value(text) => Ok(text.clone()),
        Setting::Env(name) => match env::var(name) {
            Ok(text) => Ok(text),
            Err(env::VarError::NotPresent) => Err(SettingError::EnvMissing { name: name.clone() }),
            Err(env::VarError::NotUnicode(_)) => Err(SettingError::EnvNotText { name: name.clone() }),
        },
        Setting::File(path) => {
            let text = read(path, open(path)?)?;
            let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
            Ok(line.to_owned())
        }
    }
}

/// What librdkafka gets of a property; none where Millstream overrules it. Files that the property names are looked at, for
/// librdkafka itself would read any. Blocks.
pub(crate) fn kafka_option(name: &str, setting: &Setting) -> Result<Option<String>, SettingError> {
    use kafka_options::Rule;
    let refused = |remedy| SettingError::Option { name: name.to_owned(), remedy };
    match kafka_options::rule(name) {
        Rule::Passed => {}
        Rule::Overruled(_) | Rule::Owned(_) => return Ok(None),
        Rule::Forbidden(remedy) | Rule::Java(remedy) => return Err(refused(remedy)),
        Rule::Unknown => return Err(refused("docs/job-file.md lists the properties that a job may set: leave it out")),
    }
    let is_read_by_others = kafka_options::FILES.contains(&name) || name == kafka_options::TOKEN_ENDPOINT;
    if is_read_by_others && !matches!(setting, Setting::Value(_)) {
        return Err(refused("write the path or the URL itself: whether the job may use it is looked at before"));
    }
    let value = resolve(setting)?;
    if let Some(remedy) = kafka_options::refused_value(name, &value) {
        return Err(refused(remedy));
    }
    // Of authorities there may be a folder, or those that librdkafka finds.
    let is_of_authorities = name == "ssl.ca.location" && (value == "probe" || Path::new(&value).is_dir());
    if kafka_options::FILES.contains(&name) && !is_of_authorities {
        open(Path::new(&value))?;
    }
    Ok(Some(value))
}

/// Opens a regular file no larger than a setting may be, whatever stands at the path, without waiting for anybody.
pub fn open(path: &Path) -> Result<File, SettingError> {
    open_within(path, FILE_BYTES_MAX)
}

/// The same of at most `bytes_max`; it may grow while it is read.
pub fn open_within(path: &Path, bytes_max: u64) -> Result<File, SettingError> {
    let failed = |source| SettingError::File { path: path.to_owned(), source };
    // A pipe without a writer would be waited for.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(SettingError::NotAFile { path: path.to_owned() });
    }
    if found.len() > bytes_max {
        return Err(SettingError::FileTooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(file)
}

/// The text of a file that [`open`] has opened; it may have grown since.
pub fn read(path: &Path, file: File) -> Result<String, SettingError> {
    let failed = |source| SettingError::File { path: path.to_owned(), source };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(SettingError::FileTooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX }),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_file_is_refused_at_once() {
        let folder = env::temp_dir().join(format!("millstream-no-file-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a temporary folder");
        let pipe = folder.join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        let large = folder.join("large");
        File::create(&large).and_then(|file| file.set_len(FILE_BYTES_MAX + 1)).expect("a sparse file");
        for path in [Path::new("/dev/zero"), Path::new("/dev/stdin"), &folder, &pipe, &large] {
            let refused = resolve(&Setting::File(path.to_owned())).expect_err("no file of a bounded size");
            let named = matches!(refused, SettingError::NotAFile { .. } | SettingError::FileTooLarge { .. });
            assert!(named || path == Path::new("/dev/stdin"), "{}: {refused}", path.display());
            let option = kafka_option("ssl.key.location", &Setting::Value(path.display().to_string()));
            assert!(option.is_err(), "{}", path.display());
        }
        std::fs::remove_dir_all(&folder).expect("it is there");
    }

    #[test]
    fn properties_of_stored_jobs_are_looked_at_again() {
        let option = |name, value: &str| kafka_option(name, &Setting::Value(value.into()));
        assert_eq!(option("fetch.min.bytes", "1").expect("allowed"), Some("1".into()));
        assert_eq!(option("linger.ms", "1").expect("overruled"), None);
        assert_eq!(option("debug", "all").expect("set by us"), None);
        for (name, value) in [
            ("plugin.library.paths", "/tmp/x.so"),
            ("internal.termination.signal", "9"),
            ("ssl.endpoint.identification.algorithm", "none"),
            ("made.up", "1"),
        ] {
            let refused = option(name, value).expect_err("not for jobs");
            assert!(refused.to_string().contains(name) && refused.remedy().contains("deploy"), "{refused}");
        }
    }

    #[test]
    fn values_files_and_the_environment() {
        assert_eq!(resolve(&Setting::Value("x\n".into())).expect("a value"), "x\n");
        // CARGO_PKG_NAME is set for every test: changing the environment would race with other tests.
        assert_eq!(resolve(&Setting::Env("CARGO_PKG_NAME".into())).expect("set by cargo"), "millstream-topology");
        let missing = resolve(&Setting::Env("MILLSTREAM_NO_SUCH_VARIABLE".into())).expect_err("not set");
        assert!(missing.to_string().contains("`MILLSTREAM_NO_SUCH_VARIABLE` is not set"), "{missing}");

        let path = env::temp_dir().join(format!("millstream-setting-{}", std::process::id()));
        for (text, expected) in [("secret\n", "secret"), ("secret\r\n", "secret"), ("two\n\n", "two\n"), ("", "")] {
            std::fs::write(&path, text).expect("a temporary file");
            assert_eq!(resolve(&Setting::File(path.clone())).expect("a file"), expected);
        }
        std::fs::remove_file(&path).expect("the file is there");
        let gone = resolve(&Setting::File(path)).expect_err("removed");
        assert!(gone.remedy().contains("every agent"), "{}", gone.remedy());
    }
}
