//! A share of a whole, in thousandths.

use core::fmt;

/// A share between nothing and the whole, exact to a thousandth.
///
/// ```
/// use retry_policy::ratio::Ratio;
///
/// const TENTH: Ratio = match Ratio::percent(10) {
///     Ok(ratio) => ratio,
///     Err(_) => panic!("the ratio literal is invalid"),
/// };
/// assert_eq!(TENTH.thousandths(), 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u16);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many hundredths: 20 is a fifth.
    ///
    /// # Errors
    ///
    /// [`InvalidRatio`] above 100.
    pub const fn percent(percent: u16) -> Result<Self, InvalidRatio> {
        Self::of_thousandths(percent.saturating_mul(10))
    }

    /// So many thousandths: the three decimals of gRPC's `tokenRatio` (proposal A6).
    ///
    /// # Errors
    ///
    /// [`InvalidRatio`] above 1000.
    pub const fn of_thousandths(thousandths: u16) -> Result<Self, InvalidRatio> {
        if thousandths > 1000 {
            return Err(InvalidRatio { thousandths });
        }
        Ok(Self(thousandths))
    }

    /// The share in thousandths, 1000 at most.
    #[must_use]
    pub const fn thousandths(self) -> u16 {
        self.0
    }

    /// A percentage of our own; a wrong one does not compile where it is used in a `const`.
    pub(crate) const fn literal(percent: u16) -> Self {
        match Self::percent(percent) {
            Ok(ratio) => ratio,
            Err(_) => unreachable!(),
        }
    }
}

/// More than the whole was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRatio {
    thousandths: u16,
}

impl fmt::Display for InvalidRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} thousandths are more than the whole", self.thousandths)
    }
}

#[cfg(feature = "std")]
impl std::error::Error for InvalidRatio {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_at_most_the_whole() {
        assert_eq!(Ratio::percent(100).map(Ratio::thousandths), Ok(1000));
        assert_eq!(Ratio::of_thousandths(105).map(Ratio::thousandths), Ok(105));
        let error = Ratio::percent(101).unwrap_err();
        assert_eq!(error.to_string(), "1010 thousandths are more than the whole");
        assert!(Ratio::percent(u16::MAX).is_err());
    }
}
