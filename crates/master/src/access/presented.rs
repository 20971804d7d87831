//! What a call shows of its caller.

use muster_proto::errors::Failure;
use muster_tls::PeerCertificate;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderMap, HeaderValue};

use super::token::Bearer;

/// What a call shows of its caller.
#[derive(Debug, Clone)]
pub(super) struct PresentedCredential {
    pub(super) bearer: BearerHeader,
    /// Of the connection.
    pub(super) certificate: Option<PeerCertificate>,
    /// Whether the connection is over TLS.
    pub(super) is_encrypted: bool,
}

/// The authorization header of a call, which is not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BearerHeader {
    None,
    One(HeaderValue),
    Several,
}

impl BearerHeader {
    pub(super) fn of(headers: &HeaderMap) -> BearerHeader {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => BearerHeader::None,
            (Some(value), None) => BearerHeader::One(value.clone()),
            (Some(_), Some(_)) => BearerHeader::Several,
        }
    }

    /// The bearer, if there is one. The scheme is compared as HTTP does.
    pub(super) fn parse(&self) -> Result<Option<Bearer<'_>>, Failure> {
        let malformed = |message: &str| Failure::BadCredential { message: message.to_owned() };
        let value = match self {
            BearerHeader::None => return Ok(None),
            BearerHeader::One(value) => value,
            BearerHeader::Several => return Err(malformed("there is more than one authorization header")),
        };
        let text = value.to_str().map_err(|_| malformed("the authorization header is not text"))?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(malformed("the authorization header does not begin with `Bearer`"));
        }
        let bearer = Bearer::parse(token.trim()).ok_or_else(|| malformed("the token has not the form of one"))?;
        Ok(Some(bearer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_not_read_is_not_left_out() {
        let mut headers = HeaderMap::new();
        assert_eq!(BearerHeader::of(&headers).parse(), Ok(None));
        for wrong in [b"Bearer \xff".as_slice(), b"Bearer", b"", b"Basic YTpi"] {
            headers.insert(AUTHORIZATION, HeaderValue::from_bytes(wrong).unwrap());
            let read = BearerHeader::of(&headers);
            assert!(matches!(read.parse(), Err(Failure::BadCredential { .. })), "{wrong:?}");
        }
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer eyJ9.eyJ9.c2ln"));
        assert_eq!(BearerHeader::of(&headers), BearerHeader::Several);
        assert!(BearerHeader::Several.parse().is_err());
    }
}
