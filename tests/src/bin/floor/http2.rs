//! HTTP/2 as far as the load needs it: frames are counted, not understood, and header blocks not even read.

/// What a client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status` is the eighth field of the static table; a literal that is not indexed (RFC 7541 section 6.2.2).
const STATUS_503: &[u8] = &[0x08, 0x03, b'5', b'0', b'3'];
const BODY: &[u8] = b"503 Service Unavailable: fault injected for a measurement";

/// One connection's input that is not answered yet, and the answer to the last one.
#[derive(Debug, Default)]
pub(super) struct Speaker {
    begun: bool,
    unread: Vec<u8>,
    output: Vec<u8>,
}

impl Speaker {
    /// The answers to all frames that are there as a whole.
    pub(super) fn answer(&mut self, input: &[u8]) -> &[u8] {
        self.output.clear();
        self.unread.extend_from_slice(input);
        let mut used = 0;
        if !self.begun && self.unread.len() >= PREFACE.len() {
            self.begun = true;
            used = PREFACE.len();
            frame(&mut self.output, SETTINGS, 0, [0; 4], &[]);
        }
        while self.begun && self.unread.len() >= used + HEAD {
            let head = &self.unread[used..used + HEAD];
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags, stream) = (head[3], head[4], [head[5], head[6], head[7], head[8]]);
            let Some(payload) = self.unread.get(used + HEAD..used + HEAD + length) else { break };
            match kind {
                HEADERS => {
                    frame(&mut self.output, HEADERS, END_HEADERS, stream, STATUS_503);
                    frame(&mut self.output, DATA, END_STREAM, stream, BODY);
                }
                SETTINGS if flags & ACK == 0 => frame(&mut self.output, SETTINGS, ACK, stream, &[]),
                PING if flags & ACK == 0 => frame(&mut self.output, PING, ACK, stream, payload),
                _ => {}
            }
            used += HEAD + length;
        }
        self.unread.drain(..used);
        &self.output
    }
}

fn frame(output: &mut Vec<u8>, kind: u8, flags: u8, stream: [u8; 4], payload: &[u8]) {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    output.extend_from_slice(&[high, middle, low, kind, flags]);
    output.extend_from_slice(&stream);
    output.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_gets_one_answer_at_whatever_cuts() {
        let mut input = PREFACE.to_vec();
        frame(&mut input, SETTINGS, 0, [0; 4], &[0; 6]);
        for stream in [1, 3] {
            frame(&mut input, HEADERS, END_HEADERS | END_STREAM, [0, 0, 0, stream], &[0x82]);
        }
        let whole = Speaker::default().answer(&input).to_vec();
        let mut speaker = Speaker::default();
        let pieces = input.chunks(7).flat_map(|piece| speaker.answer(piece).to_vec()).collect::<Vec<_>>();
        assert_eq!(whole, pieces);
        assert_eq!(whole.windows(BODY.len()).filter(|window| *window == BODY).count(), 2);
    }
}
