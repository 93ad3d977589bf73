//! What is known about the fate of an attempt.

/// What became of an attempt, as far as the client can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the columns of the truth table: complete by definition"
)]
pub enum Delivery {
    /// The request never left, or the connection failed before it could.
    NotSent,
    /// The peer says that it did not process the request: HTTP/2 `REFUSED_STREAM`, or a stream
    /// above the last id of a GOAWAY (RFC 9113 §8.7).
    Refused,
    /// Nobody knows: a timeout, a reset, an answer cut off.
    Unknown,
    /// The server answered with this status code.
    Answered(u16),
}

impl Delivery {
    /// Whether the request may already have had its effect although no good answer came.
    ///
    /// After such an attempt a repeated `DELETE` answers 404 and a conditional `PUT` 412.
    #[must_use]
    pub const fn may_have_been_applied(self) -> bool {
        matches!(self, Self::Unknown | Self::Answered(500..=599))
    }
}
