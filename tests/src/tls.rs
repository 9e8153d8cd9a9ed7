//! HTTP/1.1 inside TLS, over a connection that stays open: `openssl s_client`.

use std::{
    io::{BufReader, Read, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::netns::Namespace;

const ANSWER: Duration = Duration::from_secs(10);

/// One connection. The certificate is not looked at.
#[derive(Debug)]
pub struct Tls {
    child: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
}

/// Status and headers, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(String);

impl Tls {
    pub fn open(namespace: &Namespace, to: SocketAddr) -> Result<Self> {
        let mut openssl = namespace.command("openssl");
        openssl.args(["s_client", "-quiet", "-no_ign_eof", "-connect", &to.to_string()]);
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = openssl.spawn().context("starting openssl")?;
        let input = child.stdin.take().context("openssl has no standard input")?;
        let mut stdout = BufReader::new(child.stdout.take().context("openssl has no standard output")?);
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, output })
    }

    /// A request whose answer has a body of one line.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        write!(self.input, "GET {path} HTTP/1.1\r\nHost: app\r\n\r\n").context("writing into TLS")?;
        self.input.flush()?;
        let mut text = Vec::new();
        let complete = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            text.split_once("\r\n\r\n").is_some_and(|(_head, body)| body.ends_with('\n'))
        };
        while !complete(&text) {
            text.extend(self.output.recv_timeout(ANSWER).context("no answer inside TLS")?);
        }
        Ok(Answer(String::from_utf8_lossy(&text).into_owned()))
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        drop(ended);
    }
}

impl Answer {
    pub fn is_real(&self) -> bool {
        self.0.starts_with("HTTP/1.1 200") && self.0.contains("x-app: real")
    }
}
