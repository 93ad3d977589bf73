//! One collection as several scans side by side, each of a range of keys.
//!
//! For collections that are too large for one walk. Every range is read by a scan of its own, with its own
//! fence and checkpoint; that nothing lies between two ranges is proved at each bound before the first row.

mod bound;
mod checkpoint;

use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::query::Range;
use crate::scan::Rows;
use crate::{
    Checkpoint, Error, Fetch, Http, InvalidCheckpoint, InvalidQuery, Key, Pages, Query, Report,
    Scan,
};

pub use bound::object_id_at;
pub use checkpoint::PartitionsCheckpoint;

/// The rows of a collection from several scans side by side, a page at a time.
///
/// Rows of one range come in the order of their keys; ranges come as they come.
///
/// ```no_run
/// # async fn read<S>(service: S) -> Result<(), Box<dyn std::error::Error>>
/// # where
/// #     S: tower_service::Service<http::Request<http_body_util::Full<bytes::Bytes>>,
/// #         Response = http::Response<http_body_util::Full<bytes::Bytes>>, Error = std::io::Error> + Clone,
/// # {
/// use pagination::{Outcome, Query, dialect::JUMPCLOUD_V1, partition::Partitions};
///
/// let events = "https://console.jumpcloud.com/api/systemusers".parse()?;
/// let mut partitions = Partitions::split(service, Query::new(JUMPCLOUD_V1, events)?, 4).await?;
/// while let Some(page) = partitions.next().await {
///     let (range, rows) = page?;
///     println!("{} rows of range {range}", rows.rows().len());
/// }
/// assert!(matches!(partitions.report().outcome(), Some(Outcome::Complete { .. })));
/// # Ok(())
/// # }
/// ```
pub struct Partitions<F: Fetch> {
    query: u64,
    bounds: Vec<Key>,
    parts: Vec<Part<F>>,
    /// The one whose rows come first, in turn.
    turn: usize,
    /// The requests that the bounds have cost.
    probes: u64,
}

type PageOf<F> = Result<Rows<<F as Fetch>::Row>, Error<<F as Fetch>::Error>>;

/// The scan of one range.
struct Part<F: Fetch> {
    pages: Pages<F>,
    /// A page that waits for its turn.
    ready: Option<PageOf<F>>,
    is_over: bool,
}

impl<F: Fetch> Part<F> {
    const fn of(pages: Pages<F>) -> Self {
        Self { pages, ready: None, is_over: false }
    }

    /// The place after the rows that were yielded: before a page that waits.
    fn checkpoint(&self) -> Checkpoint {
        match &self.ready {
            Some(Ok(rows)) => rows.checkpoint_after(0),
            _ => self.pages.checkpoint(),
        }
    }
}

/// Why a collection cannot be read in ranges.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotSplit<E> {
    /// The request for a page failed.
    Fetch(Error<E>),
    /// The query has a limit, which no range can keep for all.
    Limited,
    /// The bounds do not rise.
    Order,
    /// The filter for keys does not do what it should at this bound: it is ignored, or reads the bound as
    /// something else, or the rows about it kept changing.
    NotProved {
        /// The bound.
        bound: Key,
    },
    /// The dialect has no filter that bounds the key, or it cannot stand beside this query's filters or sort.
    Query(InvalidQuery),
    /// Keys that are neither whole numbers nor texts of hexadecimal digits of one length have no even bounds.
    Uneven,
}

impl<E: fmt::Display> fmt::Display for CannotSplit<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::Limited => f.write_str("a query with a limit cannot be read in ranges"),
            Self::NotProved { bound } => {
                write!(f, "the filter for keys does not work at `{bound}`: ranges could lose rows")
            }
            Self::Order => f.write_str("the bounds must rise"),
            Self::Query(error) => error.fmt(f),
            Self::Uneven => f.write_str(
                "the keys are no whole numbers or hexadecimal texts of one length to put bounds between; \
                 bounds of your own can be given",
            ),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for CannotSplit<E> {}

impl<S, B, RB> Partitions<Http<S, B, RB>>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    B: From<Bytes>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads the collection in `parts` ranges of keys of equal width: from the first key to the last, as numbers.
    ///
    /// # Errors
    ///
    /// [`CannotSplit`] where ranges could lose rows; [`Pages`] reads such a collection in one walk.
    pub async fn split<G>(
        service: S,
        query: Query<G>,
        parts: u32,
    ) -> Result<Self, CannotSplit<S::Error>> {
        Self::split_over(Http::new(service), query.untyped(), parts).await
    }

    /// Reads the collection in the ranges between these bounds, which rise; a bound is the first key of its range.
    ///
    /// # Errors
    ///
    /// [`CannotSplit`] where ranges could lose rows.
    pub async fn split_at<G>(
        service: S,
        query: Query<G>,
        bounds: Vec<Key>,
    ) -> Result<Self, CannotSplit<S::Error>> {
        Self::over(Http::new(service), query.untyped(), bounds, 0).await
    }

    /// Goes on where these were.
    ///
    /// # Errors
    ///
    /// [`InvalidCheckpoint`] for a checkpoint of another query, or in another format.
    pub fn from_checkpoint<G>(
        service: S,
        query: Query<G>,
        checkpoint: PartitionsCheckpoint,
    ) -> Result<Self, InvalidCheckpoint> {
        Self::resume_over(&Http::new(service), &query.untyped(), checkpoint)
    }
}

