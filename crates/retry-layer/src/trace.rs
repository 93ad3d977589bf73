//! Spans and events for `tracing`, named as OpenTelemetry's semantic conventions for HTTP name them.
//!
//! A span for the request, below it one for each attempt. Nothing of a request's headers, body, query or
//! user information is told.

#[cfg(feature = "tracing")]
pub(crate) use on::Spans;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::Spans;

#[cfg(feature = "tracing")]
mod on {
    use core::fmt;

    use http::{Request, Uri};
    use retry_policy::hint::Source;
    use retry_policy::{Attempts, Decision, Delivery, Outcome};
    use tracing::field::{Empty, display};
    use tracing::{Level, Span, info_span};

    /// The spans of one request.
    #[derive(Debug)]
    pub(crate) struct Spans {
        request: Span,
        attempt: Span,
    }

    impl Spans {
        pub(crate) fn are_on(&self) -> bool {
            !self.request.is_disabled()
        }

        pub(crate) const fn none() -> Self {
            Self { request: Span::none(), attempt: Span::none() }
        }

        pub(crate) fn begin<B>(head: &Request<B>) -> Self {
            let request = info_span!(
                target: "retry_layer",
                "request",
                http.request.method = %head.method(),
                server.address = head.uri().host(),
                server.port = head.uri().port_u16(),
                url.full = %Redacted(head.uri()),
                attempts = Empty,
                stop_reason = Empty,
            );
            Self { request, attempt: Span::none() }
        }

        /// Attempt number `number` begins. OpenTelemetry counts the resends: the first has no count.
        pub(crate) fn attempt<B>(&mut self, head: &Request<B>, number: u32) {
            self.attempt = info_span!(
                target: "retry_layer",
                parent: &self.request,
                "attempt",
                otel.kind = "client",
                otel.name = %head.method(),
                http.request.method = %head.method(),
                http.request.resend_count = (number > 1).then_some(number.saturating_sub(1)),
                server.address = head.uri().host(),
                server.port = head.uri().port_u16(),
                url.full = %Redacted(head.uri()),
                http.response.status_code = Empty,
                error.type = Empty,
            );
        }

        pub(crate) fn enter(&self) -> tracing::span::Entered<'_> {
            self.attempt.enter()
        }

        /// The attempt has ended, and this comes next.
        pub(crate) fn ended(&mut self, outcome: &Outcome, timed_out: bool, decision: Decision) {
            let attempt = core::mem::replace(&mut self.attempt, Span::none());
            if let Delivery::Answered(status) = outcome.delivery() {
                attempt.record("http.response.status_code", status);
            }
            match (outcome.delivery(), outcome.class()) {
                (_, None) => {}
                (Delivery::Answered(status), _) => {
                    attempt.record("error.type", display(status));
                }
                (_, Some(class)) => {
                    let kind = if timed_out { "timeout" } else { class.name() };
                    attempt.record("error.type", kind);
                }
            }
            let class = outcome.class().map(retry_policy::Class::name);
            self.decided(class, decision);
        }

        /// What comes next, after an attempt or after a wait.
        pub(crate) fn decided(&self, class: Option<&'static str>, decision: Decision) {
            let within = &self.request;
            match decision {
                Decision::Refresh => {
                    tracing::event!(target: "retry_layer", parent: within, Level::INFO, class, "takes a fresh credential");
                }
                Decision::Retry { after, source } => {
                    tracing::event!(target: "retry_layer", parent: within, Level::INFO, class, wait = ?after,
                        source = name(source), "sends again");
                }
                Decision::Shrink { after, source } => {
                    tracing::event!(target: "retry_layer", parent: within, Level::INFO, class, wait = ?after,
                        source = name(source), "hands back for a smaller request");
                }
                Decision::Stop { reason } => {
                    tracing::event!(target: "retry_layer", parent: within, Level::WARN, class, %reason, "stops");
                }
                _ => {}
            }
        }

        pub(crate) fn end(&self, attempts: &Attempts) {
            self.request.record("attempts", attempts.count());
            if let Some(reason) = attempts.stop_reason() {
                self.request.record("stop_reason", display(reason));
            }
        }
    }

    fn name(source: Source) -> &'static str {
        match source {
            Source::Header(name) => name,
            Source::Backoff => "backoff",
        }
    }

    /// A URI without what may be secret: user information and query.
    struct Redacted<'a>(&'a Uri);

    impl fmt::Display for Redacted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if let (Some(scheme), Some(host)) = (self.0.scheme(), self.0.host()) {
                write!(f, "{scheme}://{host}")?;
                if let Some(port) = self.0.port() {
                    write!(f, ":{port}")?;
                }
            }
            f.write_str(self.0.path())
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use http::Request;
    use retry_policy::{Attempts, Decision, Outcome};

    /// Nothing is told.
    #[derive(Debug)]
    pub(crate) struct Spans;

    /// Within no span.
    pub(crate) struct Entered;

    #[allow(clippy::unused_self, reason = "the same calls with and without the feature")]
    impl Spans {
        pub(crate) const fn are_on(&self) -> bool {
            false
        }

        pub(crate) const fn none() -> Self {
            Self
        }

        pub(crate) const fn begin<B>(_: &Request<B>) -> Self {
            Self
        }

        pub(crate) const fn attempt<B>(&mut self, _: &Request<B>, _: u32) {}

        pub(crate) const fn enter(&self) -> Entered {
            Entered
        }

        pub(crate) const fn ended(&mut self, _: &Outcome, _: bool, _: Decision) {}

        pub(crate) const fn decided(&self, _: Option<&'static str>, _: Decision) {}

        pub(crate) const fn end(&self, _: &Attempts) {}
    }
}
