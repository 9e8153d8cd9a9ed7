//! The application that answers where nginx cannot: HTTP/2 without TLS, trailers, uploads, WebSocket, a count of
//! requests on a port of its own. Every answer carries `x-app: real`.
//!
//! | path | answer |
//! | --- | --- |
//! | `/status/N` | status N; 204 and 304 without a body |
//! | `/bytes/N?rate=R` | N bytes with a length, at most R bytes a second |
//! | `/chunked/N` | N chunks without a length, then the trailer `x-chunks: N` |
//! | `/stream/CHUNKS/MS` | so many chunks, MS milliseconds before each |
//! | `/gzip` | a gzip body |
//! | `/echo` | the request as it arrived: line, headers, body |
//! | `/upload` | `received N` when N bytes of body were read |
//! | `/slow/MS` | `real`, after MS milliseconds |
//! | `/ws` | a WebSocket handshake, then every byte comes back |
//! | all others | `real` |

mod answer;
mod serve;
mod upgrade;

pub use serve::{Kind, count, serve};