impl<F: Fetch + Clone> Partitions<F> {
    /// As [`split`](Partitions::split), by this.
    ///
    /// # Errors
    ///
    /// [`CannotSplit`] where ranges could lose rows.
    pub async fn split_over(
        fetch: F,
        query: Query,
        parts: u32,
    ) -> Result<Self, CannotSplit<F::Error>> {
        query.terms.range_bound().map_err(CannotSplit::Query)?;
        let (bounds, probes) = bound::even(&fetch, &query, parts).await?;
        Self::over(fetch, query, bounds, probes).await
    }

    async fn over(
        fetch: F,
        query: Query,
        bounds: Vec<Key>,
        mut probes: u64,
    ) -> Result<Self, CannotSplit<F::Error>> {
        let bound = query.terms.range_bound().map_err(CannotSplit::Query)?;
        if query.terms.limit.is_some() {
            return Err(CannotSplit::Limited);
        }
        if bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(CannotSplit::Order);
        }
        if !bound.is_declared {
            let proofs = bounds.iter().map(|key| bound::prove(fetch.clone(), &query, key));
            for requests in bound::all(proofs).await {
                probes += requests?;
            }
        }
        let parts = ranges(&query, &bounds)
            .map(|query| Part::of(Pages::over(fetch.clone(), Scan::new(query))))
            .collect();
        Ok(Self { query: query.fingerprint(), bounds, parts, turn: 0, probes })
    }

    fn resume_over(
        fetch: &F,
        query: &Query,
        checkpoint: PartitionsCheckpoint,
    ) -> Result<Self, InvalidCheckpoint> {
        let PartitionsCheckpoint { query: of, bounds, parts } = checkpoint;
        for part in &parts {
            part.is_known()?;
        }
        if of != query.fingerprint() || parts.len() != bounds.len() + 1 {
            return Err(InvalidCheckpoint::OtherQuery);
        }
        let resumed = ranges(query, &bounds).zip(parts).map(|(query, checkpoint)| {
            Ok(Part::of(Pages::over(fetch.clone(), Scan::resume(query, checkpoint)?)))
        });
        let parts = resumed.collect::<Result<_, _>>()?;
        Ok(Self { query: of, bounds, parts, turn: 0, probes: 0 })
    }
}

/// The query of each range.
fn ranges(query: &Query, bounds: &[Key]) -> impl Iterator<Item = Query> {
    let from = core::iter::once(None).chain(bounds.iter().cloned().map(Some));
    let to = bounds.iter().cloned().map(Some).chain(core::iter::once(None));
    from.zip(to).map(|(from, to)| query.clone().within(Range { from, to }))
}

impl<F: Fetch> Partitions<F> {
    /// The next page's rows and the number of their range; `None` when every range is at its end or has failed.
    pub async fn next(&mut self) -> Option<Result<(usize, Rows<F::Row>), Error<F::Error>>> {
        poll_fn(|cx| pin!(&mut *self).poll_next(cx)).await
    }

    /// Goes on after errors: the pages that failed are asked for again.
    pub fn resume(&mut self) {
        for part in &mut self.parts {
            part.is_over = false;
            part.pages.resume();
        }
    }

    /// The first keys of all ranges but the first.
    #[must_use]
    pub fn bounds(&self) -> &[Key] {
        &self.bounds
    }

    /// How the scans of the ranges went.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.parts.iter().map(|part| part.pages.report())
    }

    /// How they went in all: counts are added up, and the outcome is the worst.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut reports = self.reports();
        let first = reports.next().cloned().unwrap_or_default();
        let mut report = reports.fold(first, Report::merged);
        report.requests += self.probes;
        report
    }

    /// The places after the rows that the stream has yielded.
    #[must_use]
    pub fn checkpoint(&self) -> PartitionsCheckpoint {
        let parts = self.parts.iter().map(Part::checkpoint).collect();
        PartitionsCheckpoint { query: self.query, bounds: self.bounds.clone(), parts }
    }
}

impl<F: Fetch> Stream for Partitions<F> {
    type Item = Result<(usize, Rows<F::Row>), Error<F::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // Every scan goes on until it has a page, while those of others are taken.
        let mut is_over = true;
        for part in &mut this.parts {
            if part.ready.is_none() && !part.is_over {
                match Pin::new(&mut part.pages).poll_next(cx) {
                    Poll::Pending => {}
                    Poll::Ready(None) => part.is_over = true,
                    Poll::Ready(Some(rows)) => part.ready = Some(rows),
                }
            }
            is_over &= part.ready.is_none() && part.is_over;
        }
        let count = this.parts.len();
        for at in (0..count).map(|at| (this.turn + at) % count) {
            if let Some(rows) = this.parts[at].ready.take() {
                this.turn = at + 1;
                return Poll::Ready(Some(rows.map(|rows| (at, rows))));
            }
        }
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl<F: Fetch> Unpin for Partitions<F> {}

impl<F: Fetch> fmt::Debug for Partitions<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partitions").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}
