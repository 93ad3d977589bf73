//! The scan as a stream of pages or of items.

use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::fetch::{Failure, Fetch, Fetched, Http};
use crate::scan::{PageRequest, Rows, Scan, Step};
use crate::trace;
use crate::{Checkpoint, Error, FromRow, InvalidCheckpoint, Keyed, Query, Report};

/// The rows of a collection, a page at a time.
///
/// After an `Err` the stream is over until [`resume`](Self::resume) is called; it then goes on at
/// the same row. Dropping it cancels what is in flight. Without prefetch, nothing is sent before it is polled.
pub struct Pages<F: Fetch> {
    fetch: F,
    scan: Scan<F::Row>,
    /// What waits for the service to be ready.
    next: VecDeque<PageRequest>,
    flights: Vec<Flight<F::Future>>,
    /// Failures of pages that do not come next yet.
    failures: Vec<(u64, Failure, Error<F::Error>)>,
    stopped: bool,
    keep_going: u32,
    /// How often it went on by itself since the last page.
    went_on: u32,
    /// Whether an answer that is no page was asked for once more since then.
    was_odd: bool,
    clock: Option<fn() -> Duration>,
    /// When the first page was asked for.
    began: Option<Duration>,
}

/// A request on its way, or the room for one: its box is used again.
struct Flight<F> {
    id: u64,
    rows: u32,
    is_shrinkable: bool,
    since: Duration,
    future: Pin<Box<Option<F>>>,
}

impl<S, B, RB> Pages<Http<S, B, RB>>
where
    S: Service<Request<B>, Response = Response<RB>>,
    B: From<Bytes>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads the query's collection through this service, from the beginning.
    pub fn new<G>(service: S, query: Query<G>) -> Self {
        Self::over(Http::new(service), Scan::new(query))
    }

    /// Goes on after a checkpoint of the same query.
    ///
    /// # Errors
    ///
    /// [`InvalidCheckpoint`] for a checkpoint of another query, or in a newer format.
    pub fn from_checkpoint<G>(
        service: S,
        query: Query<G>,
        checkpoint: Checkpoint,
    ) -> Result<Self, InvalidCheckpoint> {
        Ok(Self::over(Http::new(service), Scan::resume(query, checkpoint)?))
    }

    /// What the service's own errors mean: for stacks whose timeouts are errors, and that keep no record.
    #[must_use]
    pub fn failures(mut self, failures: fn(&S::Error) -> Failure) -> Self {
        self.fetch = self.fetch.failures(failures);
        self
    }
}

impl<F: Fetch> Pages<F> {
    /// Reads a scan's pages by this.
    pub const fn over(fetch: F, scan: Scan<F::Row>) -> Self {
        Self {
            fetch,
            scan,
            next: VecDeque::new(),
            flights: Vec::new(),
            failures: Vec::new(),
            stopped: false,
            keep_going: 0,
            went_on: 0,
            was_odd: false,
            clock: None,
            began: None,
        }
    }

    /// Goes on by itself after temporary errors, at most so often in a row without a new row; never after
    /// a permanent one. Waiting is the matter of a retry layer below.
    #[must_use]
    pub const fn keep_going(mut self, times: u32) -> Self {
        self.keep_going = times;
        self
    }

    /// The time by this clock, from any beginning: for the report, and so that pages shrink before they take
    /// as long as the API allows. Without it the layers' record is used, if there is one.
    #[must_use]
    pub const fn clock(mut self, now: fn() -> Duration) -> Self {
        self.clock = Some(now);
        self
    }

    /// The same rows one at a time, each as a `T`: anything that `serde` reads, or a [`Row`](crate::Row) as it is.
    pub const fn items<T>(self) -> Items<F, T> {
        Items { pages: self, rows: None, taken: 0, item: PhantomData }
    }

    /// Goes on after an error: the page that failed is asked for again.
    pub fn resume(&mut self) {
        if self.stopped {
            trace::resumed(self.scan.report());
        }
        self.go_on();
        (self.went_on, self.was_odd) = (0, false);
    }

    fn go_on(&mut self) {
        self.stopped = false;
        self.failures.clear();
        self.scan.retry_failed();
    }

    /// Ends the scan where it is, and cancels what is in flight.
    pub fn cancel(&mut self) {
        self.scan.cancel();
        self.flights.clear();
        self.next.clear();
    }

    /// How the scan went so far, and how it ended.
    pub const fn report(&self) -> &Report {
        self.scan.report()
    }

    /// The place after the rows that the stream has yielded.
    pub fn checkpoint(&self) -> Checkpoint {
        self.scan.checkpoint()
    }

