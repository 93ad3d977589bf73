//! Scheme, host and port: what a credential belongs to, and whose limits a request shares.

use http::Uri;
use http::uri::{Authority, Scheme};

/// An origin (RFC 6454 §4): a default port is the same as none, and letters have no case.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    scheme: Scheme,
    authority: Authority,
}

impl Origin {
    /// The origin of an absolute URI; others have none.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        Some(Self { scheme: uri.scheme()?.clone(), authority: uri.authority()?.clone() })
    }

    pub(crate) fn is_of(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return false;
        };
        // The usual case first: it is the same text.
        *scheme == self.scheme
            && (authority.as_str() == self.authority.as_str()
                || authority.host().eq_ignore_ascii_case(self.authority.host())
                    && port(scheme, authority) == port(scheme, &self.authority))
    }
}

/// RFC 9110 §4.2.1 and §4.2.2.
fn port(scheme: &Scheme, authority: &Authority) -> Option<u16> {
    authority.port_u16().or(match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = Origin::of(&Uri::from_static("https://one.example/a?b")).unwrap();
        for (uri, is_same) in [
            ("https://ONE.example/other", true),
            ("https://one.example:443/", true),
            ("https://name@one.example/", true),
            ("http://one.example/a", false),
            ("http://one.example:443/a", false),
            ("https://one.example:8443/a", false),
            ("https://one.example.org/a", false),
            ("https://one.example@two.example/a", false),
            ("/a", false),
        ] {
            assert_eq!(origin.is_of(&uri.parse().unwrap()), is_same, "{uri}");
        }
    }
}
