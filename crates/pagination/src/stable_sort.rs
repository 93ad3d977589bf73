//! The unique sort as a tower layer, for SDKs that build their own requests.

use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, Request, Uri};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use pin_project_lite::pin_project;
use retry_policy::{StopReason, Stopped};
use tower_layer::Layer;
use tower_service::Service;

use crate::InvalidQuery;
use crate::dialect::{Dialect, ENCODED, Lists, Spec};

/// Gives every request that pages through a list the sort by the list's unique key.
///
/// On the dialect's lists a GET with a position or a filter and without a unique sort gets it; a sort by other
/// fields gets the key appended. Everything else passes untouched; [`counts`](Self::counts) tells how much.
///
/// ```
/// use pagination::{StableSortLayer, dialect::JUMPCLOUD_V1};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # use futures_util::FutureExt;
/// let sort = StableSortLayer::new(JUMPCLOUD_V1).unwrap();
/// let sdk = ServiceBuilder::new().layer(sort.clone()).service(service_fn(
///     |request: http::Request<()>| async move { Ok::<_, std::io::Error>(request.uri().to_string()) },
/// ));
/// let request = http::Request::get("/api/systemusers?skip=100").body(()).unwrap();
/// let sent = sdk.oneshot(request).now_or_never().unwrap().unwrap();
/// assert_eq!(sent, "/api/systemusers?skip=100&sort=_id");
/// assert_eq!(sort.counts().sorted, 1);
/// ```
pub struct StableSortLayer<M = Append> {
    spec: Spec,
    rule: &'static Lists,
    paths: Option<Arc<[String]>>,
    counts: Arc<Counters>,
    mode: PhantomData<fn() -> M>,
}

/// Requests without a unique sort get it.
#[derive(Debug)]
pub struct Append(());

/// Requests without a unique sort are refused.
#[derive(Debug)]
pub struct Refuse(());

#[derive(Debug, Default)]
struct Counters {
    passed: AtomicU64,
    refused: AtomicU64,
    sorted: AtomicU64,
    unstable: AtomicU64,
}

/// What became of the requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// They do not page through a list of the dialect, or have a unique sort already.
    pub passed: u64,
    /// They were refused.
    pub refused: u64,
    /// They got the unique sort.
    pub sorted: u64,
    /// They page through a list that cannot be sorted, or by a sort that takes no second field.
    pub unstable: u64,
}

