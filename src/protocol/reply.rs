//! Messages to the client.

use super::{OpError, RequestId};
use crate::json::{write_number, write_string};

/// Stands behind the type of an answer that was given before.
const REPEATED: &[u8] = b",\"repeated\":true";

/// One response under construction. The handler appends the JSON of `data` to
/// [`Reply::data`]; what it does not finish is thrown away with the reply.
#[derive(Debug)]
pub struct Reply {
    out: Vec<u8>,
    data_at: usize,
    /// What stands in front of `data`: the commit of what it says.
    pub commit: Option<u64>,
    /// The request was answered before, as now.
    pub repeated: bool,
}

impl Reply {
    /// Begins the response to `id` in `out`, whose capacity is reused.
    pub fn new(id: RequestId, mut out: Vec<u8>) -> Self {
        out.clear();
        out.extend_from_slice(b"{\"id\":");
        id.write(&mut out);
        out.extend_from_slice(b",\"type\":\"result\",\"data\":");
        let data_at = out.len();
        Self { out, data_at, commit: None, repeated: false }
    }

    /// Where the handler writes the JSON text of `data`. Nothing written means
    /// "undefined": the member is omitted.
    pub fn data(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The JSON text of `data` as far as it is written.
    pub fn written(&self) -> &[u8] {
        self.out.get(self.data_at..).unwrap_or_default()
    }

    /// The length of the whole response, if it ends here.
    pub fn length(&self) -> usize {
        self.out.len() + 1
    }

    /// Takes what was written of `data`, to be written again later.
    pub fn take_data(&mut self) -> Vec<u8> {
        self.out.split_off(self.data_at)
    }

    /// Ends a successful response and returns its text.
    pub fn finish(mut self) -> Vec<u8> {
        let head = self.data_at - b",\"data\":".len();
        if self.out.len() == self.data_at {
            self.out.truncate(head);
        }
        if let Some(commit) = self.commit {
            let mut member = b",\"commit\":".to_vec();
            write_number(&mut member, commit as f64);
            self.out.splice(head..head, member);
        }
        if self.repeated {
            self.out.splice(head..head, REPEATED.iter().copied());
        }
        self.out.push(b'}');
        self.out
    }

    /// Throws the response away and returns the buffer.
    pub fn discard(self) -> Vec<u8> {
        self.out
    }
}

/// Appends an error message. `id` 0 answers what was not a request; `repeated`:
/// the request was answered so before.
pub fn write_error(
    out: &mut Vec<u8>,
    id: RequestId,
    error: &OpError,
    expose_details: bool,
    repeated: bool,
) {
    out.extend_from_slice(b"{\"id\":");
    id.write(out);
    out.extend_from_slice(b",\"type\":\"error\"");
    if repeated {
        out.extend_from_slice(REPEATED);
    }
    out.push(b',');
    write_error_members(out, error, expose_details);
    out.push(b'}');
}

/// Appends an error that is a part of an answer.
pub fn write_error_object(out: &mut Vec<u8>, error: &OpError, expose_details: bool) {
    out.push(b'{');
    write_error_members(out, error, expose_details);
    out.push(b'}');
}

fn write_error_members(out: &mut Vec<u8>, error: &OpError, expose_details: bool) {
    out.extend_from_slice(b"\"code\":\"");
    out.extend_from_slice(error.code.as_str().as_bytes());
    out.extend_from_slice(b"\",\"message\":");
    write_string(out, &error.message);
    if expose_details && let Some(details) = &error.details {
        out.extend_from_slice(b",\"details\":");
        details.write(out);
    }
}

/// Appends the part of a push in front of its shared body. After the body
/// comes `}`; without a body, [`write_push_head`] with `has_data` false already
/// lacks the `data` member.
pub fn write_push_head(out: &mut Vec<u8>, channel: &str, subscription_id: &str, has_data: bool) {
    out.reserve(80 + channel.len() + subscription_id.len());
    out.extend_from_slice(b"{\"type\":\"push\",\"channel\":\"");
    out.extend_from_slice(channel.as_bytes());
    out.extend_from_slice(b"\",\"subscriptionId\":\"");
    out.extend_from_slice(subscription_id.as_bytes());
    out.extend_from_slice(if has_data { b"\",\"data\":".as_slice() } else { b"\"" });
}
