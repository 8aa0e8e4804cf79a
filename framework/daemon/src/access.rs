//! Who may do what: tokens by their hashes, roles, and the jobs they are bound to.
//!
//! A token has 256 random bits and is made by `millstream token`: nobody guesses one, so a fast hash is enough, and a file
//! of hashes gives nothing away.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use millstream_http::token::is_same;
use millstream_topology::{SettingError, settings};
use serde::{Deserialize, Serialize};

pub use millstream_http::token::hash;

/// Before each token, so that people and scanners of repositories know one.
pub const PREFIX: &str = "mst_";

/// Random bytes of a token.
pub(crate) const TOKEN_BYTES: usize = 32;

/// What a token is good for. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Read,
    /// Plan, deploy and stop jobs.
    Operate,
    /// Forget jobs, and take backups of all the scheduler knows.
    Admin,
}

impl Role {
    /// All, with their words.
    pub const ALL: [(Role, &str); 3] = [(Role::Read, "read"), (Role::Operate, "operate"), (Role::Admin, "admin")];

    /// Its word.
    pub fn word(self) -> &'static str {
        Role::ALL.iter().find(|(role, _)| *role == self).map_or("read", |(_, word)| word)
    }
}

/// Jobs by name: `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobPattern(String);

impl JobPattern {
    /// A pattern.
    pub fn new(pattern: impl Into<String>) -> Self {
        JobPattern(pattern.into())
    }

    /// Whether the name is one of these.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }
}

/// One entry of the file of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is; for the audit log.
    pub name: String,
    /// SHA-256 of the token, in hex.
    pub sha256: String,
    /// What it is good for.
    pub role: Role,
    /// Which jobs; all when left out.
    #[serde(default = "all_jobs", skip_serializing_if = "is_all_jobs")]
    pub jobs: Vec<JobPattern>,
}

fn all_jobs() -> Vec<JobPattern> {
    vec![JobPattern::new("*")]
}

fn is_all_jobs(jobs: &[JobPattern]) -> bool {
    *jobs == all_jobs()
}

impl Token {
    /// Whether it is good for this job.
    pub fn may_see(&self, job: &str) -> bool {
        self.jobs.iter().any(|pattern| pattern.matches(job))
    }

    /// Whether it is bound to no job.
    pub fn sees_all(&self) -> bool {
        self.jobs.contains(&JobPattern::new("*"))
    }
}

/// The tokens of a scheduler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

/// Why tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SettingError),
    /// The file cannot be written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could read a token, or add one.
    #[error("{} may be {} by others than its owner: chmod {mode} {}", path.display(), done, path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What others could do.
        done: &'static str,
        /// What to make of it.
        mode: &'static str,
    },
    /// It is not as it should be.
    #[error("{}: {problem}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why; never a token.
        problem: String,
    },
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Token>,
}

impl Tokens {
    /// Of one token that may do everything.
    pub fn of_admin(token: &str) -> Tokens {
        Tokens(vec![Token { name: "local".into(), sha256: hash(token), role: Role::Admin, jobs: all_jobs() }])
    }

    /// Reads the file that `millstream token` writes: `[[token]]` entries. Others may not write it.
    pub fn read(path: &Path) -> Result<Tokens, TokenError> {
        let open = TokenError::Open { path: path.to_owned(), done: "written", mode: "go-w" };
        let text = read_closed(path, 0o022, open)?;
        let form = |problem: String| TokenError::Form { path: path.to_owned(), problem };
        // The text itself is never shown: somebody may have put a token there instead of its hash.
        let file: File = toml::from_str(&text).map_err(|error| form(line_of(&text, &error)))?;
        for token in &file.token {
            if token.sha256.len() != 64 || !token.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(form(format!("`sha256` of {:?} is not 64 hexadecimal digits", token.name)));
            }
        }
        match file.token.is_empty() {
            true => Err(form("there is no token in it; `millstream token NAME --role admin --file …` adds one".into())),
            false => Ok(Tokens(file.token)),
        }
    }

    /// The entry of a token. All are compared, each in a time that tells nothing.
    pub fn find(&self, token: &str) -> Option<&Token> {
        let hash = hash(token);
        let is = |entry: &Token| is_same(&entry.sha256, &hash);
        self.0.iter().fold(None, |found, entry| if is(entry) { Some(entry) } else { found })
    }
}

fn line_of(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let what = error.message().split(['`', '"']).next().unwrap_or_default().trim_end();
    format!("line {line}: {what}; entries are [[token]] with name, sha256, role and perhaps jobs")
}

/// A new token.
pub fn make() -> io::Result<String> {
    let mut random = [0; TOKEN_BYTES];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut random)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// Adds an entry to a file of tokens, which is made when there is none.
