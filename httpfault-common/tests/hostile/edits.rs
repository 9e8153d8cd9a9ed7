//! Documents that are nearly right: a good one with random changes.

/// Where, how much is taken away, and what is put there.
pub(crate) type Edits = Vec<(u16, u8, Vec<u8>)>;

pub(crate) fn edited(text: &str, edits: &Edits) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, taken, put) in edits {
        let from = usize::from(*at) % (bytes.len() + 1);
        let to = (from + usize::from(taken % 16)).min(bytes.len());
        // Few bytes: else nothing is left of the document.
        bytes.splice(from..to, put.iter().copied().take(8));
    }
    bytes
}
