use proptest::prelude::*;

use super::*;

/// Feeds `bytes` in pieces that end at `cuts`; returns how many belong to the message.
fn feed_in_pieces(framing: Framing, bytes: &[u8], cuts: &[usize]) -> Result<(usize, bool), Ambiguous> {
    let mut body = Body::new(framing);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let (mut begin, mut used) = (0, 0);
    for end in ends {
        let count = body.feed(&bytes[begin..end])?;
        used += count;
        if count < end - begin {
            break;
        }
        begin = end;
    }
    Ok((used, body.is_done()))
}

fn whole(framing: Framing, bytes: &[u8]) -> Result<(usize, bool), Ambiguous> {
    feed_in_pieces(framing, bytes, &[])
}

#[test]
fn content_length_takes_just_that() {
    assert_eq!(whole(Framing::Length(3), b"abcGET"), Ok((3, true)));
    assert_eq!(whole(Framing::Length(3), b"ab"), Ok((2, false)));
    assert_eq!(whole(Framing::Length(0), b"GET"), Ok((0, true)));
}

#[test]
fn chunked_ends_after_its_trailers() {
    for message in [
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "3;a=\"b;c\"\r\nabc\r\n00 ; last\r\n\r\n",
        "A\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n",
        "0000000000000001\r\na\r\n0\r\n\r\n",
    ] {
        let stream = format!("{message}GET / HTTP/1.1\r\n");
        assert_eq!(whole(Framing::Chunked, stream.as_bytes()), Ok((message.len(), true)), "{message:?}");
    }
}

#[test]
fn wrong_chunks_are_refused() {
    for message in [
        "\r\n",
        "x\r\n",
        "3\nabc\r\n",
        "3\r\nabcd\r\n",
        "3;a\nabc",
        "10000000000000000\r\n",
        "0\r\n\n",
        "0\r\nX: y\n\r\n",
        "-1\r\n",
        " 1\r\n",
    ] {
        assert_eq!(whole(Framing::Chunked, message.as_bytes()), Err(Ambiguous), "{message:?}");
    }
}

#[test]
fn until_close_never_ends() {
    assert_eq!(whole(Framing::UntilClose, b"abc"), Ok((3, false)));
}

fn chunked_message() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (prop::collection::vec(any::<u8>(), 1..40), "(;[a-z]{0,4}(=[a-z]{1,3})?)?");
    let trailer = "[A-Z][a-z]{0,6}: [a-z ]{0,8}";
    (prop::collection::vec(chunk, 0..6), prop::collection::vec(trailer, 0..3)).prop_map(
        |(chunks, trailers)| {
            let mut message = Vec::new();
            for (data, extension) in chunks {
                message.extend(format!("{:x}{extension}\r\n", data.len()).into_bytes());
                message.extend(data);
                message.extend(b"\r\n");
            }
            message.extend(b"0\r\n");
            for trailer in trailers {
                message.extend(format!("{trailer}\r\n").into_bytes());
            }
            message.extend(b"\r\n");
            message
        },
    )
}

proptest! {
    #[test]
    fn chunked_is_the_same_however_it_is_cut(
        message in chunked_message(),
        next in prop::collection::vec(any::<u8>(), 0..20),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let stream = [message.as_slice(), next.as_slice()].concat();
        prop_assert_eq!(feed_in_pieces(Framing::Chunked, &stream, &cuts), Ok((message.len(), true)));
    }

    #[test]
    fn any_bytes_are_the_same_however_they_are_cut(
        bytes in prop::collection::vec(prop::sample::select(b"0123af;\r\n x".to_vec()), 0..40),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        prop_assert_eq!(
            feed_in_pieces(Framing::Chunked, &bytes, &cuts),
            whole(Framing::Chunked, &bytes)
        );
    }

    #[test]
    fn length_is_the_same_however_it_is_cut(
        length in 0_u64..50,
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        prop_assert_eq!(
            feed_in_pieces(Framing::Length(length), &bytes, &cuts),
            whole(Framing::Length(length), &bytes)
        );
    }
}
