//! A server on a thread of its own.

use std::ops::Deref;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Handle, Server, StartError};

/// A server that runs on a thread of its own, made by
/// [`Server::start`](super::Server::start). It is used like the [`Handle`] that
/// it holds; dropping it stops the server without a grace period and waits for
/// its end.
///
/// ```
/// use std::time::Duration;
/// use noexd::{Config, Server};
/// use serde_json::json;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::default();
/// config.port = 0;
/// let server = Server::start(config)?;
/// assert_eq!(server.call("server.stats", json!({}))?["connectionCount"], 1);
/// server.stop_and_wait(Duration::ZERO)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServerThread {
    handle: Handle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl ServerThread {
    pub(super) fn spawn(
        build: impl FnOnce() -> Result<Server, StartError> + Send + 'static,
    ) -> Result<Self, StartError> {
        let failed = |reason: String| StartError::Failed { step: "thread".into(), reason };
        let (report, reported) = mpsc::sync_channel(1);
        // The server is built where it runs: it does not change threads.
        let run = move || {
            let mut server = match build() {
                Ok(server) => server,
                Err(error) => {
                    // Whoever started this waits for it.
                    let _ = report.send(Err(error));
                    return Ok(());
                }
            };
            let _ = report.send(Ok(server.handle()));
            server.run()
        };
        let thread = std::thread::Builder::new()
            .name("noexd".into())
            .spawn(run)
            .map_err(|error| failed(error.to_string()))?;
        let handle = reported.recv().map_err(|_| failed("it ended unexpectedly".into()))??;
        Ok(ServerThread { handle, thread: Some(thread) })
    }

    /// Stops the server (see [`Handle::stop`]) and waits for its end.
    ///
    /// # Errors
    ///
    /// Polling failed on the server's thread.
    pub fn stop_and_wait(mut self, grace: Duration) -> std::io::Result<()> {
        self.end(grace)
    }

    fn end(&mut self, grace: Duration) -> std::io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // One that has stopped already is what is wanted.
        let _ = self.handle.stop(grace);
        thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the server's thread panicked")))
    }
}

impl Deref for ServerThread {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        if let Err(error) = self.end(Duration::ZERO) {
            log::error!("server: {error}");
        }
    }
}
