//! A namespace with many sockets in it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use httpfault_tests::site::Site;

use crate::{contenders::OTHER_PORT, size::Size};

/// Leaves sockets in TIME_WAIT, and opens connections to another port of the application, which last as long as what is
/// returned.
pub(crate) fn fill(site: &Site, size: &Size) -> Result<Vec<TcpStream>> {
    site.target.run(|| leave_waiting(size.waiting))?;
    let to = SocketAddr::new(site.v4().ip(), OTHER_PORT);
    let connect = |_| TcpStream::connect(to).context("opening a connection to stay");
    site.client.run(|| (0..size.established).map(connect).collect())
}

/// Opens and closes connections in the calling thread's namespace; whoever closes first keeps its end in TIME_WAIT.
fn leave_waiting(number: usize) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("listening")?;
    let port = listener.local_addr()?.port();
    for serial in 0..number {
        // A client has at most 28,000 ports for each destination.
        let block = u8::try_from(serial / 20_000).context("too many sockets")?;
        let client = TcpStream::connect((Ipv4Addr::new(127, 0, block, 1), port)).context("connecting")?;
        let (served, _) = listener.accept().context("accepting")?;
        drop(served);
        drop(client);
    }
    Ok(())
}
