//! What a request for a page asks for.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Api, Refusal};
use crate::query::{Filter, Filters, pairs, plain};

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Behind the row with this key.
    After(String),
    /// At this rank.
    Skip(usize),
}

/// A list request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) position: Position,
    pub(crate) limit: usize,
    pub(crate) reverse: bool,
    pub(crate) filters: Filters,
    /// The pairs of the request's own query, for the address of the next page.
    pairs: Vec<(String, String)>,
    /// The address without its query: absolute, if the request says which host it means.
    address: String,
}

/// What a page says besides its rows.
pub(crate) struct Told<'a> {
    pub(crate) list: &'a List,
    pub(crate) total: u64,
    /// The last row's key, if more rows follow.
    pub(crate) next: Option<&'a str>,
    /// The rows behind the page.
    pub(crate) left: usize,
}

impl List {
    pub(crate) fn skip(&self) -> usize {
        match self.position {
            Position::Skip(skip) => skip,
            Position::After(_) => 0,
        }
    }

    /// With pages of at most this many rows, of which page numbers are then counted.
    pub(crate) fn capped(&mut self, api: Api, ceiling: usize) {
        if let Position::Skip(skip) = &mut self.position {
            if api == Api::Link {
                *skip = (*skip / self.limit.max(1)).saturating_mul(ceiling.min(self.limit));
            }
        }
        self.limit = self.limit.min(ceiling);
    }

    pub(crate) fn page_index(&self) -> usize {
        self.skip() / self.limit.max(1)
    }

    fn sort(&mut self, value: &str) -> Result<(), Refusal> {
        let field = value.strip_prefix('-').unwrap_or(value);
        if field != "_id" && field != "id" {
            let message = format!("Bad Request: cannot sort by \"{field}\"");
            return Err(Refusal::bad_request(message));
        }
        self.reverse = value.starts_with('-');
        Ok(())
    }
}

impl Told<'_> {
    /// The `Link` header's value, if there is a next page.
    pub(super) fn link(&self, api: Api) -> Option<String> {
        self.next?;
        let skip = self.list.skip() + self.list.limit;
        let page = skip / self.list.limit.max(1) + 1;
        let place = if api == Api::Link { ("page", page) } else { ("skip", skip) };
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let kept = self.list.pairs.iter().filter(|(name, _)| name != place.0);
        let kept: String = kept
            .flat_map(|(name, value)| [encode(name), "=".into(), encode(value), "&".into()])
            .collect();
        Some(format!("<{}?{kept}{}={}>; rel=\"next\"", self.list.address, place.0, place.1))
    }
}

