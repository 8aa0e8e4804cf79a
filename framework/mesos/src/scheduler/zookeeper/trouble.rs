use std::{io, time::Duration};

use futures_util::future::join_all;
use tokio::net::{TcpStream, lookup_host};

use super::{ZooKeeperTls, ZooKeeperUrl};

/// How long one server is tried: whoever waits for the answer is in trouble already.
const TRY_WITHIN: Duration = Duration::from_secs(2);

impl ZooKeeperUrl {
    /// Why no server has answered, for people.
    pub async fn why_silent(&self, tls: Option<&ZooKeeperTls>) -> String {
        self.trouble(tls).await.unwrap_or_else(|| match tls {
            Some(_) => "no server answers in time".into(),
            None => "no server answers in time; servers that want TLS are named with `ca` in [zookeeper]".into(),
        })
    }

    /// What keeps us from its servers at the moment, for people: each that cannot be reached, with the cause. None when
    /// one of them can. ZooKeeper's client itself only says that its time was over.
    async fn trouble(&self, tls: Option<&ZooKeeperTls>) -> Option<String> {
        let tried = join_all(self.servers().split(',').map(|server| unreachable(server, tls))).await;
        let all: Option<Vec<String>> = tried.into_iter().collect();
        all.map(|all| all.join("; "))
    }
}

async fn unreachable(server: &str, tls: Option<&ZooKeeperTls>) -> Option<String> {
    let addresses: Vec<_> = match tokio::time::timeout(TRY_WITHIN, lookup_host(server)).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Some(format!("{server} cannot be resolved: {}", cause(&error))),
        Err(_) => return Some(format!("{server} is not resolved within {} s", TRY_WITHIN.as_secs())),
    };
    let tried = async {
        let stream = TcpStream::connect(&*addresses).await?;
        match tls {
            Some(tls) => Ok(tls.trouble(server, stream).await),
            None => Ok(None),
        }
    };
    match tokio::time::timeout(TRY_WITHIN, tried).await {
        Ok(Ok(trouble)) => trouble.map(|trouble| format!("{server}: {trouble}")),
        Ok(Err(error)) => Some(format!("{server}: {}", cause(&error))),
        Err(_) => Some(format!("{server} does not answer within {} s", TRY_WITHIN.as_secs())),
    }
}

/// What the system says, without the number of the error and what tokio says before it.
fn cause(error: &io::Error) -> String {
    let text = error.to_string().to_lowercase();
    let text = text.trim_start_matches("failed to lookup address information: ");
    text.split(" (os error").next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_server_that_cannot_be_reached_is_named_with_the_cause() {
        // A name with an empty part is refused without asking anybody; nothing listens on port 1.
        let url = ZooKeeperUrl::parse("zk://no..host:2181,127.0.0.1:1/x").unwrap();
        let trouble = url.trouble(None).await.unwrap();
        let (first, second) = trouble.split_once("; ").unwrap();
        assert!(first.starts_with("no..host:2181 cannot be resolved: "), "{trouble}");
        assert_eq!(second, "127.0.0.1:1: connection refused");
    }

    #[tokio::test]
    async fn a_zookeeper_of_which_one_server_can_be_reached_is_in_no_trouble() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("zk://127.0.0.1:1,{}/x", listener.local_addr().unwrap());
        assert_eq!(ZooKeeperUrl::parse(&url).unwrap().trouble(None).await, None);
    }
}
