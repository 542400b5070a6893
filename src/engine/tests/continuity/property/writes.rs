//! What is written at random: records, whole buckets, who may see what, and
//! definitions.

use super::{SETUP, USERS, World};

impl World {
    pub(super) fn random_write(&mut self) {
        let (key, tag) = (self.below(12), self.pick(&["x", "y", "z"]));
        let bucket = self.pick(&["a", "a", "a", "r", "r", "r", "v"]);
        let n = self.below(9);
        let record = format!(r#"{{"id":"k{key}","t":"{tag}","n":{n}}}"#);
        let user = self.pick(&USERS);
        let body = match self.below(40) {
            0..=11 => format!(r#""store.upsert","bucket":"{bucket}","data":{record}"#),
            12..=16 => format!(
                r#""store.update","bucket":"{bucket}","key":"k{key}","data":{{"t":"{tag}"}}"#
            ),
            17..=20 => format!(r#""store.delete","bucket":"{bucket}","key":"k{key}""#),
            21 | 22 => format!(
                r#""store.transaction","operations":[{{"op":"delete","bucket":"a","key":"k{key}"}},{{"op":"insert","bucket":"a","data":{record}}},{{"op":"delete","bucket":"r","key":"k{key}"}}]"#
            ),
            23 | 24 => {
                let data: Vec<String> = (0..n * 9)
                    .map(|at| format!(r#"{{"id":"m{at}","t":"{tag}","n":{at}}}"#))
                    .collect();
                format!(
                    r#""store.insertMany","bucket":"{bucket}","onConflict":"replace","data":[{}]"#,
                    data.join(",")
                )
            }
            25 => format!(
                r#""store.deleteMany","bucket":"{bucket}","filter":{{"id":{{"$startsWith":"m"}}}}"#
            ),
            26 | 27 => format!(r#""store.clear","bucket":"{bucket}""#),
            28..=32 => format!(
                r#""store.upsert","bucket":"members","data":{{"id":"{user}{tag}","user":"{user}","t":"{tag}"}}"#
            ),
            33 | 34 => format!(r#""store.delete","bucket":"members","key":"{user}{tag}""#),
            35 => {
                self.write(r#""store.undefineQuery","name":"q""#);
                let limit = self.pick(&["", "", r#","limit":2"#]);
                format!(
                    r#""store.defineQuery","name":"q","config":{{"bucket":"a","filter":{{"t":"{{{{ params.t }}}}"}}{limit}}}"#
                )
            }
            36 => format!(
                r#""store.updateBucket","name":"{bucket}","updates":{{"addIndexes":["n"]}}"#
            ),
            37 => {
                let read = self.pick(&[r#"{"t":{"$in":"{{ sets.mine }}"}}"#, "true"]);
                format!(
                    r#""store.updateBucket","name":"r","updates":{{"rows":{{"read":{read},"bypass":["moderator"]}}}}"#
                )
            }
            38 => r#""store.dropBucket","name":"v""#.into(),
            _ => SETUP[4].into(),
        };
        self.write(&body);
    }

    /// A right comes, is seen, and goes again while the client is away.
    pub(super) fn blink(&mut self, at: usize) {
        let (user, tag) = (self.clients[at].user, self.pick(&["x", "y", "z"]));
        self.write(&format!(
            r#""store.upsert","bucket":"members","data":{{"id":"{user}{tag}","user":"{user}","t":"{tag}"}}"#
        ));
        self.leave(at);
        self.write(&format!(r#""store.delete","bucket":"members","key":"{user}{tag}""#));
        self.connect(at);
    }
}
