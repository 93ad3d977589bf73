//! The next page's address, followed only to the origin that was asked (RFC 8288, RFC 6454).

use core::fmt;

use http::header::LINK;
use http::{HeaderMap, Uri};

use crate::NotAPage;

/// The target of the first link with the relation `next`.
///
/// # Errors
///
/// [`NotAPage::NoCursor`] for a header that cannot be read: it may hold the link.
pub(crate) fn next(headers: &HeaderMap) -> Result<Option<String>, NotAPage> {
    for value in headers.get_all(LINK) {
        let text = String::from_utf8_lossy(value.as_bytes());
        if let Some(target) = next_in(&text).map_err(|()| NotAPage::NoCursor { part: "Link" })? {
            return Ok(Some(target.to_owned()));
        }
    }
    Ok(None)
}

/// The same in one header: `<target>; rel="next"; title="a, b", <target>; …`.
fn next_in(mut text: &str) -> Result<Option<&str>, ()> {
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return Ok(None);
        }
        let (target, rest) =
            text.strip_prefix('<').and_then(|text| text.split_once('>')).ok_or(())?;
        let (parameters, rest) = rest.split_at(unquoted(rest, ','));
        if is_next(parameters) {
            return Ok(Some(target.trim()));
        }
        text = rest;
    }
}

/// Where this letter first stands outside of quotes, or the end.
fn unquoted(text: &str, wanted: char) -> usize {
    let (mut in_quotes, mut is_escaped) = (false, false);
    let end = text.find(|letter| {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if in_quotes => is_escaped = true,
            '"' => in_quotes = !in_quotes,
            letter if letter == wanted && !in_quotes => return true,
            _ => {}
        }
        false
    });
    end.unwrap_or(text.len())
}

/// Whether the parameters of a link name the relation `next`, alone or among others.
fn is_next(mut parameters: &str) -> bool {
    while !parameters.is_empty() {
        let (parameter, rest) = parameters.split_at(unquoted(parameters, ';'));
        parameters = rest.strip_prefix(';').unwrap_or_default();
        if let Some((name, value)) = parameter.split_once('=') {
            // The first `rel` counts (RFC 8288 §3.3).
            if name.trim().eq_ignore_ascii_case("rel") {
                let rel = value.trim().trim_matches(['"', '\'']);
                return rel.split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"));
            }
        }
    }
    false
}

/// The path and query of a link, if it leads to the origin of `asked`, the address it was found at.
///
/// Only these are ever taken over: scheme and authority stay those of the query.
pub(crate) fn same_origin(asked: &Uri, link: &str) -> Result<String, ForeignLink> {
    let foreign = || ForeignLink { to: origin_of(link) };
    let path_of = |uri: &Uri| uri.path_and_query().map(ToString::to_string);
    if link.is_empty() || link.bytes().any(|byte| byte <= b' ' || byte == b'\\' || byte == 0x7f) {
        return Err(foreign());
    }
    let link_without_fragment = link.split('#').next().unwrap_or_default();
    if let Some(authority_and_path) = link_without_fragment.strip_prefix("//") {
        let scheme = asked.scheme_str().unwrap_or_default();
        return same_origin(asked, &format!("{scheme}://{authority_and_path}"));
    }
    let has_scheme =
        link_without_fragment.split(['/', '?']).next().is_some_and(|first| first.contains(':'));
    if has_scheme {
        let uri: Uri = link_without_fragment.parse().map_err(|_| foreign())?;
        return if Origin::of(&uri).is_some_and(|origin| Some(origin) == Origin::of(asked)) {
            path_of(&uri).ok_or_else(foreign)
        } else {
            Err(foreign())
        };
    }
    let path = asked.path();
    let target = match link_without_fragment.as_bytes() {
        [] => return Err(foreign()),
        [b'/', ..] => link_without_fragment.to_owned(),
        [b'?', ..] => format!("{path}{link_without_fragment}"),
        _ => {
            let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
            format!("{folder}{link_without_fragment}")
        }
    };
    // What climbs out of a folder stays in the origin, but is no address that an API sends.
    let climbs =
        target.split('?').next().is_some_and(|path| path.split('/').any(|part| part == ".."));
    let uri: Uri = target.parse().map_err(|_| foreign())?;
    if climbs || uri.authority().is_some() {
        Err(foreign())
    } else {
        path_of(&uri).ok_or_else(foreign)
    }
}

