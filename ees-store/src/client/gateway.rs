//! What API Gateway refuses by itself, and what to do about it.

use reqwest::header::HeaderMap;

/// The header that says which kind of refusal it is.
const KIND: &str = "x-amzn-ErrorType";

/// Why a request did not get through to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    /// It has no signature.
    Unsigned,
    /// It was signed at another time than it is there.
    Clock,
    /// Its signature is another than the one it should have.
    Signature,
    /// The credentials hold no longer.
    Expired,
    /// Nobody knows the access key.
    Unknown,
    /// The caller may not call this.
    NotAllowed,
}

impl Gateway {
    /// By its header, and by what it says.
    pub(super) fn read(headers: &HeaderMap, message: &str) -> Option<Self> {
        let kind = headers.get(KIND)?.to_str().ok()?;
        let kind = kind.split(':').next().unwrap_or(kind);
        let about_time = ["Signature expired", "not yet current"].iter().any(|it| message.contains(it));
        Some(match kind {
            "MissingAuthenticationTokenException" => Self::Unsigned,
            "InvalidSignatureException" if about_time => Self::Clock,
            "InvalidSignatureException" | "IncompleteSignatureException" => Self::Signature,
            "ExpiredTokenException" => Self::Expired,
            "UnrecognizedClientException" => Self::Unknown,
            "AccessDeniedException" => Self::NotAllowed,
            _ => return None,
        })
    }

    /// Advice for the caller.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Unsigned => {
                "the API wants signed requests (`ees ... --sigv4`, `Builder::with_sigv4`; feature `sigv4`), or it has no such path"
            }
            Self::Clock => "the clock of this machine is wrong; set it",
            Self::Signature => {
                "the secret key is not that of the access key, the region is not that of the API, or something on the \
                 way changes requests"
            }
            Self::Expired => {
                "the AWS credentials are too old; get new ones, by signing in again for instance"
            }
            Self::Unknown => {
                "AWS does not know these credentials; look which ones are used (`aws sts get-caller-identity`)"
            }
            Self::NotAllowed => "the caller needs a policy that allows `execute-api:Invoke` on this API",
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_refusal_is_told_with_what_to_do() {
        let read = |kind: &'static str, message| {
            let headers = HeaderMap::from_iter([(KIND.parse().unwrap(), HeaderValue::from_static(kind))]);
            Gateway::read(&headers, message)
        };
        let expired = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z";
        assert_eq!(read("InvalidSignatureException", expired), Some(Gateway::Clock));
        assert_eq!(read("InvalidSignatureException", "does not match"), Some(Gateway::Signature));
        assert_eq!(read("AccessDeniedException:http://internal", ""), Some(Gateway::NotAllowed));
        assert_eq!(read("MissingAuthenticationTokenException", ""), Some(Gateway::Unsigned));
        assert_eq!(read("InternalServerErrorException", ""), None);
        assert_eq!(Gateway::read(&HeaderMap::new(), expired), None);
    }
}
