//! Bounds between ranges of keys: where they lie, and that the API's filter keeps them.

use core::pin::pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use core::future::poll_fn;
use core::task::Poll;

use retry_policy::safety::Shrinkable;

use super::{CannotSplit, Range};
use crate::query::PagePosition;
use crate::scan::PageRequest;
use crate::{Error, Fetch, Key, Keyed, Order, Query};

/// How often the rows about a bound are read again because they have changed meanwhile. Our choice.
const TRIES: u32 = 4;

/// The least `ObjectId` that is made at this time: its first four bytes are the seconds since 1970.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use pagination::{Key, partition::object_id_at};
///
/// let time = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
/// assert_eq!(object_id_at(time), Key::Text("5f5e10000000000000000000".into()));
/// ```
#[must_use]
pub fn object_id_at(time: SystemTime) -> Key {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = u32::try_from(since).unwrap_or(u32::MAX);
    Key::Text(format!("{seconds:08x}0000000000000000"))
}

/// Bounds that cut the keys from the first to the last into parts of equal width, and the requests made.
pub(super) async fn even<F: Fetch + Clone>(
    fetch: &F,
    query: &Query,
    parts: u32,
) -> Result<(Vec<Key>, u64), CannotSplit<F::Error>> {
    let ends = [Order::Ascending, Order::Descending];
    let mut ends = all(ends.map(|order| keys(fetch.clone(), query, order, None))).await.into_iter();
    let mut next = || ends.next().transpose().map(Option::unwrap_or_default);
    let (lowest, highest) = (next()?, next()?);
    let (Some(first), Some(last)) = (lowest.first().cloned(), highest.first().cloned()) else {
        return Ok((Vec::new(), 2));
    };
    let is_sorted = lowest.windows(2).all(|pair| pair[0] < pair[1]);
    if !is_sorted || highest.windows(2).any(|pair| pair[0] <= pair[1]) || first > last {
        // The sort or its direction is ignored.
        return Err(CannotSplit::NotProved { bound: first });
    }
    let (low, high, width) = match (&first, &last) {
        (Key::Number(low), Key::Number(high)) => (*low, *high, None),
        (Key::Text(low), Key::Text(high)) => {
            let digits = low.len();
            let (low, high) = (hex(low), hex(high).filter(|_| high.len() == digits));
            match (low, high) {
                (Some(low), Some(high)) => (low, high, Some(digits)),
                _ => return Err(CannotSplit::Uneven),
            }
        }
        _ => return Err(CannotSplit::Uneven),
    };
    let mut bounds: Vec<Key> = Vec::new();
    for part in 1..i128::from(parts.max(1)) {
        // Widths are below 2^120, so that no product overflows.
        let wide = high.saturating_sub(low) / i128::from(parts.max(1));
        let at = low.saturating_add(wide.saturating_mul(part));
        if at <= low || at > high || wide == 0 {
            continue;
        }
        bounds.push(match width {
            Some(digits) => Key::Text(format!("{at:0digits$x}")),
            None => Key::Number(at),
        });
    }
    Ok((bounds, 2))
}

/// A number of up to 120 bits in lower-case hexadecimal digits.
fn hex(text: &str) -> Option<i128> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() <= 30 && text.bytes().all(is_hex)).then(|| i128::from_str_radix(text, 16).ok())?
}

/// Proves that the filter keeps rows apart at this bound and that none lies between; the requests made.
///
/// The rows next to it on both sides must lie where the filter says, and follow one another when asked for
/// after the lower one alone. A filter that is ignored shows rows of the other side; a bound that is read as
/// a text among other types shows none.
pub(super) async fn prove<F: Fetch + Clone>(
    fetch: F,
    query: &Query,
    bound: &Key,
) -> Result<u64, CannotSplit<F::Error>> {
    let not_proved = || CannotSplit::NotProved { bound: bound.clone() };
    let mut requests = 0;
    for _ in 0..TRIES {
        let range = Range { from: Some(bound.clone()), to: None };
        let above = query.clone().within(range);
        let range = Range { from: None, to: Some(bound.clone()) };
        let below = query.clone().within(range);
        let sides = [(&above, Order::Ascending), (&below, Order::Descending)];
        let sides = sides.map(|(query, order)| keys(fetch.clone(), query, order, None));
        let mut sides = all(sides).await.into_iter();
        let mut next = || sides.next().transpose().map(Option::unwrap_or_default);
        let (above, below) = (next()?, next()?);
        requests += 2;
        if above.iter().any(|key| key < bound) || below.iter().any(|key| key >= bound) {
            return Err(not_proved());
        }
        let next = keys(fetch.clone(), query, Order::Ascending, below.first()).await?;
        requests += 1;
        let is_reversed = below.windows(2).all(|pair| pair[0] > pair[1]);
        if !is_reversed || above.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(not_proved());
        }
        // After the row below the bound comes the row above it, or, if there is none on one side, what the
        // collection itself begins or ends with.
        match (below.first(), above.first(), next.first()) {
            (Some(_) | None, Some(expected), Some(found)) if expected == found => {
                return Ok(requests);
            }
            (Some(_), None, None) => {
                let last = keys(fetch.clone(), query, Order::Descending, None).await?;
                requests += 1;
                if last.first() < Some(bound) {
                    return Ok(requests);
                }
            }
            (None, None, None) => {
                let last = keys(fetch.clone(), query, Order::Descending, None).await?;
                requests += 1;
                if last.is_empty() {
                    return Ok(requests);
                }
            }
            _ => {}
        }
    }
    Err(not_proved())
}

/// All of these side by side.
pub(super) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(done) => *output = Some(done),
                Poll::Pending => is_done = false,
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

/// The first keys of a query in this order, after one of them if there is one.
async fn keys<F: Fetch>(
    mut fetch: F,
    query: &Query,
    order: Order,
    above: Option<&Key>,
) -> Result<Vec<Key>, CannotSplit<F::Error>> {
    poll_fn(|cx| fetch.poll_ready(cx))
        .await
        .map_err(|source| CannotSplit::Fetch(Error::Fetch { source, attempts: None }))?;
    let mark = Shrinkable::new().at_its_smallest();
    let at = PagePosition::Rank { skip: 0, order, above: above.cloned() };
    let ask = PageRequest { id: 0, at, rows: 2, mark };
    // The bounds are those of an ascending query, whatever order the rows come in.
    let mut ascending = query.clone();
    ascending.terms.order = Order::Ascending;
    let request = fetch.fetch(&Arc::new(ascending), &ask).map_err(CannotSplit::Query)?;
    let fetched = pin!(request).await;
    let page = fetched.page.map_err(|(_, error)| CannotSplit::Fetch(error))?;
    Ok(page.rows().iter().filter_map(Keyed::key).map(crate::KeyRef::to_key).collect())
}