impl StableSortLayer {
    /// The rule of this dialect, on its lists: those of JumpCloud v1 and v2, Operations1, and dialects that have
    /// [named theirs](Dialect::lists).
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::Unsortable`] for a dialect without such lists: one that has no sort, or asks in a body.
    pub fn new<G>(dialect: Dialect<G>) -> Result<Self, InvalidQuery> {
        let spec = dialect.spec;
        let rule = spec.lists.ok_or(InvalidQuery::Unsortable { dialect: spec.name })?;
        Ok(Self { spec, rule, paths: None, counts: Arc::default(), mode: PhantomData })
    }
}

impl<M> StableSortLayer<M> {
    /// Only the lists at these paths.
    #[must_use]
    pub fn paths<'a>(mut self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        self.paths = Some(paths.into_iter().map(str::to_owned).collect());
        self
    }

    /// Refuses what pages through a list without a unique sort, instead of changing it. The error of the
    /// service below must come from [`Stopped`].
    #[must_use]
    pub fn refuse(self) -> StableSortLayer<Refuse> {
        let Self { spec, rule, paths, counts, .. } = self;
        StableSortLayer { spec, rule, paths, counts, mode: PhantomData }
    }

    /// What became of the requests so far, over all services of this layer.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            passed: of(&self.counts.passed),
            refused: of(&self.counts.refused),
            sorted: of(&self.counts.sorted),
            unstable: of(&self.counts.unstable),
        }
    }

    fn judge(&self, method: &Method, uri: &Uri) -> Verdict {
        let rule = self.rule;
        if *method != Method::GET {
            return Verdict::Pass;
        }
        let path = uri.path();
        let is_listed = match &self.paths {
            Some(paths) => paths.iter().any(|listed| listed == path),
            None => (rule.is_list)(path),
        };
        let pairs = || uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let name_of = |pair: &str| decoded(pair.split('=').next().unwrap_or_default());
        let is_paged = pairs().any(|pair| {
            let name = name_of(pair);
            rule.pages_by.contains(&name.as_str()) || name.starts_with("filter[")
        });
        if !is_listed || !is_paged {
            return Verdict::Pass;
        }
        if !(self.spec.is_sortable)(path) {
            return Verdict::Unstable;
        }
        let sort = pairs().find(|pair| name_of(pair) == rule.parameter);
        let fields = sort.map(|pair| decoded(pair.split_once('=').map_or("", |(_, value)| value)));
        let separators = [' ', ',', '+'];
        let is_unique = fields.as_deref().is_some_and(|fields| {
            fields
                .split(separators)
                .any(|field| self.spec.sort_fields.contains(&field.trim_start_matches('-')))
        });
        if is_unique {
            return Verdict::Pass;
        }
        let Some(key) = self.spec.sort_fields.first() else { return Verdict::Unstable };
        let fields = match (
            fields.filter(|fields| !fields.is_empty()),
            self.spec.sort_separator.map(char::from),
        ) {
            (None, _) => (*key).to_owned(),
            (Some(fields), Some(_)) if fields.contains(',') => format!("{fields},{key}"),
            (Some(fields), Some(separator)) => format!("{fields}{separator}{key}"),
            (Some(_), None) => return Verdict::Unstable,
        };
        let mut query: String = pairs()
            .filter(|pair| name_of(pair) != rule.parameter)
            .flat_map(|pair| [pair, "&"])
            .collect();
        let encoded = utf8_percent_encode(&fields, ENCODED);
        query.push_str(rule.parameter);
        query.push('=');
        query.extend(encoded);
        with_query(uri, &query).map_or(Verdict::Unstable, Verdict::Sort)
    }
}

/// What is done with a request.
enum Verdict {
    Pass,
    Sort(Uri),
    Unstable,
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn with_query(uri: &Uri, query: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", uri.path()).parse().ok()?);
    Uri::from_parts(parts).ok()
}

impl<M> Clone for StableSortLayer<M> {
    fn clone(&self) -> Self {
        let (paths, counts) = (self.paths.clone(), Arc::clone(&self.counts));
        Self { spec: self.spec, rule: self.rule, paths, counts, mode: PhantomData }
    }
}

impl<M> fmt::Debug for StableSortLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StableSortLayer")
            .field("dialect", &self.spec.name)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl<S, M> Layer<S> for StableSortLayer<M> {
    type Service = StableSort<S, M>;

    fn layer(&self, inner: S) -> StableSort<S, M> {
        StableSort { inner, layer: self.clone() }
    }
}

/// A service whose lists are sorted by their unique key: see [`StableSortLayer`].
pub struct StableSort<S, M = Append> {
    inner: S,
    layer: StableSortLayer<M>,
}

impl<S: Clone, M> Clone for StableSort<S, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, M> fmt::Debug for StableSort<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StableSort").field("layer", &self.layer).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for StableSort<S, Append>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let counts = &self.layer.counts;
        let counter = match self.layer.judge(request.method(), request.uri()) {
            Verdict::Pass => &counts.passed,
            Verdict::Unstable => &counts.unstable,
            Verdict::Sort(uri) => {
                *request.uri_mut() = uri;
                &counts.sorted
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

impl<S, B> Service<Request<B>> for StableSort<S, Refuse>
where
    S: Service<Request<B>>,
    S::Error: From<Stopped>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Refusable<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Refusable<S::Future> {
        let counts = &self.layer.counts;
        let (counter, sent) = match self.layer.judge(request.method(), request.uri()) {
            Verdict::Pass => (&counts.passed, Some(self.inner.call(request))),
            Verdict::Sort(_) | Verdict::Unstable => (&counts.refused, None),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Refusable { sent }
    }
}

pin_project! {
    /// A request that is sent or refused.
    #[derive(Debug)]
    pub struct Refusable<F> {
        #[pin]
        sent: Option<F>,
    }
}

impl<F, R, E> Future for Refusable<F>
where
    F: Future<Output = Result<R, E>>,
    E: From<Stopped>,
{
    type Output = Result<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R, E>> {
        match self.project().sent.as_pin_mut() {
            Some(sent) => sent.poll(cx),
            None => Poll::Ready(Err(Stopped::before(StopReason::Unsorted).into())),
        }
    }
}
