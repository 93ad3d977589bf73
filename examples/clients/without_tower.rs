//! No tower at all: the same decisions around an async closure, and around a blocking client.
//!
//! Run: `cargo run -p client-examples --example without_tower`

use std::thread::sleep;
use std::time::{Instant, SystemTime};

use http::{Request, Response};
use retry_layer::delivery::{AnyError, Deliver};
use retry_layer::policy::profile::{self, Answer};
use retry_layer::policy::{Decision, Delivery, Outcome, Run, Safety};
use retry_layer::{BoxError, retry, timer::TokioTimer};
use simulated_api::{Api, Fault, SimulatedApi};
use ureq::{Agent, Error};

/// Around an async closure: `retry` waits, and `Run` decides.
pub async fn with_closure(
    client: &reqwest::Client,
    request: &Request<&'static str>,
    run: &mut Run,
) -> Result<Response<reqwest::Body>, reqwest::Error> {
    retry(run, &TokioTimer::new(), async || {
        client.execute(request.clone().try_into()?).await.map(Response::from)
    })
    .await
}

type Answered = Result<Response<ureq::Body>, Error>;

/// Around a blocking client: `Run` decides, and the loop is ours.
pub fn blocking(agent: &Agent, request: &Request<&str>, run: &mut Run) -> Answered {
    let began = Instant::now();
    loop {
        let ending = agent.run(request.clone());
        let outcome = match &ending {
            Ok(answer) => {
                let seen = Answer::new(answer.status().as_u16());
                run.policy().profile().outcome(&seen.headers(answer.headers(), SystemTime::now()))
            }
            Err(Error::Timeout(_)) => Outcome::timed_out(),
            Err(Error::ConnectionFailed | Error::HostNotFound) => Outcome::new(Delivery::NotSent),
            Err(Error::Io(error)) => Outcome::new(AnyError.delivery(error)),
            Err(_) => Outcome::new(Delivery::Unknown),
        };
        match run.after(&outcome, began.elapsed(), fastrand::u32(..)) {
            Decision::Retry { after, .. } => sleep(after),
            _ => return ending, // `run` says why; a 401 is the caller's.
        }
    }
}

/// A blocking client that leaves the meaning of answers, and redirects, to us.
pub fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let policy = profile::DEFAULT.policy();
    let faults = || [(1, Fault::status(503)), (2, Fault::ResetBeforeHead)];
    let api = || SimulatedApi::builder(Api::JumpCloudSearch).rows(3).script(faults()).build();
    let search = |url| Request::post(url).header("x-api-key", "key").body(r#"{"limit": 2}"#);

    let server = api().serve().await?;
    let request = search(server.url())?;
    let mut run = Run::new(policy, Safety::Vouched); // A POST that changes nothing.
    let client = reqwest::Client::builder().retry(reqwest::retry::never());
    let client = client.redirect(reqwest::redirect::Policy::none()).build()?;
    let answer = with_closure(&client, &request, &mut run).await?;
    println!("async: {} after {}", answer.status(), run.attempts());

    let server = api().serve().await?;
    let request = search(server.url())?;
    let mut run = Run::new(policy, Safety::Vouched);
    let (answer, run) =
        tokio::task::spawn_blocking(move || (blocking(&agent(), &request, &mut run), run)).await?;
    println!("blocking: {} after {}", answer?.status(), run.attempts());
    Ok(())
}