    /// The next page's rows; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Rows<F::Row>, Error<F::Error>>> {
        poll_fn(|cx| pin!(&mut *self).poll_next(cx)).await
    }

    /// Sends what is asked for, as far as the service is ready.
    fn send(&mut self, cx: &mut Context<'_>) {
        while !self.next.is_empty() {
            let Poll::Ready(ready) = self.fetch.poll_ready(cx) else { return };
            let Some(ask) = self.next.pop_front() else { return };
            match ready {
                Ok(()) => self.send_one(&ask),
                Err(source) => self.lost(ask.id(), Failure::Temporary, Error::fetch(source)),
            }
        }
    }

    fn send_one(&mut self, ask: &PageRequest) {
        let since = self.clock.map_or(Duration::ZERO, |now| now());
        self.began.get_or_insert(since);
        let future = match self.fetch.fetch(self.scan.query(), ask) {
            Ok(future) => future,
            Err(error) => {
                self.lost(ask.id(), Failure::Permanent, Error::Query(error));
                return;
            }
        };
        trace::page_started(ask);
        let (id, rows, is_shrinkable) = (ask.id(), ask.rows(), ask.is_shrinkable());
        if let Some(free) = self.flights.iter_mut().find(|flight| flight.future.is_none()) {
            free.future.set(Some(future));
            (free.id, free.rows, free.is_shrinkable, free.since) = (id, rows, is_shrinkable, since);
        } else {
            let future = Box::pin(Some(future));
            self.flights.push(Flight { id, rows, is_shrinkable, since, future });
        }
    }

    /// Sends the pages ahead, as far as the query allows and the service is ready.
    fn send_ahead(&mut self, cx: &mut Context<'_>) {
        if self.scan.query().terms.ahead() == 0 {
            return;
        }
        while let Some(ask) = self.scan.ask() {
            self.next.push_back(ask);
        }
        self.send(cx);
        self.land(cx); // The first poll is what sends a request.
    }

    /// Hands in what has landed; whether anything has.
    fn land(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        for at in 0..self.flights.len() {
            let flight = &mut self.flights[at];
            let Some(future) = flight.future.as_mut().as_pin_mut() else { continue };
            if let Poll::Ready(fetched) = future.poll(cx) {
                flight.future.set(None);
                self.landed(at, fetched);
                any = true;
            }
        }
        any
    }

    fn landed(&mut self, at: usize, fetched: Fetched<F::Row, F::Error>) {
        let &Flight { id, rows, is_shrinkable, since, .. } = &self.flights[at];
        let Fetched { page, attempts } = fetched;
        let attempts = attempts.as_ref();
        let sent = attempts.map_or(1, |attempts| u64::from(attempts.count()));
        let took = match self.clock {
            Some(now) => now().saturating_sub(since),
            None => attempts.map_or(Duration::ZERO, retry_policy::Attempts::elapsed),
        };
        let waited = attempts.map_or(Duration::ZERO, retry_policy::Attempts::total_wait);
        let report = self.scan.report_mut();
        report.requests += sent;
        report.retries += sent.saturating_sub(1);
        report.waited += waited;
        report.elapsed = match (self.clock, self.began) {
            (Some(now), Some(began)) => now().saturating_sub(began),
            // Without a clock only what each page took is known.
            _ => report.elapsed + took,
        };
        if !waited.is_zero() {
            self.scan.throttled();
        }
        let (failure, error) = match page {
            Ok(page) => {
                trace::page_ended(id, page.rows().len(), took);
                // What was waited for between attempts says nothing about the page.
                if self.scan.took(rows, took.saturating_sub(waited)) {
                    trace::shrunk(id, rows);
                }
                return self.scan.answer(id, page);
            }
            Err(failed) => failed,
        };
        trace::page_failed(id, failure, took);
        let shrinks = match failure {
            Failure::TooHeavy if is_shrinkable => self.scan.too_heavy(id, attempts),
            Failure::TooMany { ceiling } => self.scan.at_most(id, ceiling),
            _ => false,
        };
        if shrinks {
            trace::shrunk(id, rows);
            self.scan.report_mut().retries += 1;
            return;
        }
        let is_refused = matches!(failure, Failure::Permanent | Failure::TooMany { .. });
        if is_refused && self.scan.refused(id) {
            return;
        }
        self.lost(id, failure, error);
    }

    fn lost(&mut self, id: u64, failure: Failure, error: Error<F::Error>) {
        self.scan.failed(id);
        self.failures.push((id, failure, error));
    }

    /// The page that comes next has failed: its error, unless the stream goes on by itself.
    fn failed(&mut self, id: u64) -> Option<Error<F::Error>> {
        let at = self.failures.iter().position(|(failed, ..)| *failed == id);
        let at = at.expect("every page that failed has left its error");
        let (_, failure, error) = self.failures.swap_remove(at);
        let is_odd = matches!(error, Error::NotAPage { .. });
        let asks_again = is_odd && !std::mem::replace(&mut self.was_odd, true);
        if asks_again || self.went_on < self.keep_going && failure != Failure::Permanent {
            self.went_on += u32::from(!asks_again);
            trace::resumed(self.scan.report());
            self.go_on();
            return None;
        }
        self.stopped = true;
        Some(error)
    }
}

