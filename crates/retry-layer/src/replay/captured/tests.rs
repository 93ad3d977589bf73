//! The captured body against a plain list of frames, cut and read again at every point.

use std::collections::VecDeque;

use http_body_util::combinators::UnsyncBoxBody;

use super::*;

type Boxed = UnsyncBoxBody<Bytes, BoxError>;

/// What a read of a body gives, as a plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Read {
    Data(&'static str),
    Trailers,
    Fails,
    Pends,
}

use Read::{Data, Fails, Pends, Trailers};

/// A body that reads its list once, and counts how often.
struct Listed {
    reads: VecDeque<Read>,
    hint: SizeHint,
}

impl Body for Listed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(match self.reads.pop_front() {
            None => return Poll::Ready(None),
            Some(Data(text)) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
            Some(Trailers) => Ok(Frame::trailers(trailers())),
            Some(Fails) => Err("broken".into()),
            Some(Pends) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.reads.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, "abc".parse().unwrap())])
}

fn body(reads: &[Read], hint: SizeHint) -> Boxed {
    Boxed::new(Listed { reads: reads.iter().cloned().collect(), hint })
}

/// The next read, `None` at the end.
fn read(body: &mut Boxed) -> Option<Read> {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(body).poll_frame(&mut cx) {
        Poll::Pending => Some(Pends),
        Poll::Ready(None) => None,
        Poll::Ready(Some(Err(_))) => Some(Fails),
        Poll::Ready(Some(Ok(frame))) => Some(match frame.into_data() {
            Ok(data) => Data(["a", "bc", ""].into_iter().find(|text| *text == data).unwrap()),
            Err(frame) => {
                assert_eq!(frame.into_trailers().unwrap(), trailers());
                Trailers
            }
        }),
    }
}

/// What is read to the end, waits left out.
fn read_all(body: &mut Boxed) -> Vec<Read> {
    core::iter::from_fn(|| read(body)).filter(|read| *read != Pends).collect()
}

/// All lists of up to four reads that a body can give: trailers and failures end it.
fn lists() -> Vec<Vec<Read>> {
    let mut lists = vec![vec![]];
    let mut open: Vec<Vec<Read>> = vec![vec![]];
    for _ in 0..4 {
        let mut longer = Vec::new();
        for list in open {
            for next in [Data("a"), Data("bc"), Data(""), Pends, Trailers, Fails] {
                let mut list = list.clone();
                let ends = matches!(next, Trailers | Fails);
                list.push(next);
                lists.push(list.clone());
                if !ends {
                    longer.push(list);
                }
            }
        }
        open = longer;
    }
    lists
}

fn size(reads: &[Read]) -> usize {
    let size = |read: &Read| match read {
        Data(text) => text.len().max(1),
        Trailers => "etag".len() + "abc".len(),
        Fails | Pends => 0,
    };
    reads.iter().map(size).sum()
}

#[test]
fn comes_again_as_it_came_wherever_it_was_cut() {
    let mut checked = 0;
    for list in lists() {
        let all: Vec<Read> = list.iter().filter(|read| **read != Pends).cloned().collect();
        for limit in 0..=size(&list) + 1 {
            for first_cut in 0..=list.len() + 1 {
                for second_cut in 0..=list.len() + 1 {
                    let replay = Captured::new(limit, Boxed::new);
                    let (mut first, kept) = replay.keep(body(&list, SizeHint::new()));
                    let mut kept = kept.unwrap();
                    let was_read = (0..first_cut).map_while(|_| read(&mut first)).count();
                    let lost = list[..was_read].contains(&Fails) || size(&list[..was_read]) > limit;
                    let again = replay.again(&mut kept);
                    assert_eq!(again.is_none(), lost, "{list:?} {limit} {first_cut}");
                    let Some(mut second) = again else { continue };
                    assert_eq!(read(&mut first), Some(Fails), "the first gets nothing more");
                    for _ in 0..second_cut {
                        let _ = read(&mut second);
                    }
                    // A third sending, if the second has not read too much.
                    if let Some(mut third) = replay.again(&mut kept) {
                        assert_eq!(read_all(&mut third), all, "{list:?} {limit} {first_cut}");
                        assert_eq!(read(&mut second), Some(Fails));
                    } else {
                        assert!(all.contains(&Fails) || size(&list) > limit);
                    }
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 50_000, "{checked}");
}

#[test]
fn the_first_sending_is_the_body_itself_at_any_limit() {
    for list in lists() {
        for limit in [0, 1, 100] {
            let (mut first, _) =
                Captured::new(limit, Boxed::new).keep(body(&list, SizeHint::new()));
            let read: Vec<Read> = (0..list.len()).map_while(|_| read(&mut first)).collect();
            assert_eq!(read, list, "waits included");
        }
    }
}

#[test]
fn a_body_that_was_never_polled_stays_repeatable_at_any_size() {
    let list = [Data("a"), Data("bc")];
    let replay = Captured::new(0, Boxed::new);
    let (first, kept) = replay.keep(body(&list, SizeHint::with_exact(3)));
    let mut kept = kept.unwrap();
    for _ in 0..3 {
        assert!(replay.again(&mut kept).is_some());
    }
    drop(first);
    let mut fourth = replay.again(&mut kept).unwrap();
    assert_eq!(read_all(&mut fourth), list);
    assert!(replay.again(&mut kept).is_none(), "it is above the limit");
}

#[test]
fn a_body_that_says_it_is_too_long_is_not_even_begun_to_be_kept() {
    let replay = Captured::new(2, Boxed::new);
    let (mut first, kept) = replay.keep(body(&[Data("a"), Data("bc")], SizeHint::with_exact(3)));
    assert_eq!(read(&mut first), Some(Data("a")));
    assert!(lock(&kept.as_ref().unwrap().shared).frames.is_empty());
    assert!(replay.again(&mut kept.unwrap()).is_none());
}

#[test]
fn a_second_sending_is_framed_as_the_first() {
    for hint in [SizeHint::with_exact(3), SizeHint::new()] {
        let replay = Captured::new(9, Boxed::new);
        let (mut first, kept) = replay.keep(body(&[Data("a"), Data("bc")], hint));
        let exact = |body: &Boxed| body.size_hint().exact();
        assert_eq!(exact(&first), hint.exact());
        assert_eq!(read(&mut first), Some(Data("a")));
        assert_eq!(exact(&first), hint.exact().map(|size| size - 1));
        let mut second = replay.again(&mut kept.unwrap()).unwrap();
        assert_eq!(exact(&second), hint.exact());
        assert!(!second.is_end_stream());
        assert_eq!(read_all(&mut second).len(), 2);
        assert!(second.is_end_stream());
        assert_eq!(exact(&second), hint.exact().map(|_| 0));
    }
}

#[test]
fn whoever_still_sends_is_woken_when_the_body_is_sent_again() {
    struct Count(std::sync::atomic::AtomicU32);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    struct Never;
    impl Body for Never {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }
    let replay = Captured::new(9, Boxed::new);
    let (mut first, kept) = replay.keep(Boxed::new(Never));
    let count = Arc::new(Count(0.into()));
    let waker = Waker::from(Arc::clone(&count));
    assert!(Pin::new(&mut first).poll_frame(&mut Context::from_waker(&waker)).is_pending());
    let _second = replay.again(&mut kept.unwrap());
    assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), 1);
}
