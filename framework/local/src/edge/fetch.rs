//! What Mesos' fetcher does before an executor starts: brings its files into the sandbox. No cache, no archives.

use std::{
    error::Error,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use millstream_mesos_types::Uri;
use tokio::io::AsyncWriteExt as _;

/// A host that is down is known by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// As `--fetcher_stall_timeout` of a real agent: longest silence before the answer and within it.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// As `--fetcher_cache_size` of a real agent: no file of a task is larger, and a sandbox must not fill a laptop's disk.
const BYTES_MAX: u64 = 2 << 30;

/// Archives that Mesos would unpack.
const ARCHIVES: [&str; 8] = [".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip"];

/// Brings one file into the sandbox: by `http://`, or a local one. The error is for people and names the URI.
pub(super) async fn fetch(uri: &Uri, sandbox: &Path) -> Result<(), String> {
    fetch_within(uri, sandbox, BYTES_MAX, STALL_TIMEOUT)
        .await
        .map_err(|problem| format!("cannot fetch {:?}: {problem}", uri.value))
}

async fn fetch_within(uri: &Uri, sandbox: &Path, bytes_max: u64, stall_timeout: Duration) -> Result<(), String> {
    if uri.extract && !uri.executable && ARCHIVES.iter().any(|ending| uri.value.ends_with(ending)) {
        return Err("archives are not unpacked here".into());
    }
    let target = target(uri, sandbox)?;
    if let Some(folder) = target.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|error| error.to_string())?;
    }
    if uri.value.starts_with("http://") {
        download(&uri.value, &target, bytes_max, stall_timeout).await?;
    } else {
        let source = Path::new(uri.value.strip_prefix("file://").unwrap_or(&uri.value));
        if !source.is_absolute() {
            return Err("only http://, file:// and absolute paths here".into());
        }
        tokio::fs::copy(source, &target).await.map_err(|error| error.to_string())?;
    }
    if uri.executable {
        let executable = Permissions::from_mode(0o755);
        tokio::fs::set_permissions(&target, executable).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Where in the sandbox it goes: under `output_file`, else under the last part of the URI.
fn target(uri: &Uri, sandbox: &Path) -> Result<PathBuf, String> {
    let name = uri.output_file.as_deref().or_else(|| uri.value.rsplit('/').next()).unwrap_or_default();
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !inside { Err(format!("{name:?} is no file in the sandbox")) } else { Ok(sandbox.join(name)) }
}

async fn download(url: &str, target: &Path, bytes_max: u64, stall_timeout: Duration) -> Result<(), String> {
    let stalled = |_| format!("no byte for {} s", stall_timeout.as_secs_f64());
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let request = Request::get(url).body(Empty::new()).map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(stall_timeout, client.request(request)).await.map_err(stalled)?;
    let mut answer = answer.map_err(|error| chain(&error))?;
    if answer.status() != StatusCode::OK {
        return Err(format!("the answer is {}", answer.status()));
    }
    let mut file = tokio::fs::File::create(target).await.map_err(|error| error.to_string())?;
    let mut len = 0;
    // A body that ends before its Content-Length is an error of the frame.
    while let Some(frame) = tokio::time::timeout(stall_timeout, answer.frame()).await.map_err(stalled)? {
        let Ok(bytes) = frame.map_err(|error| chain(&error))?.into_data() else { continue };
        len += bytes.len() as u64;
        if len > bytes_max {
            return Err(format!("it has more than {bytes_max} bytes"));
        }
        file.write_all(&bytes).await.map_err(|error| error.to_string())?;
    }
    file.flush().await.map_err(|error| error.to_string())
}

/// An error with all that is behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with these bytes, and stays open.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/files/program", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = socket.read(&mut request).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
            if answer.ends_with('…') {
                std::future::pending::<()>().await;
            }
        });
        url
    }

    async fn fetched(value: String, output_file: Option<&str>, sandbox: &Path) -> Result<(), String> {
        let uri = Uri { value, executable: true, output_file: output_file.map(str::to_owned), ..Uri::default() };
        fetch_within(&uri, sandbox, 9, Duration::from_secs(1)).await
    }

    #[tokio::test]
    async fn a_file_comes_by_http_under_the_name_that_is_asked_for() {
        let sandbox = tempfile::tempdir().unwrap();
        for (output_file, place) in [(None, "program"), (Some("bin/other"), "bin/other")] {
            let url = server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n#!/bin/sh").await;
            fetched(url, output_file, sandbox.path()).await.unwrap();
            let file = sandbox.path().join(place);
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "#!/bin/sh");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        }
    }

    #[tokio::test]
    async fn every_way_to_fail_says_what_is_wrong() {
        let sandbox = tempfile::tempdir().unwrap();
        for (answer, problem) in [
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404 Not Found"),
            ("HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "307 Temporary"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890", "more than 9 bytes"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "body"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1…", "no byte for 1 s"),
        ] {
            let error = fetched(server(answer).await, None, sandbox.path()).await.unwrap_err();
            assert!(error.contains(problem), "{answer}: {error}");
        }
        for (uri, problem) in [
            ("http://127.0.0.1:1/program", "refused"),
            ("https://127.0.0.1:1/program", "only http://"),
            ("http://127.0.0.1:1/", "no file in the sandbox"),
            ("program", "only http://"),
            ("/no/such/file", "No such file"),
        ] {
            let error = fetched(uri.to_owned(), None, sandbox.path()).await.unwrap_err();
            assert!(error.contains(problem), "{uri}: {error}");
        }
        let outside = fetched("/bin/true".to_owned(), Some("../program"), sandbox.path()).await.unwrap_err();
        assert!(outside.contains("no file in the sandbox"), "{outside}");
    }
}