impl<F: Fetch> Stream for Pages<F> {
    type Item = Result<Rows<F::Row>, Error<F::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.stopped {
            return Poll::Ready(None);
        }
        loop {
            this.send(cx);
            let landed = this.land(cx);
            let shifts = this.scan.report().shifts_repaired();
            let step = this.scan.step();
            trace::shifts(shifts, this.scan.report());
            match step {
                Step::Fetch(ask) => this.next.push_back(ask),
                Step::Rows(rows) => {
                    (this.went_on, this.was_odd) = (0, false);
                    this.send_ahead(cx);
                    return Poll::Ready(Some(Ok(rows)));
                }
                Step::Done => {
                    this.stopped = true;
                    this.flights.clear();
                    return Poll::Ready(None);
                }
                Step::Failed { id } => {
                    if let Some(error) = this.failed(id) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Step::Wait if landed => {}
                Step::Wait => return Poll::Pending,
            }
        }
    }
}

impl<F: Fetch> Unpin for Pages<F> {}

impl<F: Fetch> fmt::Debug for Pages<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("report", self.scan.report()).finish_non_exhaustive()
    }
}

/// The rows of a collection, one at a time, each as a `T`.
///
/// A row that is no `T` is an error of its own; the stream goes on after it. After any other error
/// it is over until [`resume`](Self::resume).
pub struct Items<F: Fetch, T> {
    pages: Pages<F>,
    rows: Option<Rows<F::Row>>,
    taken: usize,
    item: PhantomData<fn() -> T>,
}

impl<F: Fetch, T> Items<F, T> {
    /// Goes on after an error, at the same row.
    pub fn resume(&mut self) {
        self.pages.resume();
    }

    /// Ends the scan after the last row that was yielded, and cancels what is in flight.
    pub fn cancel(&mut self) {
        let here = self.checkpoint();
        self.pages.cancel();
        self.pages.scan.stay_at(here);
        (self.rows, self.taken) = (None, 0);
    }

    /// How the scan went so far, and how it ended. Its rows are those of the pages that were read.
    pub const fn report(&self) -> &Report {
        self.pages.report()
    }

    /// The place after the last row that the stream has yielded.
    pub fn checkpoint(&self) -> Checkpoint {
        match &self.rows {
            Some(rows) => rows.checkpoint_after(self.taken),
            None => self.pages.checkpoint(),
        }
    }

    /// The next row; `None` at the end.
    #[allow(clippy::should_implement_trait, reason = "a stream's `next` is no iterator's")]
    pub fn next(&mut self) -> impl Future<Output = Option<Result<T, Error<F::Error>>>>
    where
        T: FromRow<F::Row>,
    {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
    }

    /// The next row of the page at hand.
    #[inline]
    fn at_hand(&mut self) -> Option<Result<T, Error<F::Error>>>
    where
        T: FromRow<F::Row>,
    {
        let row = self.rows.as_ref()?.rows().get(self.taken)?;
        self.taken += 1;
        Some(T::from_row(row).map_err(|source| Error::Row { row: row.to_row(), source }))
    }
}

impl<F: Fetch, T: FromRow<F::Row>> Items<F, T> {
    /// The first row of the page that comes.
    #[cold]
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error<F::Error>>>> {
        loop {
            match core::task::ready!(Pin::new(&mut self.pages).poll_next(cx)) {
                Some(Ok(rows)) => (self.rows, self.taken) = (Some(rows), 0),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    (self.rows, self.taken) = (None, 0);
                    return Poll::Ready(None);
                }
            }
            if let Some(item) = self.at_hand() {
                return Poll::Ready(Some(item));
            }
        }
    }
}

impl<F, T> Stream for Items<F, T>
where
    F: Fetch,
    T: FromRow<F::Row>,
{
    type Item = Result<T, Error<F::Error>>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(item) = this.at_hand() {
            return Poll::Ready(Some(item));
        }
        this.poll_page(cx)
    }

    /// The rows of the page at hand are certain; how many more there are is not.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let at_hand = self.rows.as_ref().map_or(0, |rows| rows.rows().len() - self.taken);
        (at_hand, None)
    }
}

impl<F: Fetch, T> Unpin for Items<F, T> {}

impl<F: Fetch, T> fmt::Debug for Items<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("pages", &self.pages).finish_non_exhaustive()
    }
}