pub fn add(path: &Path, token: &Token) -> Result<(), TokenError> {
    let failed = |source| TokenError::File { path: path.to_owned(), source };
    let entry = toml::to_string(&File { token: vec![token.clone()] });
    let entry = entry.map_err(|error| TokenError::Form { path: path.to_owned(), problem: error.to_string() })?;
    let mut file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?.len();
    let gap = if before > 0 { "\n" } else { "" };
    file.write_all(format!("{gap}{entry}").as_bytes()).map_err(failed)
}

/// Where a user's own token lies: what schedulers on loopback accept without a file of tokens, and what `millstream` sends
/// there. `$MILLSTREAM_TOKEN_FILE`, or `millstream/token` in the user's folder for settings.
pub fn own_file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let settings = || set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    set("MILLSTREAM_TOKEN_FILE").or_else(|| settings().map(|settings| settings.join("millstream/token")))
}

/// A token out of a file of its own, which nobody else may read.
pub fn read_own(path: &Path) -> Result<String, TokenError> {
    let open = TokenError::Open { path: path.to_owned(), done: "read", mode: "600" };
    Ok(read_closed(path, 0o077, open)?.trim().to_owned())
}

/// The user's own token, made when there is none.
pub fn own(path: &Path) -> Result<String, TokenError> {
    let failed = |source| TokenError::File { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let token = make().map_err(failed)?;
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(format!("{token}\n").as_bytes()).map(|()| token).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let there = read_own(path)?;
            let short = || TokenError::Form { path: path.to_owned(), problem: "it holds no token: remove it".into() };
            if there.len() < TOKEN_BYTES { Err(short()) } else { Ok(there) }
        }
        Err(error) => Err(failed(error)),
    }
}

/// The text of a file, unless it is `open`: has one of these rights for others.
fn read_closed(path: &Path, rights: u32, open: TokenError) -> Result<String, TokenError> {
    let file = settings::open(path)?;
    let found = file.metadata().map_err(|source| TokenError::File { path: path.to_owned(), source })?;
    if found.mode() & rights == 0 { Ok(settings::read(path, file)?) } else { Err(open) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn entry(name: &str, token: &str, role: Role, jobs: &[&str]) -> Token {
        let jobs = jobs.iter().map(|pattern| JobPattern::new(*pattern)).collect();
        Token { name: name.into(), sha256: hash(token), role, jobs }
    }

    #[test]
    fn patterns_of_jobs() {
        let matches = |pattern: &str, name: &str| JobPattern::new(pattern).matches(name);
        for (pattern, name) in
            [("*", ""), ("*", "a"), ("a", "a"), ("a-*", "a-b"), ("*-a", "b-a"), ("a*c*e", "abcde"), ("a**", "a")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a", "ab"), ("a-*", "a"), ("*-a", "a-b"), ("a*c*e", "ae"), ("ab*ba", "aba")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_added_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tokens.toml");
        let (first, second) = (make().expect("random"), make().expect("random"));
        assert_ne!(first, second);
        add(&path, &entry("ci", &first, Role::Operate, &["a-*"])).expect("added");
        add(&path, &entry("me", &second, Role::Admin, &["*"])).expect("added");
        let tokens = Tokens::read(&path).expect("both");
        let found = tokens.find(&first).expect("it is there");
        assert_eq!(
            (found.name.as_str(), found.role, found.may_see("a-b"), found.may_see("b")),
            ("ci", Role::Operate, true, false)
        );
        assert!(tokens.find(&second).is_some_and(Token::sees_all));
        for wrong in ["", "mst_", &hash(&first), &first[..first.len() - 1], &format!("{first}x")] {
            assert_eq!(tokens.find(wrong), None, "{wrong}");
        }
        let text = fs::read_to_string(&path).expect("written");
        assert!(!text.contains(&first) && fs::metadata(&path).expect("there").mode() & 0o777 == 0o600);
    }

    #[test]
    fn files_that_others_may_write_or_that_are_no_tokens_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tokens.toml");
        let said = |text: &str| {
            fs::write(&path, text).expect("written");
            Tokens::read(&path).expect_err(text).to_string()
        };
        for text in [
            "",
            "token = \"hunter2\"",
            "[[token]]\nname = \"a\"\nsha256 = \"hunter2\"\nrole = \"read\"",
            "hunter2",
            "[[token]]\nrole = \"hunter2\"",
        ] {
            let error = said(text);
            assert!(!error.contains("hunter2") && error.contains("tokens.toml"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("ours");
        assert!(said("").contains("chmod go-w"));
    }

    #[test]
    fn the_own_token_is_made_once_and_is_the_users_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/token");
        let token = own(&path).expect("made");
        assert_eq!((own(&path).expect("there"), read_own(&path).expect("there")), (token.clone(), token));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        assert!(own(&path).expect_err("others read it").to_string().contains("chmod 600"));
    }
}
