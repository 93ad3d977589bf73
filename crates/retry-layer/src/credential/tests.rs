use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn here() -> Uri {
    Uri::from_static("https://here.example/a")
}

/// What goes with a request to this URI, and its generation.
fn attach(credential: &Credential, uri: &Uri) -> (http::HeaderMap, Option<u64>) {
    let mut request = Request::builder().uri(uri).body(()).unwrap();
    let generation = credential.attach(&mut request);
    (request.headers().clone(), generation)
}

/// The value that goes with a request, and its generation.
fn attached(credential: &Credential) -> (HeaderValue, u64) {
    let (mut headers, generation) = attach(credential, &here());
    (headers.remove(&credential.0.header).unwrap(), generation.unwrap())
}

/// A refresh by one request that is polled until it is over.
async fn refresh(credential: &Credential, refused: u64) -> bool {
    let mut passenger = None;
    core::future::poll_fn(|cx| credential.poll_refresh(refused, &mut passenger, cx)).await
}

#[test]
fn a_key_is_shown_nowhere() {
    let credential = Credential::bearer(Key::fixed("s3cret")).unwrap();
    let (headers, _) = attach(&credential, &here());
    assert_eq!(headers[AUTHORIZATION], "Bearer s3cret");
    let shown = format!(
        "{credential:?} {headers:?} {:?} {:?}",
        Key::fixed("s3cret"),
        Secret::new("s3cret").expires_in(secs(1))
    );
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn an_unchanged_key_is_not_tried_again_and_a_rotated_one_is_read_once_for_all() {
    let path = std::env::temp_dir().join(format!("retry-layer-key-{}", std::process::id()));
    std::fs::write(&path, "first\n").unwrap();
    let credential = Credential::api_key(Key::file(&path)).unwrap();
    let (_, refused) = attached(&credential);
    assert!(!refresh(&credential, refused).await, "nothing has changed");
    std::fs::write(&path, "second\n").unwrap();
    assert!(refresh(&credential, refused).await);
    std::fs::remove_file(&path).unwrap();
    assert!(refresh(&credential, refused).await, "another request has read the second key");
    let (value, refused) = attached(&credential);
    assert_eq!(value, "second");
    assert!(!refresh(&credential, refused).await, "the file is gone");
}

#[test]
fn a_credential_never_follows_to_another_origin() {
    let bound = Credential::api_key(Key::fixed("k")).unwrap();
    let first = Credential::api_key(Key::fixed("k")).unwrap();
    let bound = bound.for_origin(&Uri::from_static("https://api.example"));
    let none = Credential::api_key(Key::fixed("k")).unwrap();
    assert!(attach(&first, &Uri::from_static("https://api.example/a")).1.is_some());
    assert!(attach(&none, &Uri::from_static("/a")).1.is_some());
    for (uri, is_same) in [
        ("https://api.example/b?c", true),
        ("https://API.example:443/b", true),
        ("https://user@api.example/b", true),
        ("http://api.example/b", false),
        ("https://api.example.evil/b", false),
        ("https://api.example@evil/b", false),
        ("https://api.example:8443/b", false),
        ("/b", false),
    ] {
        let uri: Uri = uri.parse().unwrap();
        for credential in [&bound, &first] {
            let (headers, generation) = attach(credential, &uri);
            assert_eq!(generation.is_some(), is_same, "{uri}");
            assert_eq!(headers.contains_key("x-api-key"), is_same, "{uri}");
        }
        assert_eq!(attach(&none, &uri).1.is_some(), uri == "/b", "{uri}");
    }
}

/// A source that counts how often it is asked, takes a second, and hands out what it is told.
#[derive(Clone, Default)]
struct Tokens(Arc<std::sync::Mutex<(u32, Option<Duration>, bool)>>);

impl Tokens {
    fn lasting(lifetime: Duration) -> Self {
        let tokens = Self::default();
        tokens.0.lock().unwrap().1 = Some(lifetime);
        tokens
    }

    fn asked(&self) -> u32 {
        self.0.lock().unwrap().0
    }

    fn fails(&self, fails: bool) {
        self.0.lock().unwrap().2 = fails;
    }

    async fn credential(&self) -> Credential {
        let tokens = self.clone();
        Credential::bearer_from(move || tokens.clone().next()).await.unwrap()
    }

    async fn next(self) -> Result<Secret, BoxError> {
        let (number, lifetime, fails) = {
            let mut state = self.0.lock().unwrap();
            state.0 += 1;
            *state
        };
        tokio::time::sleep(secs(1)).await;
        if fails {
            return Err("the source is down".into());
        }
        let secret = Secret::new(format!("token{number}"));
        Ok(lifetime.map_or(Secret::new(format!("token{number}")), |it| secret.expires_in(it)))
    }
}

#[tokio::test(start_paused = true)]
async fn many_requests_refused_together_cause_one_refresh() {
    let tokens = Tokens::default();
    let credential = tokens.credential().await;
    let (_, refused) = attached(&credential);
    let all: Vec<_> = (0..50).map(|_| refresh(&credential, refused)).collect();
    assert!(futures_all(all).await.iter().all(|&is_fresh| is_fresh));
    assert_eq!((tokens.asked(), attached(&credential).0), (2, "Bearer token2".parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_goes_on_when_the_request_that_began_it_is_dropped() {
    let tokens = Tokens::default();
    let credential = tokens.credential().await;
    let (_, refused) = attached(&credential);
    let (mut first, mut second) = (None, None);
    let noop = &mut Context::from_waker(std::task::Waker::noop());
    assert!(credential.poll_refresh(refused, &mut first, noop).is_pending());
    assert!(credential.poll_refresh(refused, &mut second, noop).is_pending());
    credential.leave(&first.unwrap());
    let is_fresh =
        core::future::poll_fn(|cx| credential.poll_refresh(refused, &mut second, cx)).await;
    assert_eq!((is_fresh, tokens.asked()), (true, 2));
    // With the last of them it is dropped, and the next begins anew.
    let (_, refused) = attached(&credential);
    let mut only = None;
    assert!(credential.poll_refresh(refused, &mut only, noop).is_pending());
    credential.leave(&only.unwrap());
    assert!(!credential.0.flight.is_under_way());
    assert!(refresh(&credential, refused).await);
    assert_eq!(tokens.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_made_fresh_ahead_of_its_end_by_one_request() {
    let tokens = Tokens::lasting(secs(100));
    let credential = tokens.credential().await;
    for (after, age) in [(89, Age::Good), (1, Age::Due), (9, Age::Due), (1, Age::Expired)] {
        tokio::time::advance(secs(after)).await;
        assert_eq!(credential.age(&here()), age, "{after} s later");
    }
    let credential = tokens.credential().await;
    let _ = attached(&credential);
    tokio::time::advance(secs(95)).await;
    let (_, due) = attached(&credential);
    let mut first = None;
    let noop = &mut Context::from_waker(std::task::Waker::noop());
    assert!(credential.poll_refresh(due, &mut first, noop).is_pending());
    assert_eq!(credential.age(&here()), Age::Good, "one is enough: the old one is still good");
    tokio::time::advance(secs(5)).await;
    assert_eq!(credential.age(&here()), Age::Expired, "now all have to wait");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_is_left_alone_for_a_while() {
    let tokens = Tokens::lasting(secs(100));
    let credential = tokens.credential().await;
    let (_, refused) = attached(&credential);
    tokens.fails(true);
    let mut asked = 1;
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert!(!refresh(&credential, refused).await);
        asked += 1;
        tokio::time::advance(secs(pause).checked_sub(Duration::from_millis(1)).unwrap()).await;
        assert!(!refresh(&credential, refused).await, "not asked again yet");
        assert_eq!(credential.age(&here()), Age::Good, "it is sent as it is");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(tokens.asked(), asked, "after {pause} s");
    }
    tokens.fails(false);
    assert!(refresh(&credential, refused).await);
}

/// Drives them together, in one task.
async fn futures_all<F: Future<Output = bool>>(futures: Vec<F>) -> Vec<bool> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done = vec![None; futures.len()];
    core::future::poll_fn(move |cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none() {
                if let Poll::Ready(is_fresh) = future.as_mut().poll(cx) {
                    *done = Some(is_fresh);
                }
            }
        }
        match done.iter().copied().collect::<Option<Vec<_>>>() {
            Some(done) => Poll::Ready(done),
            None => Poll::Pending,
        }
    })
    .await
}

#[test]
fn a_key_that_cannot_be_used_is_refused_without_showing_it() {
    for (key, error) in [(" \n", InvalidKey::Empty), ("a\nb", InvalidKey::NotAHeader)] {
        assert_eq!(Credential::api_key(Key::fixed(key)).unwrap_err(), error);
    }
    let missing = Credential::api_key(Key::file("/nowhere/at/all")).unwrap_err();
    assert!(matches!(missing, InvalidKey::Unreadable { .. }));
}

#[tokio::test]
async fn a_key_comes_from_a_variable_or_from_any_source() {
    // A variable that every process has.
    let path = std::env::var("PATH").unwrap();
    let from_variable = Credential::api_key(Key::env("PATH")).unwrap();
    assert_eq!(attached(&from_variable).0, *path);
    let missing = Credential::api_key(Key::env("NO_SUCH_VARIABLE_AT_ALL")).unwrap_err();
    assert!(missing.to_string().contains("NO_SUCH_VARIABLE_AT_ALL"), "{missing}");
    let fetched = Credential::api_key_from(|| async { Ok(Secret::new("k")) }).await.unwrap();
    assert_eq!(attach(&fetched, &here()).0["x-api-key"], "k");
    let failing = || async { Err::<Secret, _>(BoxError::from("down")) };
    let error = Credential::api_key_from(failing).await.unwrap_err();
    assert_eq!(error.to_string(), "down");
}