/// Scheme, host and port.
#[derive(PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// `None` where one of them is missing, for any scheme but HTTP's, and with a user name in front.
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host)? {
            "" | ":" => usual,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        (!host.is_empty()).then_some(Self { scheme, host, port })
    }
}

/// A link leads to another origin than the one that was asked. It was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignLink {
    /// Scheme and host, without a user name, a path or a query.
    to: String,
}

impl fmt::Display for ForeignLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the next page's link leads to {}, another origin", self.to)
    }
}

impl std::error::Error for ForeignLink {}

/// What may be printed of a link.
fn origin_of(link: &str) -> String {
    let uri: Option<Uri> = link.parse().ok();
    let origin = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    origin.map_or_else(
        || "an address that cannot be read".to_owned(),
        |(scheme, authority)| {
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_to_the_next_page_is_found_among_others() {
        for (header, target) in [
            (r#"<https://h/u?page=2>; rel="next""#, Ok(Some("https://h/u?page=2"))),
            (r#"</u?page=1>; rel="prev", </u?page=3>; rel="next""#, Ok(Some("/u?page=3"))),
            (r#"</u?a=1,2>; rel="last"; title="a, <b>; rel=next", </u>;rel=next"#, Ok(Some("/u"))),
            (r#"</u?page=1>; title="a; rel=next"; rel="prev""#, Ok(None)),
            ("</u>; REL=\"last NEXT\"", Ok(Some("/u"))),
            ("</u>; rel='next'", Ok(Some("/u"))),
            ("garbage", Err(())),
            ("</u>; rel=next; title=\"nächste\"", Ok(Some("/u"))),
            ("</u>; title=\"rel=next\"", Ok(None)),
            ("</u>; rel=prev; rel=next", Ok(None)),
            ("</u>; rel=nextcloud", Ok(None)),
            ("</u; rel=next", Err(())),
            ("/u; rel=next", Err(())),
            ("", Ok(None)),
            (" , ", Ok(None)),
        ] {
            assert_eq!(next_in(header), target, "{header}");
        }
        let mut headers = HeaderMap::new();
        headers.append(LINK, "</a>; rel=prev".parse().unwrap());
        headers.append(
            LINK,
            http::HeaderValue::from_bytes(b"</b>; title=\"\xe4\"; rel=next").unwrap(),
        );
        assert_eq!(next(&headers), Ok(Some("/b".into())), "whatever the other letters are");
        headers.insert(LINK, "</a; rel=next".parse().unwrap());
        assert_eq!(next(&headers), Err(NotAPage::NoCursor { part: "Link" }), "no end");
    }

    #[test]
    fn only_the_origin_that_was_asked_is_followed() {
        let asked: Uri = "https://api.example.com/v2/users?limit=9".parse().unwrap();
        for (link, target) in [
            ("https://api.example.com/v2/users?page=2", "/v2/users?page=2"),
            ("HTTPS://API.example.com:443/v2/users?page=2#top", "/v2/users?page=2"),
            ("https://api.example.com./x", "/x"),
            ("//api.example.com/x?y", "/x?y"),
            ("/x?y=https://elsewhere.example/", "/x?y=https://elsewhere.example/"),
            ("?page=2", "/v2/users?page=2"),
            ("groups?page=2", "/v2/groups?page=2"),
        ] {
            assert_eq!(same_origin(&asked, link).as_deref(), Ok(target), "{link}");
        }
        for link in [
            "http://api.example.com/v2/users",
            "https://api.example.com:8443/v2/users",
            "https://api.example.com.evil.example/v2/users",
            "https://evil.example/v2/users",
            "https://api.example.com@evil.example/",
            "https://user:secret@api.example.com/",
            "https://user:secret@evil.example/token?key=secret",
            "//evil.example/x",
            "///evil.example/x",
            "/\\evil.example/x",
            "\\\\evil.example\\x",
            "ftp://api.example.com/x",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https:/x",
            "https:x",
            "../../admin",
            "/v2/../admin",
            " https://evil.example/",
            "https://api.example.com:99999/",
            "https://api.example.com:/x\n",
            "",
            "#",
        ] {
            let error = same_origin(&asked, link).expect_err(link).to_string();
            assert!(!error.contains("secret") && !error.contains("token"), "{error}");
        }
    }
}
