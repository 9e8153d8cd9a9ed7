//! One connection: what it speaks, and who serves it.

use std::{future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, sleep_until},
};

use crate::{
    activity::Seat,
    adopted::Asked,
    context::Context,
    http1::{Begun, Front},
    http2,
    sniff::{Protocol, sniff},
    stats::add_one,
    stream::Buffered,
    tunnel::tunnel,
    upstream::connect,
};

/// Serves an accepted connection to its end.
pub(crate) async fn serve(accepted: Accepted, context: Arc<Context>, seat: Seat) {
    let Accepted { stream, local, protocol, read, begun } = accepted;
    let origin = context.destination.origin(local);
    let mut client = Buffered::with(stream, read);
    let mut application = None;

    let known = match protocol {
        Some(known) => First::Spoke(known),
        None => Box::pin(first_words(&mut client, &mut application, &context, origin, &seat)).await,
    };
    let protocol = match known {
        First::Spoke(protocol) => protocol,
        First::Silent => return client.linger(context.limits.linger_time).await,
        First::Gone => return,
    };
    let here = context.stats.here();
    match protocol {
        Protocol::Http1 => {
            let front = Front::new(client, begun, application, context, origin, seat);
            return front.run(Asked::by_nobody()).await;
        }
        // With nothing to fault even hyper's own framing would be a change.
        Protocol::Http2 if context.decider.faults_none() => {
            client.may_pause();
            let counted = http2::Passed::new(client, &context);
            return Box::pin(tunnel(counted, application, &context, origin, &seat)).await;
        }
        Protocol::Http2 => return Box::pin(http2::serve(client, context, origin, seat)).await,
        Protocol::Tls => add_one(&here.tls),
        Protocol::ProxyHeader => {
            add_one(&here.not_http);
            add_one(&here.proxy_protocol);
        }
        Protocol::Other => add_one(&here.not_http),
    }
    client.may_pause();
    Box::pin(tunnel(client, application, &context, origin, &seat)).await;
}

/// A connection, and what was seen of it when it was accepted.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// Where the client connected to.
    pub(crate) local: SocketAddr,
    /// `None` if it is not known yet.
    pub(crate) protocol: Option<Protocol>,
    /// Read and not used.
    pub(crate) read: BytesMut,
    /// What became of what was read before, in HTTP/1.
    pub(crate) begun: Begun,
}

/// Serves a connection that was adopted, which is HTTP/1 or is passed to the application as it is. Its client does not
/// notice that the fault ends.
pub(crate) async fn serve_adopted(
    stream: UnixStream,
    context: Arc<Context>,
    origin: SocketAddr,
    seat: Seat,
    asked: Asked,
) {
    let client = Buffered::adopted(stream);
    Front::new(client, Begun::default(), None, context, origin, seat).unnoticed().run(asked).await;
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
    client: &mut Buffered,
    application: &mut Option<Buffered>,
    context: &Context,
    origin: SocketAddr,
    seat: &Seat,
) -> First {
    let begin = Instant::now();
    let ask_at = begin + context.limits.silence;
    let mut asked = false;
    loop {
        if let Some(protocol) = sniff(&client.buf) {
            return First::Spoke(protocol);
        }
        let silent = client.buf.is_empty();
        let end_at = begin + if silent { context.limits.idle_time } else { context.limits.head_time };
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
                *application = connect(context, origin).await.ok();
            }
            () = sleep_until(end_at) => {
                return if silent { First::Silent } else { First::Spoke(Protocol::Other) };
            }
            // Whoever was accepted last gets the time to say something.
            () = closing(context, begin, seat), if silent => return First::Silent,
        }
    }
}

/// The end of everything, but not before a new client had the time for its first bytes.
async fn closing(context: &Context, accepted: Instant, seat: &Seat) {
    poll_fn(|cx| seat.poll_close(&context.life, cx)).await;
    sleep_until(accepted + context.limits.linger_time / 4).await;
}

/// Waits for the application's first bytes; false is its end.
async fn spoke_first(application: &mut Option<Buffered>) -> bool {
    match application {
        Some(stream) => matches!(stream.fill().await, Ok(1..)),
        None => std::future::pending().await,
    }
}
