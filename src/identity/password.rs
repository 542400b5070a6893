//! Password hashes: scrypt (RFC 7914) in the form in which they are stored.
//!
//! Slow on purpose (tens of milliseconds, 16 MiB): runs on the worker, never on
//! the loop.

use data_encoding::BASE64;
use scrypt::Params;
use subtle::ConstantTimeEq;

const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;
const HASH_LEN: usize = 64;
pub const SALT_LEN: usize = 16;

/// Bounds on what a stored hash may ask for: beyond them a hash matches no
/// password, because verifying it would be an attack on this server.
const MAX_LOG_N: u8 = 20;
const MAX_R: u32 = 32;
const MAX_P: u32 = 16;
const HASH_LENS: std::ops::RangeInclusive<usize> = 16..=128;

/// Hashes the UTF-8 bytes of a password.
pub fn hash(password: &str, salt: &[u8; SALT_LEN]) -> String {
    let mut out = [0; HASH_LEN];
    derive(password, salt, (LOG_N, R, P), &mut out);
    format!("$scrypt$16384$8$1${}${}", BASE64.encode(salt), BASE64.encode(&out))
}

/// Whether this is the password. Takes the parameters from the hash and compares
/// in constant time. What is not a hash within the bounds matches nothing.
pub fn verify(password: &str, stored: &str) -> bool {
    let Some((parameters, salt, expected)) = read(stored) else { return false };
    let mut out = vec![0; expected.len()];
    derive(password, &salt, parameters, &mut out) && bool::from(out.ct_eq(&expected))
}

/// A hash that no password is known for. An unknown user is verified against
/// it, so that the time an answer takes does not tell who exists.
pub fn dummy() -> String {
    let hash = [0; HASH_LEN];
    format!("$scrypt$16384$8$1${}${}", BASE64.encode(&[0; SALT_LEN]), BASE64.encode(&hash))
}

type Stored = ((u8, u32, u32), Vec<u8>, Vec<u8>);

fn read(stored: &str) -> Option<Stored> {
    let mut parts = stored.split('$');
    let (_, kind) = (parts.next()?, parts.next()?);
    let (n, r, p) = (parts.next()?, parts.next()?, parts.next()?);
    let (salt, hash) = (parts.next()?, parts.next()?);
    if kind != "scrypt" || parts.next().is_some() {
        return None;
    }
    let n: u32 = n.parse().ok()?;
    let (r, p): (u32, u32) = (r.parse().ok()?, p.parse().ok()?);
    let log_n = u8::try_from(n.checked_ilog2()?).ok()?;
    let bounded = n.is_power_of_two()
        && (1..=MAX_LOG_N).contains(&log_n)
        && (1..=MAX_R).contains(&r)
        && (1..=MAX_P).contains(&p);
    let salt = BASE64.decode(salt.as_bytes()).ok()?;
    let hash = BASE64.decode(hash.as_bytes()).ok()?;
    (bounded && HASH_LENS.contains(&hash.len())).then_some(((log_n, r, p), salt, hash))
}

/// False for parameters that scrypt does not have.
fn derive(password: &str, salt: &[u8], (log_n, r, p): (u8, u32, u32), out: &mut [u8]) -> bool {
    // The length in `Params` is only for textual formats; `out` decides.
    Params::new(log_n, r, p, Params::RECOMMENDED_LEN)
        .is_ok_and(|params| scrypt::scrypt(password.as_bytes(), salt, &params, out).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTOR: &str = "$scrypt$16384$8$1$AAECAwQFBgcICQoLDA0ODw==$f39ei9Lsh0++bBnkewb+EVg6G6Lgi0FLHPKAsdXNEjaifl282KQJBzIsZH0SUiLZTbM51dLKkheZ/MtO7gm2fQ==";

    #[test]
    fn the_test_vector() {
        let salt: [u8; SALT_LEN] = std::array::from_fn(|at| at as u8);
        assert_eq!(hash("Tr0ub4dor&3", &salt), VECTOR);
        assert!(verify("Tr0ub4dor&3", VECTOR));
        assert!(!verify("Tr0ub4dor&4", VECTOR));
        assert!(!verify("", VECTOR));
    }

    /// RFC 7914 section 12: parameters are taken from the hash.
    #[test]
    fn other_parameters() {
        let rfc = BASE64.encode(&data_encoding::HEXLOWER.decode(
            b"fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
        ).expect("hex"));
        let stored = format!("$scrypt$1024$8$16${}${rfc}", BASE64.encode(b"NaCl"));
        assert!(verify("password", &stored));
        assert!(!verify("Password", &stored));
    }

    #[test]
    fn what_is_out_of_bounds_matches_nothing() {
        let hash = VECTOR.rsplit('$').next().expect("a hash");
        let salt = "AAECAwQFBgcICQoLDA0ODw==";
        for stored in [
            String::new(),
            "$scrypt".into(),
            VECTOR.replace("scrypt", "bcrypt"),
            format!("{VECTOR}$"),
            format!("$scrypt$16384$8$1${salt}$"),
            format!("$scrypt$16384$8$1${salt}${}", BASE64.encode(&[0; 15])),
            format!("$scrypt$16384$8$1${salt}${}", BASE64.encode(&[0; 129])),
            format!("$scrypt$16384$8$1${salt}${}", hash.trim_end_matches('=')),
            format!("$scrypt$2097152$8$1${salt}${hash}"),
            format!("$scrypt$16383$8$1${salt}${hash}"),
            format!("$scrypt$1$8$1${salt}${hash}"),
            format!("$scrypt$0$8$1${salt}${hash}"),
            format!("$scrypt$16384$33$1${salt}${hash}"),
            format!("$scrypt$16384$0$1${salt}${hash}"),
            format!("$scrypt$16384$8$17${salt}${hash}"),
            format!("$scrypt$-16384$8$1${salt}${hash}"),
            format!("$scrypt$16384$8$1$*${hash}"),
        ] {
            assert!(!verify("Tr0ub4dor&3", &stored), "{stored}");
        }
        assert!(!verify("", &dummy()));
    }
}
