//! One connection: what it speaks, and who serves it.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, sleep_until},
};

use crate::{
    adopted::Asked,
    http1, http2,
    life::Seat,
    responder::Shared,
    sniff::{Protocol, sniff},
    splice::{connect, splice},
    stats::add_one,
    wire::Wire,
};

/// Serves an accepted connection to its end.
pub(crate) async fn serve(stream: TcpStream, shared: Arc<Shared>, seat: Seat) {
    // Fails only for a connection that the client has already reset.
    let Ok(local) = stream.local_addr() else { return };
    let origin = shared.destination.origin(local);
    let mut client = Wire::new(stream);
    let mut application = None;

    let protocol = match first_words(&mut client, &mut application, &shared, origin).await {
        First::Spoke(protocol) => protocol,
        First::Silent => return client.linger(shared.limits.linger_time).await,
        First::Gone => return,
    };
    let stats = &shared.stats;
    match protocol {
        Protocol::Http1 => return http1::serve(client, application, shared, origin, seat).await,
        // With nothing to fault even hyper's own framing would be a change.
        Protocol::Http2 if shared.decider.faults_none() => {}
        Protocol::Http2 => return http2::serve(client, shared, origin, seat).await,
        Protocol::Tls => add_one(&stats.tls),
        Protocol::Other => add_one(&stats.not_http),
    }
    splice(client, application, &shared, origin, &seat).await;
}

/// Serves a connection that was adopted, which is HTTP/1 or is passed to the application as it is.
pub(crate) async fn serve_adopted(
    stream: UnixStream,
    shared: Arc<Shared>,
    origin: SocketAddr,
    seat: Seat,
    asked: Asked,
) {
    http1::serve_adopted(Wire::adopted(stream), shared, origin, seat, asked).await;
}

enum First {
    Spoke(Protocol),
    /// The client said nothing in its time.
    Silent,
    Gone,
}

/// Reads until the protocol is known. In some protocols the server speaks first, so after a silence the application is
/// asked too; HTTP clients that open connections in advance are not harmed by that.
async fn first_words(
    client: &mut Wire,
    application: &mut Option<Wire>,
    shared: &Shared,
    origin: SocketAddr,
) -> First {
    let begin = Instant::now();
    let ask_at = begin + shared.limits.silence;
    let mut asked = false;
    loop {
        if let Some(protocol) = sniff(&client.buf) {
            return First::Spoke(protocol);
        }
        let silent = client.buf.is_empty();
        let end_at = begin + if silent { shared.limits.idle_time } else { shared.limits.head_time };
        tokio::select! {
            biased;
            filled = client.fill() => match filled {
                Ok(0) if client.buf.is_empty() => return First::Silent,
                // Too little for any protocol: the application may know what it is.
                Ok(0) => return First::Spoke(Protocol::Other),
                Ok(_) => {}
                Err(_) => return First::Gone,
            },
            spoke = spoke_first(application), if silent => {
                if spoke {
                    return First::Spoke(Protocol::Other);
                }
                // It closed a connection on which nothing was said, as it may.
                *application = None;
            }
            () = sleep_until(ask_at), if silent && !asked => {
                asked = true;
                *application = connect(shared, origin).await.ok();
            }
            () = sleep_until(end_at) => {
                return if silent { First::Silent } else { First::Spoke(Protocol::Other) };
            }
            // Whoever was accepted last gets the time to say something.
            () = closing(shared, begin), if silent => return First::Silent,
        }
    }
}

/// The end of everything, but not before a new client had the time for its first bytes.
async fn closing(shared: &Shared, accepted: Instant) {
    shared.life.closing.cancelled().await;
    sleep_until(accepted + shared.limits.linger_time / 4).await;
}

/// Waits for the application's first bytes; false is its end.
async fn spoke_first(application: &mut Option<Wire>) -> bool {
    match application {
        Some(wire) => matches!(wire.fill().await, Ok(1..)),
        None => std::future::pending().await,
    }
}
