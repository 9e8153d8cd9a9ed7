//! What the fuzz targets are fed with: whole messages that are kept because they mean something, and lines and scraps of
//! which random ones are put together. A finding becomes an entry of [`CORPUS`].

/// Messages, good and bad.
pub(crate) const CORPUS: [&str; 28] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a?b HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /next HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\nGET /n HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\nabc\r\n00\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nContent-Length: 03\r\n\r\nabc",
    "POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\nabc",
    "POST / HTTP/1.1\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "GET / HTTP/1.1\r\nConnection: upgrade, close\r\nUpgrade: h2c, websocket\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    "GET / HTTP/1.1\r\nA : b\r\n\r\n",
    "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03\x01",
    "OPTIONS * HTTP/1.1\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n",
    "HEAD http://a/b HTTP/1.1\r\nHost: c\r\n\r\n",
    "GET / HTTP/1.9\r\n\r\n",
    "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
];

/// Lines and scraps.
const WORDS: [&str; 52] = [
    "GET / HTTP/1.1\r\n",
    "GET /a%00b HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\n",
    "POST /b HTTP/1.0\r\n",
    "PUT /c?d=e#f HTTP/1.1\r\n",
    "HEAD / HTTP/1.1\r\n",
    "CONNECT a:1 HTTP/1.1\r\n",
    "Host: a\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 3\r\n",
    "Content-Length:3\r\n",
    "content-length: 5 \r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 3, 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "transfer-encoding: Chunked \r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: Upgrade, close\r\n",
    "Upgrade: h2c\r\n",
    "Expect: 100-continue\r\n",
    "Accept: application/json;q=0.5, */*\r\n",
    "x: \u{e9}\r\n",
    " folded\r\n",
    "\tfolded\r\n",
    ": no name\r\n",
    "no colon\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "0\r\n",
    "0\r\n\r\n",
    "3\r\nabc\r\n",
    "3;x=y\r\nabc\r\n",
    "a\r\n0123456789\r\n",
    "3\r\nabcd\r\n",
    "abc",
    "GET ",
    " HTTP/1.1",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 204 \r\n",
    "HTTP/1.0 301\r\n",
    "HTTP/1.1 999 \r\n",
    "\u{0}",
];

/// How one in so many pieces is random bytes instead.
const RAW: usize = 8;

/// A random message, as pieces, and where it is cut.
pub(crate) type Random = (Vec<(u8, Vec<u8>)>, Vec<u16>);

/// The bytes of a random message.
pub(crate) fn bytes((pieces, _): &Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (word, raw) in pieces {
        let word = WORDS.get(usize::from(*word) % (WORDS.len() + RAW));
        bytes.extend_from_slice(word.map_or(raw.as_slice(), |word| word.as_bytes()));
    }
    bytes
}

/// `bytes` in pieces.
pub(crate) fn cut<'a>(bytes: &'a [u8], cuts: &[u16]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut begin = 0;
    let piece = |end| {
        let piece = &bytes[begin..end];
        begin = end;
        piece
    };
    ends.into_iter().map(piece).collect()
}