impl Api {
    /// What the request asks for.
    pub(crate) fn list(self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<List, Refusal> {
        match self {
            Self::Ixon if !headers.contains_key("api-version") => {
                return Err(Refusal::bad_request("Required header").about("Api-Version"));
            }
            Self::Operations1 if !headers.contains_key("accept-version") => {
                let message = "Include 'Accept-Version' header with the desired API version.";
                return Err(Refusal::bad_request(message).about("Accept-Version"));
            }
            _ => {}
        }
        let mut list = List {
            position: Position::Skip(0),
            limit: match self {
                Self::Ixon => 20,
                Self::DirectoryInsights => 1000,
                Self::Kubernetes => usize::MAX,
                Self::Link => 30,
                _ => 10,
            },
            reverse: false,
            filters: Filters::default(),
            pairs: pairs(uri.query().unwrap_or_default()).collect(),
            address: self.address(uri, headers),
        };
        match self {
            Self::DirectoryInsights => events(&mut list, &object(body)?)?,
            Self::JumpCloudSearch => search(&mut list, &object(body)?)?,
            Self::Grpc => {}
            _ => self.parameters(&mut list)?,
        }
        if self == Self::Kubernetes && list.limit == 0 {
            list.limit = usize::MAX; // "The server may return all".
        }
        Ok(list)
    }

    /// The address of the list, as its links have it: GitHub's are absolute.
    fn address(self, uri: &Uri, headers: &HeaderMap) -> String {
        let host = uri.authority().map(Authority::as_str);
        let host = host.or_else(|| headers.get(HOST)?.to_str().ok());
        match host.filter(|_| self == Self::Link) {
            Some(host) => format!("{}://{host}{}", uri.scheme_str().unwrap_or("http"), uri.path()),
            None => uri.path().to_owned(),
        }
    }

    /// The parameters of an address.
    fn parameters(self, list: &mut List) -> Result<(), Refusal> {
        let mut page = 0;
        for (name, value) in list.pairs.clone() {
            let number = || {
                let message = format!("Bad Request: request parameter \"{name}\" is not a number");
                value.parse::<usize>().map_err(|_| Refusal::bad_request(message))
            };
            let filter = |parsed: Option<Filter>| {
                let message = format!("Bad Request: filter \"{value}\" is not understood");
                parsed.ok_or_else(|| Refusal::bad_request(message))
            };
            match (self, name.as_str()) {
                (Self::Ixon, "page-size")
                | (
                    Self::JumpCloudV1
                    | Self::JumpCloudV2
                    | Self::JumpCloudV2Link
                    | Self::Kubernetes,
                    "limit",
                )
                | (Self::Link, "per_page")
                | (Self::Operations1 | Self::PageToken, "pageSize") => list.limit = number()?,
                (Self::Link, "page") => page = number()?.saturating_sub(1),
                (Self::Operations1, "pageIndex") => page = number()?,
                (Self::Ixon, "page-after") => list.position = Position::After(value),
                (Self::Kubernetes, "continue") | (Self::PageToken, "pageToken")
                    if !value.is_empty() =>
                {
                    list.position = Position::After(value);
                }
                (Self::Operations1, "orderBy") if value != "id" => {
                    return Err(Refusal::bad_request(format!("cannot order by {value}")));
                }
                (Self::Operations1, "direction") => list.reverse = value == "DESC",
                (Self::Ixon, "filters") => list.filters.all.push(filter(Filter::function(&value))?),
                (Self::JumpCloudV1 | Self::JumpCloudV2 | Self::JumpCloudV2Link, "skip") => {
                    list.position = Position::Skip(number()?);
                }
                (Self::JumpCloudV1 | Self::JumpCloudV2 | Self::JumpCloudV2Link, "sort") => {
                    list.sort(&value)?;
                }
                (Self::JumpCloudV1, name) if name.starts_with("filter[or]") => {
                    list.filters.any.push(filter(Filter::colons(&value))?);
                }
                (Self::JumpCloudV1 | Self::JumpCloudV2 | Self::JumpCloudV2Link, name)
                    if name.starts_with("filter") =>
                {
                    list.filters.all.push(filter(Filter::colons(&value))?);
                }
                _ => {}
            }
        }
        if page > 0 {
            list.position = Position::Skip(page.saturating_mul(list.limit));
        }
        Ok(())
    }
}

fn object(body: &[u8]) -> Result<Value, Refusal> {
    let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    json.ok_or_else(|| Refusal::bad_request("Bad Request: the body is no JSON object"))
}

fn count(json: &Value, name: &str, or: usize) -> usize {
    json[name].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(or)
}

/// The body of JumpCloud's search.
fn search(list: &mut List, body: &Value) -> Result<(), Refusal> {
    list.limit = count(body, "limit", list.limit);
    list.position = Position::Skip(count(body, "skip", 0));
    if let Some(sort) = body["sort"].as_str() {
        list.sort(sort)?;
    }
    conditions(&mut list.filters, &body["filter"])
}

fn conditions(filters: &mut Filters, filter: &Value) -> Result<(), Refusal> {
    let unread = || Refusal::bad_request("Bad Request: the filter is not understood");
    let each = |list: &Value| list.as_array().cloned().unwrap_or_default();
    for condition in each(&filter["and"]) {
        if condition.get("or").is_some() {
            conditions(filters, &condition)?;
        } else {
            filters.all.push(Filter::object(&condition).ok_or_else(unread)?);
        }
    }
    for condition in each(&filter["or"]) {
        filters.any.push(Filter::object(&condition).ok_or_else(unread)?);
    }
    Ok(())
}

/// The body of Directory Insights.
fn events(list: &mut List, body: &Value) -> Result<(), Refusal> {
    if body["service"].as_array().is_none_or(Vec::is_empty) {
        return Err(Refusal::bad_request("service is required"));
    }
    list.limit = count(body, "limit", list.limit);
    list.reverse = body["sort"] == "DESC";
    for (name, operator) in [("start_time", "gte"), ("end_time", "lte")] {
        if let Some(time) = body[name].as_str() {
            list.filters.all.push(Filter::bound("timestamp", operator, time));
        }
    }
    if let Some(after) = body["search_after"].as_array() {
        let key = after.last().map(plain).unwrap_or_default();
        list.position = Position::After(key);
    }
    conditions(&mut list.filters, &body["search_term"])
}
