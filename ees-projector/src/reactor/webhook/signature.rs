//! The signature by which a receiver knows that a request is authentic and recent.

use std::time::Duration;

use ees_store::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::BoxError;

/// The header with the signature: `t=SECONDS,v1=HEX`, with one `v1` for each secret.
pub const SIGNATURE: &str = "ees-signature";

/// Why a request can't be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSigned {
    /// The header is not a signature.
    #[error("the header is not a signature such as t=1700000000,v1=5f3a...")]
    Malformed,
    /// The signature is older than the tolerance, or the clocks differ by more than that.
    #[error("the signature is too old, or its time lies in the future")]
    OutOfTime,
    /// No signature in the header fits this body and this secret.
    #[error("the signature does not match the body and the secret")]
    Wrong,
}

pub(crate) fn sign(secrets: &[String], body: &str) -> Result<String, BoxError> {
    let seconds = Timestamp::now().as_micros() / 1_000_000;
    let mut header = format!("t={seconds}");
    for secret in secrets {
        if secret.is_empty() {
            return Err("the webhook's secret is empty: anybody could make that signature".into());
        }
        header.push_str(",v1=");
        header.push_str(&hex::encode(mac(secret, seconds, body.as_bytes())?.finalize().into_bytes()));
    }
    Ok(header)
}

/// Checks the [`SIGNATURE`] header of a request. For receivers written in Rust. `body` is the raw body, byte
/// by byte. `tolerance` is the largest age of a request, such as 5 minutes.
///
/// In other languages: take `t` and each `v1` from the header. Compute the HMAC-SHA256 of `t`, a dot and the
/// body, with the secret as the key, in hexadecimal digits. It must equal one of the `v1`, compared in
/// constant time. `t` is in seconds since 1970 and must be recent.
///
/// ```
/// use std::time::Duration;
/// use ees_projector::webhook::{NotSigned, verify};
/// let header = "t=1700000000,v1=00";
/// assert_eq!(verify("secret", header, b"{}", Duration::from_secs(300)), Err(NotSigned::OutOfTime));
/// ```
///
/// # Errors
/// [`NotSigned`]: answer with status 401 and ignore the request.
pub fn verify(secret: &str, header: &str, body: &[u8], tolerance: Duration) -> Result<(), NotSigned> {
    // Anybody knows the empty key.
    if secret.is_empty() {
        return Err(NotSigned::Wrong);
    }
    let mut parts = header.split(',').map(|part| part.trim().split_once('=').ok_or(NotSigned::Malformed));
    let Some(Ok(("t", seconds))) = parts.next() else { return Err(NotSigned::Malformed) };
    let seconds: i64 = seconds.parse().map_err(|_| NotSigned::Malformed)?;
    let signatures: Vec<Vec<u8>> = parts
        .filter_map(|part| match part {
            Ok(("v1", text)) => Some(hex::decode(text).map_err(|_| NotSigned::Malformed)),
            // Another scheme, which may exist one day.
            Ok(_) => None,
            Err(malformed) => Some(Err(malformed)),
        })
        .collect::<Result<_, _>>()?;
    let age = (Timestamp::now().as_micros() / 1_000_000).abs_diff(seconds);
    if age > tolerance.as_secs() {
        return Err(NotSigned::OutOfTime);
    }
    let mac = mac(secret, seconds, body).map_err(|_| NotSigned::Wrong)?;
    let fits = |signature: &Vec<u8>| mac.clone().verify_slice(signature).is_ok();
    if signatures.iter().any(fits) { Ok(()) } else { Err(NotSigned::Wrong) }
}

fn mac(secret: &str, seconds: i64, body: &[u8]) -> Result<Hmac<Sha256>, BoxError> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).map_err(|e| e.to_string())?;
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(300);

    #[test]
    fn a_signature_fits_its_body_and_each_of_its_secrets() {
        let header = sign(&["old".to_owned(), "new".to_owned()], "{\"a\":1}").unwrap();
        for secret in ["old", "new"] {
            assert_eq!(verify(secret, &header, b"{\"a\":1}", LONG), Ok(()));
        }
        assert_eq!(verify("other", &header, b"{\"a\":1}", LONG), Err(NotSigned::Wrong));
        assert_eq!(verify("new", &header, b"{\"a\":2}", LONG), Err(NotSigned::Wrong));
        let later = header.replacen("t=", "t=1", 1);
        assert_eq!(verify("new", &later, b"{\"a\":1}", LONG), Err(NotSigned::OutOfTime));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        for header in ["", "v1=00", "t=x,v1=00", "t=1,v1", "t=1,v1=0", "t=1,v1=zz"] {
            assert_eq!(verify("s", header, b"", LONG), Err(NotSigned::Malformed), "{header}");
        }
    }

    #[test]
    fn the_signature_is_what_other_languages_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        let known = "49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
        let made: String = mac("secret", 1_700_000_000, b"{\"a\":1}")
            .unwrap()
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(made, known);
    }
}
